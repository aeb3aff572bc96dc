"""A worker that shares its machine: a fake card and a fake clock, real children, a real queue."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime

import pytest

from codex_worker.active_hours import ActiveHours, read_windows, read_zone
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.git.memory import MemoryServer
from codex_worker.supervisor.gpu_gate import BESIDE_TENSORS_BYTES, GpuGate
from codex_worker.supervisor.gpu_memory import Card
from codex_worker.supervisor.gpu_peaks import GpuPeaks, JobKind
from codex_worker.supervisor.gpu_watch import LOOKS_IN_A_ROW
from codex_worker.supervisor.tenancy import Admission, Tenancy
from codex_worker.worker.projects import ProjectAddress
from tests.integration.supervisor.test_worker_loop import Town, job, server
from tests.support.event_clock import until
from tests.support.jobs import Stage
from tests.support.nvml import GIB, FakeCard, FakeNvml

RESIDENT = 4_000_000  # no process of this machine
KIND = JobKind("asr", "training", "w2v2bert", "full", "NVIDIA T4")
UNTIL_ASKED = """
import os, torch
(folder / "share").write_text(repr(torch.cuda.shares))
(folder / "pid").write_text(str(os.getpid()))
while not (reason := callbacks.stop_reason()):
    callbacks.should_stop()
(folder / "saved").write_text(reason.value)
from codex_worker.job.api import stop_error
raise stop_error(reason)
"""
# What a job's process does to its own share; the real one loads for seconds, and needs a card for that.
TORCH = """
class cuda:
    shares = []
    is_available = staticmethod(lambda: True)
    get_device_properties = staticmethod(lambda index: type("", (), {"total_memory": 16 << 30}))
    set_per_process_memory_fraction = staticmethod(lambda share, index: cuda.shares.append(share))
"""
WITHOUT_GPU = """
import os
(folder / "visible").write_text(repr(os.environ.get("CUDA_VISIBLE_DEVICES")))
return {}
"""


@dataclass
class Shared:
    nvml: FakeNvml
    peaks: GpuPeaks
    tenancy: Tenancy


def shares(stage: Stage, card: FakeCard, hours: ActiveHours | None = None) -> Shared:
    """The stage's worker is one of several on this card, and its jobs are estimated at 6 GiB."""
    peaks = GpuPeaks(stage.work_dir)
    stage.work_dir.mkdir(exist_ok=True)
    peaks.note(KIND, 6 * GIB, is_whole=True)
    nvml = FakeNvml(card)
    gate = GpuGate(Card({}, nvml).look, peaks, stage.clock, threading.Event)
    stage.tenancy = Tenancy(stage.clock, stage.settings.handlers_root, hours, gate)
    with_torch(stage)
    return Shared(nvml, peaks, stage.tenancy)


def with_torch(stage: Stage) -> None:
    """Jobs import the stand-in, which their walls let them read as they let them read weights."""
    torch = stage.settings.handlers_root / "torch.py"
    torch.write_text(TORCH)
    stage.settings = replace(stage.settings, shared=(torch,))


def begun(stage: Stage, shared: Shared, card: FakeCard, own_gib: int) -> int:
    """A job that computes on the card; answers its process."""
    entry = stage.queue().survey()[0].entry
    assert entry is not None
    found: list[Admission | str] = []
    admitting = threading.Thread(target=lambda: found.append(shared.tenancy.admit(entry)), daemon=True)
    admitting.start()
    stage.tick(lambda: not admitting.is_alive(), 10, waiting=1)
    assert isinstance(found[0], Admission), found
    stage.admission = found[0]
    stage.start()
    pid = stage.reached("pid")
    until(lambda: pid.read_text())
    card.resident[int(pid.read_text())] = own_gib * GIB
    return int(pid.read_text())


def test_a_job_gives_the_card_back_when_a_resident_wakes_and_stays_pending(tmp_path):
    stage, card = Stage(tmp_path, UNTIL_ASKED), FakeCard(resident={RESIDENT: GIB})
    shared = shares(stage, card)
    pid = begun(stage, shared, card, 7)
    share = next(stage.work_dir.glob("job_*/share")).read_text()
    assert share == repr([(13 * GIB - BESIDE_TENSORS_BYTES) / (16 * GIB)]), "set before the handler runs"
    look(stage, shared, times=3)
    assert not stage.ended(), "there is room for both"
    card.resident[RESIDENT] = 8 * GIB
    look(stage, shared, times=LOOKS_IN_A_ROW)
    outcome = stage.finish()
    assert outcome is not None and outcome.state == "yielded" and outcome.kind == "preempted"
    assert "Somebody else needs the memory of the GPU" in outcome.message
    assert next(stage.work_dir.glob("job_*/saved")).read_text() == "preempted"
    assert stage.response()["state"] not in {"failed", "canceled", "completed"}
    (view,) = stage.queue().survey()
    assert view.state == "pending"
    assert shared.peaks.of(KIND) == 7 * GIB, "what the job held itself, and not the resident"
    del card.resident[pid]
    assert view.entry is not None and isinstance(shared.tenancy.admit(view.entry), str), (
        "the resident is still awake"
    )


def test_the_jobs_own_growth_and_a_short_peak_of_others_end_nothing(tmp_path):
    stage, card = Stage(tmp_path, UNTIL_ASKED), FakeCard(resident={RESIDENT: GIB})
    shared = shares(stage, card)
    pid = begun(stage, shared, card, 7)
    card.resident[pid] = 15 * GIB
    look(stage, shared, times=2 * LOOKS_IN_A_ROW)
    card.resident |= {pid: 7 * GIB, RESIDENT: 8 * GIB}
    look(stage, shared, times=LOOKS_IN_A_ROW - 1)
    card.resident[RESIDENT] = GIB
    look(stage, shared, times=2 * LOOKS_IN_A_ROW)
    assert not stage.ended()
    stage.supervisor.leave()
    stage.pass_time(1)
    outcome = stage.finish()
    assert outcome is not None and outcome.state == "preempted"


OUT_OF_MEMORY = """
import os, time
(folder / "pid").write_text(str(os.getpid()))
while not (folder / "filled").exists():
    time.sleep(0.01)
raise MemoryError("CUDA out of memory.")
"""


@pytest.mark.parametrize(
    ("resident_gib", "state", "kind"), [(14, "yielded", "preempted"), (1, "failed", "resource")]
)
def test_a_job_whose_share_a_neighbour_took_between_two_looks_has_not_failed(
    tmp_path, resident_gib, state, kind
):
    stage, card = Stage(tmp_path, OUT_OF_MEMORY), FakeCard(resident={RESIDENT: GIB})
    shared = shares(stage, card)
    pid = begun(stage, shared, card, 1)
    card.resident[RESIDENT] = resident_gib * GIB
    del card.resident[pid]
    (next(stage.work_dir.glob("job_*")) / "filled").touch()
    outcome = stage.finish()
    assert outcome is not None and (outcome.state, outcome.kind) == (state, kind)


def look(stage: Stage, shared: Shared, times: int) -> None:
    """The job's watch looks at the card so often; time passes for nothing else."""
    until_looks = shared.nvml.looks + times
    stage.tick(lambda: shared.nvml.looks >= until_looks, 5, waiting=5)
    until(lambda: stage.clock.idle >= 5 or stage.ended())


def at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


NIGHT = ActiveHours(read_windows("02:00-06:00"), read_zone("Europe/London"))


def test_a_job_that_runs_when_the_hours_are_over_is_saved_and_given_back(tmp_path):
    stage = Stage(tmp_path, UNTIL_ASKED)
    stage.clock.advance(at("2026-07-10T05:59:00+01:00") - stage.clock.time())
    stage.tenancy = Tenancy(stage.clock, stage.settings.handlers_root, NIGHT)
    with_torch(stage)
    stage.start()
    stage.reached("pid")
    stage.tick(lambda: stage.clock.time() >= at("2026-07-10T06:00:05+01:00"), 5, waiting=5)
    outcome = stage.finish()
    assert outcome is not None and outcome.state == "yielded" and "hours" in outcome.message
    assert stage.queue().survey()[0].state == "pending"
    assert at("2026-07-10T06:00:00+01:00") <= stage.clock.time() <= at("2026-07-10T06:02:00+01:00")


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path, a=server(job("one")))


def is_claimed(town: Town) -> bool:
    return any("/attempt-1-" in path for path in town.servers["a"].files())


def by_day(town: Town, moment: str = "2026-07-10T12:00:00+01:00") -> None:
    town.clock.advance(at(moment) - town.clock.time())
    town.stage.tenancy = Tenancy(town.clock, town.stage.settings.handlers_root, NIGHT)


def test_outside_the_hours_a_worker_that_does_not_stay_claims_nothing_and_says_so(town, caplog):
    by_day(town)
    assert town.run() is ExitCode.RELEASED
    assert town.order() == []
    assert caplog.text.count("in these hours only: 02:00-06:00 Europe/London") == 2, "once, and at the end"


def test_outside_the_hours_a_named_job_waits_as_well(town, caplog):
    by_day(town)
    town.loop = replace(town.loop, force_job=(ProjectAddress("a", "a"), "one"))
    assert town.run() is ExitCode.RELEASED
    assert town.order() == [] and "in these hours only" in caplog.text


def test_outside_the_hours_a_worker_without_jobs_has_nothing_to_say(tmp_path, caplog):
    town = Town(tmp_path, a=MemoryServer({"README.md": b"x"}))
    by_day(town)
    assert town.run() is ExitCode.DONE
    assert "hours only" not in caplog.text


def test_a_worker_that_stays_begins_when_the_hours_do_however_seldom_it_looks(town):
    by_day(town, "2026-07-11T01:30:00+01:00")
    town.loop = replace(town.loop, interval_s=24 * 3600)
    thread = town.start()
    town.tick(lambda: is_claimed(town), step_s=60)
    until(town.order)
    assert at("2026-07-11T02:00:00+01:00") <= town.clock.time() <= at("2026-07-11T02:10:00+01:00")
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=1)


def test_a_job_waits_while_the_card_is_full_and_is_done_when_it_is_not(town, caplog):
    card = FakeCard(resident={RESIDENT: 12 * GIB})
    shares(town.stage, card)
    town.loop = replace(town.loop, interval_s=60)
    began_s = town.clock.time()
    thread = town.start()
    town.tick(lambda: town.clock.time() > began_s + 600, step_s=20)
    assert town.order() == []
    assert caplog.text.count("Job one of a waits. 4.0 of 16.0 GiB of the NVIDIA T4 are free") == 1
    card.resident.clear()
    town.tick(lambda: is_claimed(town), step_s=20)
    until(town.order)
    town.stage.supervisor.leave()
    town.tick(lambda: not thread.is_alive(), step_s=1)


def test_a_full_card_leaves_the_job_to_other_workers_where_this_one_does_not_stay(town):
    shares(town.stage, FakeCard(resident={RESIDENT: 12 * GIB}))
    assert town.run() is ExitCode.RELEASED
    assert town.order() == [] and town.queue("a", "another").claim("one") is not None


def test_a_tiny_job_is_done_without_the_card_while_others_fill_it(tmp_path):
    town = Town(tmp_path, WITHOUT_GPU, a=server(job("one", model={"type": "w2v2bert", "preset": "tiny"})))
    shares(town.stage, FakeCard(resident={RESIDENT: 15 * GIB}))
    assert town.run() is ExitCode.DONE
    assert next(town.stage.work_dir.glob("job_*/visible")).read_text() == "''"
    log = town.servers["a"].files()["gpu_jobs/job_one/logs.txt"].decode()
    assert "The GPU is left to others, and the processor does this job" in log
