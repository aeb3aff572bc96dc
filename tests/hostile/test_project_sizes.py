"""Files, folders and refs of any size in one project: the others are served, and the worker stays small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codex_worker.errors import DataError
from codex_worker.git import git_transport, trees
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.process import _received_bytes
from tests.support.hostile_projects import INNOCENT, bare_repository, git, tree_bomb
from tests.support.queues import job, manifest

MANIFEST = "gpu_jobs/manifest.yaml"
WITH_A_JOB = {MANIFEST: manifest(job("x", canceled=True))}
ZEROS = bytes(60_000_000)
PEAK_MB = 500


def full_of(folder: Path, place: str, leaf: bytes | None = b"x") -> Path:
    tree_bomb(bare_repository(folder, WITH_A_JOB), place, leaf=leaf)
    return folder


def test_what_no_memory_can_hold_is_not_read_and_the_others_are_served(tmp_path):
    bad = [
        full_of(tmp_path / "files.git", "gpu_jobs/x"),
        full_of(tmp_path / "folders.git", "gpu_jobs/x", leaf=None),
        bare_repository(tmp_path / "manifest.git", {MANIFEST: ZEROS}),
        bare_repository(tmp_path / "response.git", {**WITH_A_JOB, "gpu_jobs/job_y/response.yaml": ZEROS}),
        bare_repository(
            tmp_path / "names.git",
            {**WITH_A_JOB, "gpu_jobs/job_\udcff/response.yaml": b"x", "gpu_jobs/job_a\nb/logs.txt": b"x"},
        ),
    ]
    good = bare_repository(tmp_path / "good.git", INNOCENT)
    command = [
        sys.executable,
        "-m",
        "tests.support.hostile_projects",
        str(tmp_path / "work"),
        *map(str, bad),
        str(good),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["begun"] == [["good", "good"]] and told["polls"] == 1 and told["code"] == 0
    assert told["peak_mb"] < PEAK_MB
    assert "Traceback" not in done.stderr
    for project in ("files", "folders"):
        assert f"Project {project}: gpu_jobs holds more than 300,000 files and is not read." in done.stderr
    assert "manifest.yaml is too large (5,000,000 bytes at most)" in done.stderr
    assert done.stderr.count("gpu_jobs holds 1 files whose names are no UTF-8") == 1


@pytest.fixture
def transport(tmp_path):
    def of(files):
        url = str(bare_repository(tmp_path / "project.git", files))
        return GitTransport(url, tmp_path / "cache.git", author="w", email="w@example.org")

    return of


def snapshot_of(transport):
    return transport.snapshot(transport.look())


@pytest.mark.parametrize(
    ("path", "size"),
    [
        (MANIFEST, 5_000_001),
        ("gpu_jobs/job_x/response.yaml", 200_001),
        ("gpu_jobs/job_x/workers/w/end-1-aaaaaaaa.yaml", 200_001),
        ("gpu_jobs/job_x/logs.txt", 5_000_001),
    ],
)
def test_a_file_that_is_larger_than_its_kind_is_left_out_and_costs_no_other(path, size, transport, caplog):
    snapshot = snapshot_of(transport({path: bytes(size), "README.md": b"here", "twin": bytes(10)}))
    assert snapshot.read_many([path, "README.md", "twin"]) == {"README.md": b"here", "twin": bytes(10)}
    assert snapshot.read(path) is None and [p for p, _ in snapshot.read_each([path, "twin"])] == ["twin"]
    assert f"{path} is larger than" in caplog.text


def test_files_that_fit_alone_but_not_together_are_refused_with_a_sentence(transport):
    snapshot = snapshot_of(transport({f"f{n}": bytes([n]) * 1000 for n in range(4)}))
    limits = {entry.oid: 1000 for entry in snapshot.files()}
    assert len(snapshot.read_blobs(limits, at_once=4000)) == 4
    with pytest.raises(DataError, match="4 files hold more than"):
        snapshot.read_blobs(limits, at_once=3999)


def test_more_folders_than_any_project_has_are_not_fetched(transport, monkeypatch):
    monkeypatch.setattr(git_transport, "MAX_FOLDERS", 10)
    opened = transport({f"{n}/{n}/{n}.txt": b"x" for n in range(200)})
    with pytest.raises(DataError, match="more folders"):
        snapshot_of(opened)


def test_more_refs_than_any_project_has_are_not_read(transport, monkeypatch, tmp_path):
    monkeypatch.setattr(git_transport, "MAX_REFS", 20)
    opened = transport(INNOCENT)
    assert opened.look()
    refs = b"".join(b"create refs/gpu-jobs/x%d refs/heads/main\n" % n for n in range(30))
    git(tmp_path / "project.git", "update-ref", "--stdin", stdin=refs)
    with pytest.raises(DataError, match="more than 20 refs"):
        opened.look()


@pytest.mark.parametrize("folder", ["", "gpu_jobs"])
def test_long_names_are_counted_as_well(folder, transport, monkeypatch):
    monkeypatch.setattr(trees, "MOST_LISTED_BYTES", 20_000)
    snapshot = snapshot_of(transport({f"gpu_jobs/{n}{'x' * 200}": b"x" for n in range(200)}))
    with pytest.raises(DataError, match="names of the files"):
        snapshot.files(folder)


@pytest.mark.parametrize(
    "path",
    ["a\0b", "\ud800", "", "/etc/passwd", "../x", "a//b", "a/./b", "x" * 5000, "README.md/", "--all", ":/"],
)
def test_a_path_that_no_file_can_have_is_no_file(path, transport):
    snapshot = snapshot_of(transport({"README.md": b"here", "a/b": b"x"}))
    assert snapshot.read(path) is None and snapshot.existing([path, "README.md"]) == {"README.md"}
    assert snapshot.read_many([path, *(f"f{n}" for n in range(300)), "a/b"]) == {"a/b": b"x"}


def test_a_folder_where_a_file_is_looked_for_is_no_file(transport):
    snapshot = snapshot_of(transport({"gpu_jobs/manifest.yaml/x": b"x"}))
    assert snapshot.read(MANIFEST) is None


@pytest.mark.parametrize(
    ("words", "received"),
    [
        (b"Receiving objects:  50% (1/2), 60.00 MiB | 30.00 MiB/s\rReceiving", 60 * 2**20),
        (b"Unpacking objects: 100% (1/1), 1.50 KiB | 700.00 KiB/s, done.\n", 1536),
        (b"objects: 1% (1/90), 1.00 MiB | 1 B/s\robjects: 2% (2/90), 2.25 GiB | 1 B/s\r", 9 * 2**28),
        (b"remote: Counting objects: 100% (9/9), done.\nReceiving objects: 100% (9/9)", 0),
        (b"Receiving objects: 100% (9/9), 12 bytes | 12.00 KiB/s, done.", 12),
    ],
)  # fmt: skip
def test_what_has_come_over_the_line_is_read_in_gits_own_report(words, received):
    assert _received_bytes(words) == received
