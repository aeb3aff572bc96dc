"""The lock files hold what pyproject.toml asks for, and everything that installs goes through them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HASHED = ("build", "worker", "dev", "bench")
CUDA = re.compile(r"(nvidia|cuda)-|triton$")


def entries(name: str) -> list[str]:
    """The requirements of a lock file with their hashes, one string each."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def versions(*names: str) -> dict[str, str]:
    held: dict[str, str] = {}
    for name in names:
        for entry in entries(name):
            requirement = Requirement(entry.split(" --hash=")[0].strip())
            [pin] = requirement.specifier
            assert pin.operator == "=="
            assert canonicalize_name(requirement.name) not in held, f"{requirement.name} is held twice"
            held[canonicalize_name(requirement.name)] = pin.version
    return held


def asked_for(*extras: str) -> list[str]:
    optional = PROJECT["project"]["optional-dependencies"]
    return [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in optional[extra])]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        (PROJECT["build-system"]["requires"], ("build",)),
        (asked_for("ml"), ("build", "worker", "torch")),
        (asked_for("ml", "dev"), ("build", "worker", "torch", "dev")),
        (asked_for("ml", "bench"), ("build", "worker", "torch", "bench")),
    ],
    ids=["build", "worker", "dev", "bench"],
)
def test_every_dependency_is_locked_at_a_version_that_its_range_allows(wanted, files):
    held = versions(*files)
    for requirement in map(Requirement, wanted):
        version = held.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not locked: make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, locked: {version}"


@pytest.mark.parametrize("name", HASHED)
def test_every_locked_file_has_a_hash(name):
    assert entries(name)
    for entry in entries(name):
        assert re.search(r" --hash=sha256:[0-9a-f]{64}\b", entry), entry


def test_only_torch_and_torchaudio_are_held_by_version_alone():
    assert set(versions("torch")) == {"torch", "torchaudio"}
    assert all("--hash" not in entry for entry in entries("torch"))
    elsewhere = versions("build", "worker", "dev")
    assert not set(elsewhere) & set(versions("torch"))


@pytest.mark.parametrize("name", HASHED)
def test_what_a_cuda_build_brings_along_is_not_locked(name):
    # Our own: what asks the driver, and for development what runs kernels without a GPU.
    own = {"nvidia-ml-py"} | ({"triton"} if name == "dev" else set())
    assert not [package for package in versions(name) if CUDA.match(package) and package not in own]


@pytest.mark.parametrize("name", [*HASHED, "torch"])
def test_no_lock_file_names_an_address_or_an_option(name):
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)
    assert "/tmp" not in text


def test_the_environment_and_rented_machines_install_from_the_lock():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "\tsh requirements/install $(BIN)/python dev\n" in makefile
    assert "  sh requirements/install .venv/bin/python\n" in (ROOT / "skypilot_worker.yaml").read_text()
    installer = (FOLDER / "install").read_text(encoding="utf-8")
    for file in (makefile, (ROOT / "skypilot_worker.yaml").read_text(), (ROOT / ".ci" / "run").read_text()):
        for line in file.splitlines():
            assert "pip install" not in line or "--require-hashes" in line, line
    commands = [
        command for command in installer.replace("\\\n", " ").splitlines() if "-m pip install" in command
    ]
    assert ["--require-hashes" in command for command in commands] == [True, True, False, False]
    assert all("--no-deps" in command or "torch.txt -c" in command for command in commands)


def test_what_is_installed_here_fits_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
