"""make says in one sentence what is missing, before it builds anything."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.present import present

ROOT = Path(__file__).parents[2]

# Answers as a python3 would that lacks something; anything but a question is noted and not done.
STAND_IN = """#!/bin/sh
case "$*" in
  *version_info*) exit {older} ;;
  *ensurepip*) exit {no_venv} ;;
esac
echo "$*" >> "$(dirname "$0")/done"
"""


def run_make(folder: Path, target: str, *, older: int = 0, no_venv: int = 0) -> tuple[int, str, str]:
    """Exit code of make, what it said, and what it had its Python do."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    python.write_text(STAND_IN.format(older=older, no_venv=no_venv), encoding="utf-8")
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "MAKEFLAGS"}}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["make", "--no-print-directory", target], cwd=folder, env=environment, capture_output=True, text=True
    )
    noted = python.parent / "done"
    return done.returncode, done.stdout + done.stderr, noted.read_text() if noted.exists() else ""


@pytest.mark.parametrize("target", ["test", "demo", "lock"])
def test_a_python_without_venv_is_said_with_the_command_that_brings_it(tmp_path, target):
    code, said, noted = run_make(tmp_path, target, no_venv=1)
    assert code != 0
    assert said.splitlines()[0] == ("python3 cannot make environments; on Debian: apt install python3-venv")
    assert "Traceback" not in said
    assert not noted, "nothing is built"


def test_an_old_python_is_said(tmp_path):
    code, said, noted = run_make(tmp_path, "test", older=1, no_venv=1)
    assert code != 0
    assert said.splitlines()[0] == (
        "python3 is not Python 3.11 or newer; name one that is: make PYTHON=python3.12"
    )
    assert "apt install" not in said
    assert not noted


def test_a_good_python_makes_the_environment(tmp_path):
    _, said, noted = run_make(tmp_path, "test")
    assert noted == "-m venv .venv\n"
    assert "cannot make environments" not in said


def test_help_lists_every_target(tmp_path):
    code, said, _ = run_make(tmp_path, "help")
    assert code == 0
    for target in ("demo", "real", "test", "test-quick", "check", "acceptance", "lock", "clean"):
        assert f"  make {target} " in said


def test_all_that_is_linted_is_type_checked_too():
    linted = re.search(r"^SOURCES := (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    checked = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
    assert set(checked) == set(present(linted)[1].split())
