"""A worker's metrics: each with its number, in few series, whatever projects and handlers name things."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pynvml
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.state import JobFacts, State
from codex_worker.queue.job_queue import JobView
from codex_worker.supervisor.figures import LOST, MOST_STAGES, AttemptInHand, Figures
from codex_worker.supervisor.gpu_memory import GIB, Card
from codex_worker.tally import Tally, Traffic
from codex_worker.worker.metrics import METRICS, GpuUse, Watched, metrics_table, registry_of, use_of
from tests.support.clock import FakeClock
from tests.support.nvml import FakeCard, FakeNvml

ROOT = Path(__file__).parents[3]
ATTEMPT = AttemptInHand("one", "1-0000abcd", "team/genesis", "asr", "training")


class Seen:
    """A worker without a loop, and what is read of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.figures = Figures(self.clock)
        self.tally = Tally()
        self.jobs: list[JobView] = []
        self.watched = Watched(
            self.figures, self.tally, self.clock, lambda: self.jobs, frozenset({"asr", "tts"}), version="1.2"
        )

    def read(self) -> dict[tuple[str, ...], float]:
        """Every sample: its name without the prefix and its labels' values, in their order."""
        text = generate_latest(registry_of(self.watched)).decode()
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        order = {each.shown_name: each.labels for each in METRICS}
        return {
            (s.name.removeprefix("codex_worker_"), *(s.labels[label] for label in order[s.name])): s.value
            for s in samples
        }


@pytest.fixture
def seen():
    return Seen()


def view(job_id: str, state: State, job_type: str = "asr", submitted_at: datetime | None = None) -> JobView:
    found = {"job_id": job_id, "job_type": job_type, "model": {"type": "any"}, "submitted_at": submitted_at}
    entry = JobEntry.model_validate(found)
    return JobView(job_id, state, "", JobFacts(job_id, entry=entry))


def at(clock: FakeClock, ago_s: float) -> datetime:
    return datetime.fromtimestamp(clock.time() - ago_s, UTC)


def test_the_documents_table_is_the_codes():
    assert metrics_table() in (ROOT / "docs/metrics.md").read_text()


def test_every_metric_says_what_it_means_and_when_to_be_alarmed():
    assert len({each.name for each in METRICS}) == len(METRICS)
    for each in METRICS:
        assert each.meaning and each.alert and "|" not in each.meaning + each.alert, each.name


def test_jobs_are_counted_by_state_and_type_and_pending_ones_have_an_age(seen):
    seen.jobs = [
        view("a", State.PENDING, "asr", at(seen.clock, 100.0)),
        view("b", State.PENDING, "tts", at(seen.clock, 7200.0)),
        view("c", State.PENDING, "tts"),
        view("d", State.RUNNING, "asr", at(seen.clock, 1e6)),
        view("e", State.COMPLETED, "tts"),
        view("f", State.PENDING, "singing", at(seen.clock, -3600.0)),
        replace(view("g", State.INVALID), facts=JobFacts("g")),
    ]
    read = seen.read()
    assert read["jobs", "pending", "asr"] == 1 and read["jobs", "pending", "tts"] == 2
    assert read["jobs", "running", "asr"] == 1 and read["jobs", "running", "tts"] == 0
    assert read["jobs", "pending", "other"] == 1 and read["jobs", "invalid", "other"] == 1
    assert read["queue_depth", "tts"] == 2 and read["queue_depth", "other"] == 1
    assert read["queue_oldest_seconds",] == 7200.0
    seen.jobs = []
    assert seen.read()["queue_oldest_seconds",] == 0 == seen.read()["queue_depth", "asr"]


def test_an_attempt_shows_its_stage_its_time_and_the_age_of_its_lease(seen):
    idle = seen.read()
    assert not any(name in {"running", "lease_age_seconds"} for name, *_ in idle)
    with seen.figures.holding(ATTEMPT):
        seen.clock.advance(16)
        seen.figures.entered("training")
        seen.clock.advance(100)
        seen.figures.beaten()
        seen.clock.advance(50)
        read = seen.read()
        assert read["running", "asr", "training", "training"] == 1
        assert read["stage_seconds_total", "asr", "starting"] == 16
        assert read["stage_seconds_total", "asr", "training"] == 150, "the stage that goes on counts as well"
        assert read["lease_age_seconds",] == 50
        seen.figures.entered("ending")
        seen.clock.advance(3)
        seen.figures.ended("completed")
    seen.clock.advance(1000)
    read = seen.read()
    assert not any(name in {"running", "lease_age_seconds"} for name, *_ in read)
    assert read["stage_seconds_total", "asr", "ending"] == 3
    assert read["attempts_total", "asr", "training", "completed"] == 1


def test_stages_and_ends_add_up_over_attempts(seen):
    for how in ("completed", "completed", LOST):
        with seen.figures.holding(ATTEMPT):
            seen.figures.entered("training")
            seen.clock.advance(10)
            seen.figures.computed(250.0)
            seen.figures.ended(how)
    read = seen.read()
    assert read["stage_seconds_total", "asr", "training"] == 30
    assert read["audio_seconds_total", "asr", "training"] == 750
    assert read["attempts_total", "asr", "training", "completed"] == 2
    assert read["attempts_total", "asr", "training", "lost"] == 1


def test_bytes_and_retries_are_there(seen):
    assert seen.read()["sent_bytes_total", "git"] == 0
    seen.tally.received(Traffic.LARGE_FILES, 1000)
    seen.tally.received(Traffic.LARGE_FILES, 24)
    seen.tally.sent(Traffic.GIT, 7)
    seen.tally.retried("transaction")
    read = seen.read()
    assert read["received_bytes_total", "large files"] == 1024 and read["sent_bytes_total", "git"] == 7
    assert read["retries_total", "transaction"] == 1


def test_a_card_shows_its_memory_and_its_use_where_it_tells_that(seen):
    cards = [GpuUse("0", 10, 100, 0.25), GpuUse("1", 20, 200)]
    seen.watched = replace(seen.watched, gpus=lambda: cards)
    read = seen.read()
    assert read["gpu_memory_bytes", "0", "used"] == 10 and read["gpu_memory_bytes", "1", "total"] == 200
    assert read["gpu_busy_ratio", "0"] == 0.25 and ("gpu_busy_ratio", "1") not in read


@pytest.mark.parametrize(
    ("cards", "error", "use"),
    [
        ([FakeCard(resident={7: 4 * GIB}, busy_percent=40)], None, [(4 * GIB, 16 * GIB, 0.4)]),
        (
            [FakeCard(busy_percent=40, errors={"utilization": pynvml.NVML_ERROR_NOT_SUPPORTED})],
            None,
            [(0, 16 * GIB, None)],
        ),
        ([FakeCard(errors={"memory": pynvml.NVML_ERROR_GPU_IS_LOST})], None, []),
        ([], None, []),
        ([], pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, []),
    ],
    ids=["a card", "one that hides its use", "one that is lost", "none", "no driver"],
)
def test_what_the_driver_tells_of_the_card_is_shown_and_its_troubles_cost_nothing_else(cards, error, use):
    card = Card({}, FakeNvml(*cards, error=error))
    assert [(gpu.used_bytes, gpu.total_bytes, gpu.busy) for gpu in use_of(card)] == use


def test_however_many_types_and_stages_there_are_named_the_series_stay_few(seen):
    seen.jobs = [view(f"j{n}", State.PENDING, f"type{n}") for n in range(1000)]
    for n in range(1000):
        with seen.figures.holding(replace(ATTEMPT, job_type=f"type{n}")):
            seen.figures.entered(f"stage {n} {'x' * 30}")
            seen.clock.advance(1)
            seen.figures.ended("failed")
    read = seen.read()
    assert read["jobs", "pending", "other"] == 1000
    assert read["attempts_total", "other", "training", "failed"] == 1000
    stages = [key for key in read if key[0] == "stage_seconds_total"]
    assert len(stages) <= MOST_STAGES + 1 and sum(read[key] for key in stages) == 1000
    assert len(read) < 100


@pytest.mark.parametrize(
    "stage", ['quo"tes', "two\nlines", "back\\slash", "{curly}", "ʼн", "half \ud800", ""]
)
def test_whatever_a_stage_is_called_the_metrics_can_be_read(seen, stage):
    with seen.figures.holding(ATTEMPT):
        seen.figures.entered(stage)
        assert any(name == "running" for name, *_ in seen.read())


def test_no_metric_names_a_project_a_job_or_an_attempt(seen):
    seen.jobs = [view("a-jobs-name", State.PENDING)]
    with seen.figures.holding(ATTEMPT):
        text = generate_latest(registry_of(seen.watched)).decode()
    assert not any(name in text for name in ("genesis", "0000abcd", "a-jobs-name"))
