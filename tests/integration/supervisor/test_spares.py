"""A process that is ready before its job: whose folder it works in, when it is of no use, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from codex_worker.child import landlock
from codex_worker.child.keeper import descendants
from codex_worker.supervisor import spares
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.settings import SPARE_BYTES, SpareTime
from codex_worker.supervisor.spares import LEAST_BESIDE_BYTES, time_for_spares
from tests.support.event_clock import until
from tests.support.jobs import ROOT, Stage
from tests.support.processes import is_gone

SEEN = """
import json, os, sys, tempfile
def refused(path):
    try:
        path.write_text("x")
    except OSError:
        return True
seen = {"parent": os.getppid(), "cwd": os.getcwd(), "home": os.environ["HOME"], "tmp": tempfile.gettempdir(),
        "imported": sorted({"torch", "transformers", "codex_worker.asr.train"} & set(sys.modules)),
        "outside_refused": refused(folder.parent / "outside")}
(folder / "seen.json").write_text(json.dumps(seen))
return {}
"""


@pytest.fixture
def stage(tmp_path) -> Iterator[Stage]:
    made = Stage(tmp_path, SEEN)
    made.settings = replace(made.settings, spares=SpareTime.ALWAYS)
    yield made
    made.supervisor.spares.close()


def keepers() -> set[int]:
    """The processes that this one has started itself."""
    own = set(descendants(os.getpid()))
    return {each for each in own if not is_gone(each) and _parent(each) == os.getpid()}


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def make_spare(stage: Stage) -> int:
    """The process that keeps the one that waits."""
    before = keepers()
    stage.supervisor.spares.keep_one()
    (made,) = keepers() - before
    return made


def seen(stage: Stage) -> dict[str, object]:
    (path,) = stage.work_dir.glob("job_one_*/seen.json")
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def complete(stage: Stage) -> dict[str, object]:
    outcome = stage.run()
    assert outcome is not None and outcome.state == "completed", outcome
    return seen(stage)


def test_a_job_is_done_by_the_process_that_waited_in_a_folder_with_the_jobs_name(stage):
    (stage.settings.handlers_root / "torch.py").unlink()  # the real one
    waiting = make_spare(stage)
    stage.supervisor.spares.is_wanted = False
    until(lambda: stage.supervisor.spares.is_ready, 120)

    found = complete(stage)

    (folder,) = stage.work_dir.glob("job_one_*")
    assert found == {
        "parent": waiting,
        "cwd": str(folder),
        "home": str(folder / "home"),
        "tmp": str(folder / "tmp"),
        "imported": ["codex_worker.asr.train", "torch", "transformers"],
        "outside_refused": landlock.version() > 0,
    }


def test_a_job_that_comes_at_once_finds_walls_around_its_own_folder(stage):
    """The folder has its new name before the process could raise its walls around the old one."""
    waiting = make_spare(stage)
    found = complete(stage)
    assert found["parent"] == waiting and found["outside_refused"] == (landlock.version() > 0)


def kill(stage: Stage, waiting: int) -> None:
    os.kill(waiting, signal.SIGKILL)
    until(lambda: is_gone(waiting))


def let_hang(stage: Stage, waiting: int) -> None:
    for process in descendants(waiting):
        os.kill(process, signal.SIGSTOP)
    assert not stage.supervisor.spares.is_ready
    stage.clock.advance(spares.READY_WITHIN_S + 1)


def link_weights(stage: Stage, waiting: int) -> None:
    (stage.work_dir.parent / "large").write_text("weights")
    (stage.work_dir.parent / "weights/large").symlink_to(stage.work_dir.parent / "large")


def change_variables(stage: Stage, waiting: int) -> None:
    stage.environment["CUDA_VISIBLE_DEVICES"] = "1"


def take_its_folder(stage: Stage, waiting: int) -> None:
    for folder in stage.work_dir.glob(".spare-*"):
        folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("spoil", [kill, let_hang, link_weights, change_variables, take_its_folder])
def test_a_process_that_is_of_no_use_is_ended_and_the_job_starts_its_own(
    stage, spoil: Callable[[Stage, int], None], tmp_path
):
    (tmp_path / "weights").mkdir()
    stage.settings = replace(stage.settings, shared=(tmp_path / "weights",))
    (tmp_path / "code/handlers/asr/w2v2bert/training.py").write_text(
        "import os\ndef run(job, callbacks):\n"
        "    (callbacks.get_work_dir() / 'seen.json').write_text('{\"parent\": %d}' % os.getppid())\n"
        "    return {}\n"
    )
    waiting = make_spare(stage)
    stage.supervisor.spares.is_wanted = False
    spoil(stage, waiting)
    assert complete(stage)["parent"] != waiting
    until(lambda: is_gone(waiting) and not list(stage.work_dir.glob(".spare-*")))


def test_after_one_that_ended_by_itself_none_is_made_for_a_while(stage):
    kill(stage, make_spare(stage))
    before = keepers()
    stage.supervisor.spares.keep_one()
    assert keepers() == before
    stage.clock.advance(spares.PAUSE_S)
    assert make_spare(stage)


def test_one_that_is_old_is_replaced(stage, monkeypatch):
    monkeypatch.setattr(spares, "READY_WITHIN_S", 2 * spares.OLDEST_S)
    first = make_spare(stage)
    stage.clock.advance(spares.OLDEST_S + 1)
    assert make_spare(stage) != first
    until(lambda: is_gone(first))


def test_one_that_is_fit_is_kept(stage):
    make_spare(stage)
    before = keepers()
    stage.supervisor.spares.keep_one()
    assert keepers() == before


@pytest.mark.parametrize(
    ("when", "is_wanted", "free_bytes", "made", "made_beside"),
    [
        (SpareTime.ALWAYS, True, 2 * SPARE_BYTES, True, True),
        (SpareTime.ALWAYS, False, 2 * SPARE_BYTES, True, False),
        (SpareTime.ALWAYS, True, 2 * SPARE_BYTES - 1, False, False),
        (SpareTime.ALWAYS, True, None, False, False),
        (SpareTime.BETWEEN_JOBS, True, 2 * SPARE_BYTES, True, False),
        (SpareTime.NEVER, True, 2 * SPARE_BYTES, False, False),
    ],
)
def test_one_is_made_where_there_is_memory_and_use_for_it(
    stage, monkeypatch, when, is_wanted, free_bytes, made, made_beside
):
    monkeypatch.setattr(spares, "available_memory", lambda: free_bytes)
    stage.settings = replace(stage.settings, spares=when)
    kept = stage.supervisor.spares
    kept.is_wanted = is_wanted
    before = keepers()
    kept.keep_one_beside_a_job()
    assert bool(keepers() - before) == made_beside
    kept.close()
    kept.keep_one()
    assert bool(keepers() - before) == made


@pytest.mark.parametrize(
    ("limit_bytes", "when"),
    [
        (None, SpareTime.BETWEEN_JOBS),
        (LEAST_BESIDE_BYTES - 1, SpareTime.BETWEEN_JOBS),
        (LEAST_BESIDE_BYTES, SpareTime.ALWAYS),
    ],
)
def test_a_small_machine_has_none_beside_a_job(limit_bytes, when):
    assert time_for_spares(limit_bytes) is when


def test_nothing_is_left_when_the_worker_ends(stage):
    waiting = make_spare(stage)
    job = descendants(waiting)
    stage.supervisor.spares.close()
    assert is_gone(waiting) and all(map(is_gone, job))
    assert not list(stage.work_dir.glob(".spare-*")) and not list(stage.work_dir.glob("notes/*"))


def test_what_a_killed_worker_left_is_removed_and_what_another_one_has_stays(stage):
    with JobFolder(stage.work_dir / ".spare-left"):
        pass
    with JobFolder(stage.work_dir / ".spare-anothers"):
        make_spare(stage)
        assert not (stage.work_dir / ".spare-left").exists()
        assert (stage.work_dir / ".spare-anothers").exists()


KILLED = """
import sys, signal
from pathlib import Path
from tests.support.jobs import Stage
from codex_worker.supervisor.settings import SpareTime
from dataclasses import replace
stage = Stage(Path(sys.argv[1]))
stage.settings = replace(stage.settings, spares=SpareTime.ALWAYS)
stage.supervisor.spares.keep_one()
print("made", flush=True)
signal.pause()
"""


def test_none_outlives_a_worker_that_is_killed(tmp_path):
    worker = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None and worker.stdout.readline() == "made\n"
    until(lambda: len(descendants(worker.pid)) == 2)
    left = descendants(worker.pid)
    worker.kill()
    worker.wait()
    until(lambda: all(map(is_gone, left)))
