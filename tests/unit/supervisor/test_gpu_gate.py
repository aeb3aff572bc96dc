"""When a job may have the GPU, and when it has to give it back: a fake card, and a clock that is moved."""

import threading

import pynvml
import pytest

from codex_worker.contract.manifest import JobEntry
from codex_worker.supervisor.gpu_conditions import gpu_conditions
from codex_worker.supervisor.gpu_gate import BESIDE_TENSORS_BYTES, GpuGate, Grant
from codex_worker.supervisor.gpu_memory import Card, CardMemory
from codex_worker.supervisor.gpu_peaks import GpuPeaks, JobKind
from codex_worker.supervisor.gpu_watch import LEAST_GROWTH_BYTES, is_squeezed
from codex_worker.supervisor.handlers_found import find_handlers
from codex_worker.supervisor.needs import needs_of
from codex_worker.supervisor.tenancy import Admission, Tenancy
from tests.support.clock import FakeClock
from tests.support.jobs import ROOT
from tests.support.nvml import GIB, FakeCard, FakeNvml

KIND = JobKind("asr", "training", "w2v2bert", "full", "NVIDIA T4")
RESIDENT, OURS = 70, 80


class PlannedClock(FakeClock):
    """What a neighbour does while the gate waits happens there."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []
        self.meanwhile = lambda: None

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.waited.append(timeout_s)
        self.advance(timeout_s)
        self.meanwhile()
        return event.is_set()


class Gate:
    """A gate before one card, for jobs that take 6 GiB by estimate."""

    def __init__(self, tmp_path, card: FakeCard) -> None:
        self.card, self.clock, self.peaks = card, PlannedClock(), GpuPeaks(tmp_path)
        self.gate = GpuGate(
            Card({}, FakeNvml(card)).look, self.peaks, self.clock, threading.Event, ours=lambda: [OURS]
        )

    def admit(self) -> Grant | str | None:
        return self.gate.admit(lambda name: JobKind("asr", "training", "w2v2bert", "full", name), 6 * GIB)


@pytest.mark.parametrize(
    ("resident_gib", "peak_gib", "is_let_in"),
    [
        (0, None, True),
        (8, None, True),
        (8.01, None, False),
        (8, 6.5, False),
        (7.4, 6.5, True),
        (11, 2.9, True),
        # More than the card has beside what is left to others: an empty card is as good as it gets.
        (0, 15, True),
        (1.5, 15, True),
        (2, 15, False),
        (0, 27, True),
        (0, 40, False),
    ],
)
def test_a_job_is_let_in_where_its_peak_and_the_headroom_are_free(
    tmp_path, resident_gib, peak_gib, is_let_in
):
    gate = Gate(tmp_path, FakeCard(resident={RESIDENT: int(resident_gib * GIB)}))
    if peak_gib is not None:
        gate.peaks.note(KIND, int(peak_gib * GIB), is_whole=True)
    found = gate.admit()
    assert isinstance(found, Grant) is is_let_in
    if isinstance(found, Grant):
        assert found.kind == KIND and found.foreign_bytes == int(resident_gib * GIB)
        assert found.tensor_bytes == gate.card.free - 2 * GIB - BESIDE_TENSORS_BYTES
    else:
        how = "estimated" if peak_gib is None else "measured here"
        assert isinstance(found, str) and how in found and "of 16.0 GiB of the NVIDIA T4 are free" in found


def test_a_resident_that_grows_between_the_two_looks_keeps_the_job_out(tmp_path):
    gate = Gate(tmp_path, FakeCard())
    gate.clock.meanwhile = lambda: gate.card.resident.update({RESIDENT: 12 * GIB})
    assert isinstance(gate.admit(), str)
    assert gate.clock.waited == [10.0]


def test_memory_that_is_there_for_a_moment_only_does_not_count(tmp_path):
    gate = Gate(tmp_path, FakeCard(resident={RESIDENT: 12 * GIB}))
    assert isinstance(gate.admit(), str)
    assert gate.clock.waited == [], "the first look has told enough"
    gate.card.resident.clear()
    gate.clock.advance(20)
    assert isinstance(gate.admit(), Grant)
    assert gate.clock.waited == [10.0]


def test_looks_while_a_job_ran_spare_the_next_one_its_wait(tmp_path):
    gate = Gate(tmp_path, FakeCard(resident={OURS: 9 * GIB}))
    for _ in range(3):
        memory = gate.gate.look()
        assert memory is not None
        gate.gate.saw(memory, memory.held_by([OURS]))
        gate.clock.advance(5)
    gate.card.resident.clear()
    assert isinstance(gate.admit(), Grant)
    assert gate.clock.waited == []
    gate.clock.advance(61)
    assert isinstance(gate.admit(), Grant)
    assert gate.clock.waited == [10.0], "what was long ago says nothing of now"


def test_what_a_job_of_ours_still_holds_will_be_free_for_the_next(tmp_path):
    gate = Gate(tmp_path, FakeCard(resident={OURS: 12 * GIB, RESIDENT: GIB}))
    found = gate.admit()
    assert isinstance(found, Grant)
    assert (found.free_bytes, found.foreign_bytes) == (15 * GIB, GIB)


@pytest.mark.parametrize(
    ("card", "is_let_in"),
    [
        (FakeCard(errors={"all": pynvml.NVML_ERROR_GPU_IS_LOST}), False),
        (FakeCard(errors={"memory": pynvml.NVML_ERROR_NOT_SUPPORTED}), True),
        (FakeCard(hidden=12 * GIB), False),
        (FakeCard(resident={RESIDENT: None}, hidden=12 * GIB), False),
        (FakeCard(resident={RESIDENT: None}, hidden=1 * GIB), True),
    ],
)
def test_a_card_that_tells_less_is_judged_by_what_it_tells(tmp_path, card, is_let_in):
    assert (not isinstance(Gate(tmp_path, card).admit(), str)) is is_let_in


@pytest.mark.parametrize(
    ("preset", "resident_gib", "begins", "on_processor"),
    [
        ("full", 0, True, False),
        ("full", 8, False, False),
        ("tiny", 12, True, False),
        ("tiny", 14, True, True),
    ],
)
def test_a_tiny_job_is_done_on_the_processor_where_the_gpu_is_full(
    tmp_path, preset, resident_gib, begins, on_processor
):
    gate = Gate(tmp_path, FakeCard(resident={RESIDENT: resident_gib * GIB}))
    tenancy = Tenancy(gate.clock, ROOT, gate=gate.gate)
    entry = {
        "job_id": "j1",
        "job_type": "asr",
        "mode": "training",
        "model": {"type": "w2v2bert", "preset": preset},
    }
    admission = tenancy.admit(JobEntry.model_validate(entry))
    assert isinstance(admission, Admission) is begins
    if isinstance(admission, Admission):
        assert admission.on_processor is on_processor
        assert admission.variables == ({"CUDA_VISIBLE_DEVICES": ""} if on_processor else {})
        assert ("the processor does this job" in admission.note) is on_processor


def test_every_handler_of_ours_declares_what_it_takes_of_a_gpu():
    for job_type, model, mode in find_handlers(ROOT):
        entry = {"job_id": "j1", "job_type": job_type, "mode": mode, "model": {"type": model}}
        assert needs_of(ROOT, JobEntry.model_validate(entry)).gpu_gb > 0, (job_type, model, mode)


GROWN = GIB + LEAST_GROWTH_BYTES


@pytest.mark.parametrize(
    ("free_gib", "holders", "foreign_before", "expected"),
    [
        (2, {RESIDENT: 4 * GIB, OURS: 10 * GIB}, GIB, False),
        (1.9, {RESIDENT: 4 * GIB, OURS: 10 * GIB}, GIB, True),
        (1.9, {RESIDENT: GROWN, OURS: 12 * GIB}, GIB, False),
        (1.9, {RESIDENT: GROWN + 1, OURS: 12 * GIB}, GIB, True),
        (1.9, {99: 3 * GIB, OURS: 11 * GIB}, 0, True),
        # The job's own growth is no neighbour's.
        (0.1, {RESIDENT: GIB, OURS: 15 * GIB}, GIB, False),
        (0.1, {RESIDENT: GIB // 2, OURS: 15 * GIB}, GIB, False),
        # Where nobody tells who holds what, and where the job's processes have other numbers there.
        (1.9, None, None, True),
        (1.9, None, GIB, True),
        (1.9, {4_000_000: 14 * GIB}, GIB, True),
        (2, None, None, False),
    ],
)
def test_a_job_is_squeezed_where_others_have_grown_into_what_is_left_to_them(
    free_gib, holders, foreign_before, expected
):
    memory = CardMemory("NVIDIA T4", 16 * GIB, int(free_gib * GIB), holders)
    assert is_squeezed(memory, [OURS], Grant(KIND, 12 * GIB, 8 * GIB, foreign_before), 2 * GIB) is expected


def test_the_check_shows_what_is_free_and_what_jobs_have_taken(tmp_path):
    peaks = GpuPeaks(tmp_path)
    peaks.note(KIND, 5 * GIB, is_whole=True)
    card = FakeCard(resident={RESIDENT: 6 * GIB})
    texts = [each.text for each in gpu_conditions(Card({}, FakeNvml(card)).look, peaks, 2 * GIB)]
    assert texts[0].startswith("10.0 of 16.0 GiB of the NVIDIA T4 are free")
    assert texts[1] == "a job of the kind asr training w2v2bert full on NVIDIA T4 has taken 5.0 GiB"
    card.errors["all"] = pynvml.NVML_ERROR_GPU_IS_LOST
    (lost,) = gpu_conditions(Card({}, FakeNvml(card)).look, peaks, 0)
    assert lost.remedy and not lost.is_fatal
