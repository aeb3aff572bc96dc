"""A worker's figures as metrics for Prometheus: each once, with its meaning and when to be alarmed.

Labels hold only what is few: no project, job or worker has a label, and no secret can stand in one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from codex_worker.clock import Clock
from codex_worker.contract.state import State
from codex_worker.queue.job_queue import JobView
from codex_worker.supervisor.figures import OTHER, Figures
from codex_worker.supervisor.gpu_memory import Card, CardTrouble
from codex_worker.tally import Tally, Traffic

PREFIX = "codex_worker_"
Samples = Iterable[tuple[tuple[str, ...], float]]  # the labels' values, and the number


@dataclass(frozen=True)
class GpuUse:
    """One card, at one moment."""

    name: str  # its kind, as the driver says
    used_bytes: int
    total_bytes: int
    busy: float | None = None  # the share of the time in which anything ran on it, 0 to 1


def use_of(card: Card) -> Sequence[GpuUse]:
    """The card that jobs compute on, now; empty where there is none, or it doesn't answer."""
    try:
        memory = card.look()
    except CardTrouble:
        return ()  # the loop meets it as well, and says so
    if memory is None:
        return ()
    return (GpuUse(memory.name, memory.total_bytes - memory.free_bytes, memory.total_bytes, card.busy()),)


@dataclass(frozen=True)
class Watched:
    """What is asked for figures, each time that somebody looks."""

    figures: Figures
    tally: Tally
    clock: Clock
    jobs: Callable[[], Sequence[JobView]] = lambda: ()  # of all projects, as last seen
    job_types: frozenset[str] = field(default_factory=frozenset)  # those that there are handlers for
    gpus: Callable[[], Sequence[GpuUse]] = lambda: ()
    version: str = ""

    def job_type(self, name: str | None) -> str:
        """A label's value: what a manifest says is anybody's, so what no handler is for is one thing."""
        return name if name in self.job_types else OTHER


@dataclass(frozen=True)
class MetricKind:
    """One metric: its name, what it means, and an idea for an alert."""

    name: str  # without the prefix, and without `_total`
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str
    alert: str
    read: Callable[[Watched], Samples]

    @property
    def shown_name(self) -> str:
        """As it is asked for in Prometheus."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"

    def family(self, watched: Watched) -> Metric:
        """The metric with its numbers of now."""
        make = GaugeMetricFamily if self.kind == "gauge" else CounterMetricFamily
        found = make(f"{PREFIX}{self.name}", self.meaning, labels=self.labels)
        for labels, number in self.read(watched):
            # A handler names its stages: half a character must not cost all figures.
            found.add_metric([label.encode(errors="replace").decode() for label in labels], number)
        return found


class WorkerCollector(Collector):
    """Reads a worker's figures whenever a registry is asked; keeps none of its own."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """Part of prometheus_client's protocol."""
        for each in METRICS:
            yield each.family(self._watched)


def registry_of(watched: Watched) -> CollectorRegistry:
    """A registry of one worker's own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(WorkerCollector(watched))
    return registry


def metrics_table() -> str:
    """The documents' table of all metrics, in Markdown."""
    lines = ["| metric | labels | meaning | alert idea |", "|---|---|---|---|"]
    for each in METRICS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.shown_name}` | {labels} | {each.meaning} | {each.alert} |")
    return "\n".join(lines) + "\n"


def _jobs(watched: Watched) -> Samples:
    counts = Counter({(state.value, kind): 0 for state in State for kind in sorted(watched.job_types)})
    counts.update((view.state.value, _type_of(view, watched)) for view in watched.jobs())
    return counts.items()


def _queue_depth(watched: Watched) -> Samples:
    counts = Counter({(kind,): 0 for kind in sorted(watched.job_types)})
    counts.update((_type_of(view, watched),) for view in _pending(watched))
    return counts.items()


def _oldest_pending(watched: Watched) -> Samples:
    submitted = [view.entry.submitted_at for view in _pending(watched) if view.entry is not None]
    ages_s = [watched.clock.time() - moment.timestamp() for moment in submitted if moment is not None]
    yield (), max([0.0, *ages_s])


def _pending(watched: Watched) -> Iterator[JobView]:
    return (view for view in watched.jobs() if view.state is State.PENDING)


def _type_of(view: JobView, watched: Watched) -> str:
    return watched.job_type(None if view.entry is None else view.entry.job_type)


def _attempts(watched: Watched) -> Samples:
    counts: Counter[tuple[str, str, str]] = Counter()
    for (job_type, mode, how), count in watched.figures.ends.items():
        counts[watched.job_type(job_type), mode, how] += count
    return counts.items()


def _running(watched: Watched) -> Samples:
    attempt, stage = watched.figures.attempt, watched.figures.stage
    if attempt is not None and stage is not None:
        yield (watched.job_type(attempt.job_type), attempt.mode, stage), 1.0


def _stage_seconds(watched: Watched) -> Samples:
    return _by_stage(watched, watched.figures.stage_seconds)


def _audio_seconds(watched: Watched) -> Samples:
    return _by_stage(watched, watched.figures.audio_seconds)


def _by_stage(watched: Watched, found: Mapping[tuple[str, str], float]) -> Samples:
    seconds: dict[tuple[str, str], float] = {}
    for (job_type, stage), more_s in found.items():
        place = (watched.job_type(job_type), stage)
        seconds[place] = seconds.get(place, 0.0) + more_s
    return seconds.items()


def _lease_age(watched: Watched) -> Samples:
    age_s = watched.figures.lease_age_s
    return [] if age_s is None else [((), age_s)]


def _gpu_memory(watched: Watched) -> Samples:
    for gpu in watched.gpus():
        yield (gpu.name, "used"), gpu.used_bytes
        yield (gpu.name, "total"), gpu.total_bytes


def _gpu_busy(watched: Watched) -> Samples:
    return [((gpu.name,), gpu.busy) for gpu in watched.gpus() if gpu.busy is not None]


def _received(watched: Watched) -> Samples:
    return _by_line(watched.tally.received_bytes)


def _sent(watched: Watched) -> Samples:
    return _by_line(watched.tally.sent_bytes)


def _by_line(counts: Mapping[Traffic, int]) -> Samples:
    return [((line.value,), counts.get(line, 0)) for line in Traffic]


def _retries(watched: Watched) -> Samples:
    return [((what,), count) for what, count in watched.tally.retries.items()]


METRICS: Sequence[MetricKind] = (
    MetricKind(
        "jobs", "gauge", ("state", "kind"),
        "jobs of all projects as the last looks saw them, by state and job type (`asr`, `tts`; `other`: no "
        "handler is for it, or its entry cannot be read)",
        "`exhausted` or `invalid` rises: somebody's job needs a person",
        _jobs,
    ),
    MetricKind(
        "queue_depth", "gauge", ("kind",), "pending jobs, by job type",
        "above 0 for hours while no worker runs a job: start one, or read why the job is not begun",
        _queue_depth,
    ),
    MetricKind(
        "queue_oldest_seconds", "gauge", (),
        "how long ago the oldest pending job was submitted; 0 where none waits",
        "over a day: add a worker",
        _oldest_pending,
    ),
    MetricKind(
        "attempts", "counter", ("kind", "mode", "end"),
        "attempts of this worker that have ended, by job type, mode and how (a state of `response.yaml`; "
        "`lost`: the job came to belong to somebody else)",
        "`failed` rises twice in an hour: read the logs of these jobs",
        _attempts,
    ),
    MetricKind(
        "running", "gauge", ("kind", "mode", "stage"),
        "1 for the job that runs, with the stage it is in; nothing where none runs",
        "any stage but `training` for hours",
        _running,
    ),
    MetricKind(
        "stage_seconds", "counter", ("kind", "stage"),
        "the time spent in each stage of jobs: `starting`, what the handler names, `ending`",
        "`training` has under half of a day's increase: the card waits",
        _stage_seconds,
    ),
    MetricKind(
        "audio_seconds", "counter", ("kind", "stage"),
        "seconds of audio that were learnt from (as often as they were), read or spoken; its `rate` is audio "
        "seconds a second",
        "its rate in `training` is half of what the card does otherwise: somebody shares it",
        _audio_seconds,
    ),
    MetricKind(
        "lease_age_seconds", "gauge", (),
        "how long ago the server took the last beat of the running job's lease",
        "over 240: after five minutes another worker may take the job over",
        _lease_age,
    ),
    MetricKind(
        "gpu_memory_bytes", "gauge", ("gpu", "what"), "the card's memory, `used` (by anybody) and `total`",
        "`used` near `total` while no job runs: another tenant fills the card",
        _gpu_memory,
    ),
    MetricKind(
        "gpu_busy_ratio", "gauge", ("gpu",),
        "the share of the last moments in which anything ran on the card",
        "under 0.3 for an hour of `training`",
        _gpu_busy,
    ),
    MetricKind(
        "received_bytes", "counter", ("line",),
        "what came from servers, by `git` (with a token) and `large files`; what lies on disk does not count",
        "rises fast while jobs are few: the cache is too small",
        _received,
    ),
    MetricKind(
        "sent_bytes", "counter", ("line",), "what went to servers, as above",
        "rises by gigabytes an hour: training states are large (`--resume-max-gib`)",
        _sent,
    ),
    MetricKind(
        "retries", "counter", ("what",),
        "what failed for a reason that may pass and was tried again: `request`, `large file`, `transaction`, "
        "`publication`",
        "rises for ten minutes: the server has trouble",
        _retries,
    ),
    MetricKind(
        "silence_seconds", "gauge", (),
        "how long ago the worker last gave a sign of life, as `/healthz` judges",
        "over 900: it hangs, start it again",
        lambda watched: [((), watched.figures.silent_s)],
    ),
    MetricKind(
        "info", "gauge", ("version",), "1, with the worker's version", "workers of different versions",
        lambda watched: [((watched.version,), 1.0)],
    ),
)  # fmt: skip
