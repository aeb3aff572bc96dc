"""Packages with real speech are fetched once with the system's tools; else a sentence says how."""

import os
import shutil
import subprocess

import pytest

from sample.real_speech import __main__ as command
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.packages import PackagesMissingError, unpacked

ENGLISH = LANGUAGES["en"]
# Notes each call, and copies what the "server" has.
APT_GET = """#!/bin/sh
echo "$@" >> "{folder}/calls"
for package in "$@"; do :; done
cp "{folder}/server/$package"_*.deb . 2>/dev/null && exit 0
echo "W: something else" >&2
echo "E: Unable to locate package $package" >&2
exit 100
"""
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")


@pytest.fixture
def apt_get(tmp_path, monkeypatch):
    """A stand-in for apt-get, and the folder of its server."""
    server = tmp_path / "server"
    server.mkdir()
    tool = tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    tool.write_text(APT_GET.format(folder=tmp_path))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    return server


def build_package(server, name, path, content):
    root = server / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: M <m@example.org>\nDescription: d\n"
    )
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text(content)
    subprocess.run(
        ["dpkg-deb", "--build", root, server / f"{name}_1_all.deb"], check=True, capture_output=True
    )


@needs_dpkg
def test_both_packages_are_fetched_and_unpacked_once(tmp_path, apt_get):
    texts, sounds = ENGLISH.packages
    build_package(apt_get, texts, "usr/share/doc/list", "texts")
    build_package(apt_get, sounds, "usr/share/sounds/one.g722", "sound")
    for _ in range(2):
        ready = unpacked(ENGLISH, tmp_path / "packages")
    assert (ready / "usr/share/doc/list").read_text() == "texts"
    assert (ready / "usr/share/sounds/one.g722").read_text() == "sound"
    asked = (tmp_path / "calls").read_text().splitlines()
    assert [line.split()[-2:] for line in asked] == [["download", texts], ["download", sounds]]
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["en"], "nothing is left over"


@needs_dpkg
def test_one_package_without_the_other_leaves_no_half_folder(tmp_path, apt_get):
    texts, sounds = ENGLISH.packages
    build_package(apt_get, texts, "usr/share/doc/list", "texts")
    with pytest.raises(
        PackagesMissingError, match=rf"{sounds} was not .* \(Unable to locate package {sounds}\)\."
    ):
        unpacked(ENGLISH, tmp_path / "packages")
    assert list((tmp_path / "packages").iterdir()) == []


@needs_dpkg
def test_a_damaged_package_is_said(tmp_path, apt_get):
    texts, _ = ENGLISH.packages
    (apt_get / f"{texts}_1_all.deb").write_bytes(b"!<arch>\nnot a package")
    with pytest.raises(PackagesMissingError, match=f"{texts} was not to be had"):
        unpacked(ENGLISH, tmp_path / "packages")


@pytest.mark.parametrize(
    ("present", "said"),
    [
        ((), "This machine has no apt-get and no dpkg-deb."),
        (("apt-get",), "This machine has no dpkg-deb."),
        (("dpkg-deb",), "This machine has no apt-get."),
    ],
)
def test_a_machine_without_the_tools_is_told_how_to_bring_the_packages(tmp_path, monkeypatch, present, said):
    for tool in present:
        (tmp_path / tool).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackagesMissingError) as caught:
        unpacked(ENGLISH, tmp_path / "packages")
    assert str(caught.value).startswith(said)
    for part in (
        "apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-g722",
        "dpkg-deb --extract",
    ):
        assert part in str(caught.value)
    assert str(tmp_path / "packages" / "en") in str(caught.value)


def test_a_folder_that_a_person_brought_is_taken_without_any_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "packages/en/usr").mkdir(parents=True)
    assert unpacked(ENGLISH, tmp_path / "packages") == tmp_path / "packages/en"


def test_the_command_says_for_each_language_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["--folder", str(tmp_path / "real"), "it", "ru"]) == 1
    said = capsys.readouterr().err
    assert "asterisk-core-sounds-it-g722" in said
    assert "asterisk-core-sounds-ru-g722" in said
    assert "Traceback" not in said


def test_a_language_that_nobody_speaks_is_refused_with_the_list(capsys):
    with pytest.raises(SystemExit):
        command.main(["xx"])
    said = capsys.readouterr().err
    assert "no recordings of xx; choose from en, es, fr, it, ru" in said
