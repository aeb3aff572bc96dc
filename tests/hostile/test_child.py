"""A hostile handler tries every way to the token, to another project's recording and to a file outside."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from codex_worker.child import landlock, seccomp
from tests.support.jobs import ROOT, handlers_with, manifest

TOKEN = "glpat-" + "abcdefghij" * 2
NOBODY = 65534
ORDINARY, ROOTS = "as an ordinary user", "as root"
# What only the kernel can give. Where it does not, docs/security.md says what is open.
pytestmark = pytest.mark.skipif(
    landlock.version() < 6 or not seccomp.is_here(), reason="this kernel has not all walls"
)


def git(*arguments: object) -> str:
    words = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, arguments)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@dataclass
class Battlefield:
    """A machine with a worker's folder, a neighbour's recording, a secret, and a project with one job."""

    folder: Path
    user: int  # who the worker is
    report: dict[str, Any]
    left: list[int]
    output: str


@pytest.fixture(scope="module", params=[ORDINARY, ROOTS])
def fought(request) -> Iterator[Battlefield]:
    """The attack has taken place."""
    am_root = os.geteuid() == 0
    if request.param == ROOTS and not am_root:
        pytest.skip("only root can try this as root")
    user = os.geteuid() if request.param == ROOTS or not am_root else NOBODY
    with (
        tempfile.TemporaryDirectory(prefix="machine-") as place,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as service,
    ):
        folder = Path(place)
        folder.chmod(0o755)  # not pytest's own: root's is closed to the ordinary user
        service.bind(str(folder / "service"))
        service.listen()
        # Stands for any process of the worker's own that carries a secret, such as its git.
        bystander = subprocess.Popen(
            ["sleep", "600"],
            env={"PASSWORD": TOKEN},
            user=user if am_root else None,
            stdout=subprocess.DEVNULL,
        )
        try:
            prepare(folder, port=server.getsockname()[1], bystander=bystander.pid)
            yield fight(folder, user)
        finally:
            bystander.kill()
            bystander.wait()


def prepare(folder: Path, port: int, bystander: int) -> None:
    code = handlers_with(folder / "code", asr_w2v2bert_training="return {}")
    shutil.copy(ROOT / "tests/support/attacker.py", code / "handlers/asr/w2v2bert/training.py")
    work, home = folder / "work", folder / "home"
    targets: dict[str, Any] = {
        "secrets": folder / "secrets.env",
        "recording": work / "job_theirs_1-aaaaaaaa/recordings/a.wav",
        "cached": work / "lfs/objects/aa/bb/aabb",
        "clone": work / "repositories/theirs-main.git",
        "home": home, "code": code, "port": port, "bystander": bystander, "service": folder / "service",
    }  # fmt: skip
    (code / "handlers/asr/w2v2bert/targets.json").write_text(json.dumps(targets, default=str))
    home.mkdir()
    (folder / "secrets.env").write_text(f"GITLAB_TOKEN={TOKEN}\n")
    (folder / "secrets.env").chmod(0o600)
    for recording in (targets["recording"], targets["cached"]):
        Path(recording).parent.mkdir(parents=True)
        Path(recording).write_bytes(b"RIFF of another project")
    git("init", "-q", "--bare", targets["clone"])
    source = folder / "source"
    (source / "gpu_jobs").mkdir(parents=True)
    (source / "gpu_jobs/manifest.yaml").write_bytes(manifest({"job_id": "one"}))
    git("init", "-q", "-b", "main", source)
    git("-C", source, "add", ".")
    git("-C", source, "commit", "-q", "-m", "a job")
    git("clone", "-q", "--bare", source, folder / "project.git")


def fight(folder: Path, user: int) -> Battlefield:
    if user != os.geteuid():
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, user, user, follow_symlinks=False)
    done = subprocess.run(
        [
            *as_user(user), sys.executable, "-m", "worker_entry", "--work-dir", folder / "work",
            "--settle-minutes", "0", "--keep-jobs", "-1", "--allow-cpu",
            "--env-file", folder / "secrets.env", "--project", folder / "project.git",
        ],
        env={
            "PATH": os.environ["PATH"], "HOME": str(folder / "home"), "GITLAB_TOKEN": TOKEN,
            "PYTHONPATH": f"{folder / 'code'}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    response = yaml.safe_load(
        git(
            "-c",
            "safe.directory=*",
            "-C",
            folder / "project.git",
            "show",
            "main:gpu_jobs/job_one/response.yaml",
        )
    )
    assert response["state"] == "completed", (response, output)
    assert "A process was ready" in output  # its walls were raised before anybody knew the job
    (noted,) = folder.glob("work/job_one_*/left")
    left = [int(line) for line in noted.read_text().split()]
    return Battlefield(folder, user, response["result"], left, output)


def as_user(user: int) -> list[str]:
    """The words before a command. He may read the interpreter even where root's home holds it."""
    if user == os.geteuid():
        return []
    capability = "+dac_read_search"
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
            f"--inh-caps={capability}", f"--ambient-caps={capability}"]  # fmt: skip


def test_no_way_is_open_to_a_hostile_handler(fought):
    assert len(fought.report["tried"]) >= 40
    assert fought.report["succeeded"] == [], fought.report["tried"]


def test_nothing_of_a_hostile_handler_is_left_running(fought):
    assert len(fought.left) == 2
    assert [process for process in fought.left if Path(f"/proc/{process}").exists()] == []


def test_the_secrets_and_the_neighbours_files_are_as_they_were(fought):
    assert (fought.folder / "secrets.env").read_text() == f"GITLAB_TOKEN={TOKEN}\n"
    assert (fought.folder / "work/job_theirs_1-aaaaaaaa/recordings/a.wav").exists()
    published = git("-c", "safe.directory=*", "-C", fought.folder / "project.git", "log", "-p", "--all")
    assert TOKEN not in published and TOKEN not in fought.output


def test_the_child_of_a_worker_that_is_root_is_somebody_else(fought):
    if fought.user == 0:
        assert fought.report["user"] != 0
    else:
        assert fought.report["user"] == fought.user
