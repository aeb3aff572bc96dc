"""Which walls there are on which machine, and what a job does where there are none."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codex_worker.child import landlock, seccomp
from codex_worker.child.walls import Walls
from codex_worker.supervisor import walls_here
from codex_worker.supervisor.another_user import problem, user_for
from codex_worker.supervisor.reach import readable
from codex_worker.supervisor.settings import RuntimeSettings
from tests.support.jobs import ROOT, Stage

ALL_CAPABILITIES = "CapEff:\t000001ffffffffff\n"
EVERYBODY = "         0          0 4294967295\n"


def process(folder: Path, capabilities: str = ALL_CAPABILITIES, users: str = EVERYBODY) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "status").write_text(f"Name:\tpython\n{capabilities}")
    for name in ("uid_map", "gid_map"):
        (folder / name).write_text(users)
    return folder


@pytest.mark.parametrize(
    ("user", "version", "seen", "words"),
    [
        (1000, 7, {}, "is not root"),
        (0, 7, {}, None),
        (0, 7, {"capabilities": "CapEff:\t0000000000000000\n"}, "may not become another user"),
        (0, 7, {"capabilities": ""}, "may not become another user"),
        (0, 7, {"users": "0 100000 1000\n"}, "knows no user with the number"),
        (0, 7, {"users": "0 1000 1\n1 100000 65535\n"}, None),
        (0, 0, {}, "is closed to other users"),
    ],
)
def test_a_child_is_another_user_where_that_can_be(tmp_path, monkeypatch, user, version, seen, words):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(landlock, "version", lambda: version)
    (tmp_path / "closed").mkdir(mode=0o700)
    why = problem(tmp_path / "closed/job", [], process(tmp_path / "proc", **seen))
    assert why is None if words is None else why is not None and words in why


def test_each_job_folder_has_a_number_of_its_own_below_those_of_containers(tmp_path):
    numbers = {user_for(tmp_path / f"job_{n}") for n in range(50)}
    assert len(numbers) > 40 and all(1000 < number < 65534 for number in numbers)


def settings(work_dir: Path) -> RuntimeSettings:
    return RuntimeSettings(work_dir=work_dir, code_root=ROOT, handlers_root=ROOT, version="test")


@pytest.mark.parametrize(
    ("version", "filters", "missing"),
    [
        (7, True, set()),
        (5, True, {"wall: processes"}),
        (3, False, {"wall: network", "wall: processes"}),
        (4, False, {"wall: network", "wall: processes"}),
        (0, False, {"wall: files", "wall: network", "wall: processes"}),
    ],
)
def test_every_wall_has_a_line_and_a_missing_one_a_remedy(tmp_path, monkeypatch, version, filters, missing):
    monkeypatch.setattr(landlock, "version", lambda: version)
    monkeypatch.setattr(seccomp, "is_here", lambda: filters)
    found = list(walls_here.walls_here(settings(tmp_path), {}))
    assert [each.subject.partition(": ")[0] for each in found] == ["wall"] * 5
    assert {each.subject for each in found if each.remedy} == missing
    assert not any(each.is_fatal for each in found), "no job is refused for want of a wall"


def test_a_work_folder_in_the_midst_of_what_jobs_read_is_told_of(monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 7)
    (files, *_) = walls_here.walls_here(settings(Path(sys.base_prefix) / "lib/work"), {})
    assert "may read" in files.text and "--work-dir" in files.remedy


def test_what_lies_beside_the_code_is_not_read(tmp_path):
    (tmp_path / ".env.secrets").write_text("x")
    seen = [Path(path) for path in readable(tmp_path, tmp_path, [tmp_path / "weights"], {})]
    for path in (tmp_path / ".env.secrets", tmp_path / "work", Path("/etc/shadow"), Path("/proc/1/environ")):
        assert not any(path.is_relative_to(each) for each in seen), path
    assert any((tmp_path / "weights/model").is_relative_to(each) for each in seen)


def test_weights_that_are_linked_into_their_folder_are_read_where_they_are(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "large").write_text("model")
    (tmp_path / "weights/model").symlink_to(tmp_path / "large")
    assert str(tmp_path / "large") in readable(tmp_path, tmp_path, [tmp_path / "weights"], {})


def test_walls_come_over_as_they_were_sent():
    walls = Walls("/work/job", ("/usr",), ("/dev/null",), 61200, True, (44,), 1 << 30)
    assert Walls.of_text(walls.to_text()) == walls
    assert Walls.of_text(Walls("/work/job").to_text()) == Walls("/work/job")


RAISE_ON_A_POOR_MACHINE = """
from codex_worker.child import identity, landlock, seccomp, walls
def refuse(*_):
    raise OSError(38, "Function not implemented")
landlock.restrict = seccomp.restrict = walls.prctl = identity.become = refuse
missing = walls.raise_walls(walls.Walls("/tmp", user=61200))
print(len(missing), *missing, sep="\\n")
"""


def test_a_machine_without_walls_says_so_of_each_and_goes_on():
    done = subprocess.run(
        [sys.executable, "-c", RAISE_ON_A_POOR_MACHINE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for wall in ("no new privileges", "Landlock", "another user", "seccomp"):
        assert f"{wall} ([Errno 38]" in done.stdout, done.stderr


def test_a_job_says_in_its_log_which_wall_is_missing(tmp_path):
    stage = Stage(tmp_path, "return {}")
    stage.settings = replace(stage.settings, code_root=with_broken_landlock(tmp_path / "copy"))
    outcome = stage.run()
    assert outcome is not None and outcome.state == "completed", outcome
    assert "no wall of this kind around the job: Landlock" in stage.log()


def with_broken_landlock(folder: Path) -> Path:
    """The library once more, for a kernel that has never heard of Landlock."""
    folder.mkdir()
    for package in ("codex_worker", "patches"):
        (folder / package).mkdir()
        for path in (ROOT / package).iterdir():
            if path.name != "child":
                (folder / package / path.name).symlink_to(path)
    child = folder / "codex_worker/child"
    child.mkdir()
    for path in (ROOT / "codex_worker/child").glob("*.py"):
        text = path.read_text()
        (child / path.name).write_text(text.replace("= 444, 445, 446", "= 9444, 9445, 9446"))
    return folder
