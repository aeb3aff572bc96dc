"""`codex-worker release`: a file that operators change while a service reads it."""

import json
import subprocess
import sys
import threading

import pytest

from codex_worker.cli.main import main
from codex_worker.errors import UserError
from codex_worker.service.release_file import ReleaseFile, sha256_of
from tests.support.small_models import write_voice


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    return write_voice(tmp_path_factory.mktemp("voice") / "voice.safetensors")


def release(file, *words):
    return main(["release", str(file), *map(str, words)])


def test_versions_are_added_shared_pinned_listed_and_removed(tmp_path, voice, capsys):
    file = tmp_path / "served" / "releases.yaml"
    assert release(file, "add", "v9.1", voice) == 0
    assert release(file, "add", "v9.2", voice) == 0
    assert release(file, "share", "v9", "1=80", "2=20") == 0
    assert release(file, "pin", "v9.2") == 0
    releases = ReleaseFile(file).read()
    assert releases.choose("v9.latest", 0.0) == ("v9", "2")
    assert releases.models["v9"].versions["1"].sha256 == sha256_of(voice)
    assert ReleaseFile(file).checkpoint_of(releases, "v9", "1").samefile(voice)
    capsys.readouterr()
    assert release(file, "list") == 0
    assert "80 %" in capsys.readouterr().out
    assert release(file, "share", "v9", "2=100") == 0
    assert release(file, "remove", "v9.1") == 0
    log = [json.loads(line) for line in ReleaseFile(file).log_path.read_text().splitlines()]
    assert [line["what"].split()[0] for line in log] == ["add", "add", "share", "pin", "share", "remove"]
    assert all(line["who"] and line["at"] for line in log)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "v9", "voice"), "'v9' names no version"),
        (("share", "v9", "1=101"), "must be from 0 to 100"),
        (("share", "v9", "1"), "'1' is no share"),
        (("share", "v9", "1=50", "1=50"), "named twice"),
        (("pin", "v9.7"), "v9 has no version 7"),
        (("remove", "v8.1"), "There is no model 'v8'"),
        (("add", "v9.3", "/etc/hostname"), "is no checkpoint of this worker"),
        (("add", "v9.3", "/nowhere"), "/nowhere"),
    ],
)
def test_what_cannot_be_meant_is_said_and_changes_nothing(tmp_path, voice, words, sentence, capsys):
    file = tmp_path / "releases.yaml"
    assert release(file, "add", "v9.1", voice) == 0
    before = file.read_bytes(), ReleaseFile(file).log_path.read_text()
    assert release(file, *(voice if word == "voice" else word for word in words)) == 1
    assert sentence in capsys.readouterr().err
    assert (file.read_bytes(), ReleaseFile(file).log_path.read_text()) == before


def test_two_operators_at_once_lose_nothing(tmp_path, voice):
    file = tmp_path / "releases.yaml"
    command = [sys.executable, "-m", "codex_worker.cli", "release", str(file), "add"]
    both = [subprocess.Popen([*command, f"{name}.1", str(voice)]) for name in ("one", "two")]
    assert [each.wait() for each in both] == [0, 0]
    assert set(ReleaseFile(file).read().models) == {"one", "two"}


def test_a_reader_never_sees_half_of_a_change(tmp_path, voice):
    file = ReleaseFile(tmp_path / "releases.yaml")
    assert release(file.path, "add", "v9.1", voice) == 0
    assert release(file.path, "add", "v9.2", voice) == 0
    over = threading.Event()
    seen: list[object] = []

    def look():
        while not over.is_set():
            try:
                seen.append(sum(each.share for each in file.read().models["v9"].versions.values()))
            except (UserError, KeyError) as error:
                seen.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    for first in range(0, 100, 5):
        assert release(file.path, "share", "v9", f"1={first}", f"2={100 - first}") == 0
    over.set()
    looking.join()
    assert set(seen) == {100}
