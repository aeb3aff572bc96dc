"""What a machine can do: nothing, some jobs or all of them, each with a reason."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codex_worker.clock import SystemClock
from codex_worker.contract.manifest import JobEntry
from codex_worker.supervisor.machine import Condition, conditions, driver_listing, memory_limit
from codex_worker.supervisor.needs import needs_of
from codex_worker.supervisor.probing import Computing, computing_condition, probe_computing
from codex_worker.supervisor.server_date import clock_condition, server_date_s
from codex_worker.supervisor.settings import RuntimeSettings
from codex_worker.supervisor.weights import WeightsAtHand

WhyNot = Callable[[JobEntry], str | None]


@dataclass(frozen=True)
class Fitness:
    """What was found of the machine; `checks` are asked about each job of the full preset."""

    conditions: Sequence[Condition] = ()
    checks: Sequence[WhyNot] = ()

    @property
    def unfit(self) -> list[str]:
        """Why no job at all may be claimed, as sentences; empty where some may."""
        return [each.sentence for each in self.conditions if each.is_fatal]

    def why_not(self, entry: JobEntry, preset: str) -> str | None:
        """Why the machine must not begin this job, as sentences; None where it may."""
        if preset != "full":
            return None
        for each in self.conditions:
            if each.stops_full:
                return each.sentence
        return next((reason for check in self.checks if (reason := check(entry))), None)


FIT = Fitness()


@dataclass(frozen=True)
class MachineProbe:
    """Looks at this machine as a job would find it; `servers` are addresses whose clock counts."""

    settings: RuntimeSettings
    environment: Mapping[str, str]
    redact: Callable[[str], str]
    weights: WeightsAtHand
    servers: Sequence[str] = ()
    allow_cpu: bool = False
    tell: Callable[[Computing], object] = lambda found: None  # what computes here, as soon as that is known

    def __call__(self) -> Fitness:
        """Takes some seconds: it loads torch in a process of its own."""
        return Fitness(list(self.conditions()), (self._too_small, self._without_weights))

    def conditions(self) -> Iterator[Condition]:
        """Each as soon as it is known."""
        yield from conditions(self.settings.work_dir)
        found = self._computing()
        self.tell(found)
        yield computing_condition(found, driver_listing(), self.allow_cpu)
        for server in self.servers:
            # The machine's own clock, which the jobs' processes read as well.
            if wrong := clock_condition(server_date_s(server), SystemClock().time()):
                yield wrong

    def _computing(self) -> Computing:
        try:
            return probe_computing(self.environment, self.settings, self.redact)
        except OSError as error:
            return Computing(error=f"the test process cannot be started: {error}")

    def _too_small(self, entry: JobEntry) -> str | None:
        needs, work_dir = needs_of(self.settings.handlers_root, entry), self.settings.work_dir
        free_gb = shutil.disk_usage(work_dir).free / 1e9
        if free_gb < needs.disk_gb:
            return (
                f"It needs {needs.disk_gb:g} GB of disk, and {free_gb:.1f} GB are free in {work_dir}. "
                "Remove old job folders (--keep-jobs), or give another place by --work-dir."
            )
        limit = memory_limit()
        if limit is not None and limit / 1e9 < needs.memory_gb:
            return f"It needs {needs.memory_gb:g} GB of memory, and a job may use {limit / 1e9:.1f} GB here."
        return None

    def _without_weights(self, entry: JobEntry) -> str | None:
        is_asked = needs_of(self.settings.handlers_root, entry).official_weights
        return self.weights.why_not(entry) if is_asked else None
