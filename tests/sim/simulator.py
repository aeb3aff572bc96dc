"""Playing schedules one after another, on the twin or on git, also with a worker broken on purpose."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from codex_worker.codex.patch import Applied, apply_patches
from codex_worker.contract import state
from codex_worker.contract.records import ResumePointer
from codex_worker.contract.state import JobFacts, Removals
from codex_worker.publish import cells
from codex_worker.publish.standing import AtHead, Publications
from codex_worker.queue import facts as facts_module
from codex_worker.queue.owned import OwnedJob
from tests.sim.judge import Violation
from tests.sim.schedule import Schedule, Step, draw
from tests.sim.servers import GitServer, Server, TwinServer
from tests.sim.states import SavedStates
from tests.sim.worker import RECORDING_BYTES, Process
from tests.sim.world import World, first_files

TWIN_LENGTH, GIT_LENGTH = 30, 15  # steps in a schedule, on average
MAX_SHRINKING_RUNS = 400


@dataclass
class Finding:
    """A schedule that violated something, and the shortest one found that does so too."""

    schedule: Schedule
    violation: Violation
    shrunk: Schedule
    shrunk_violation: Violation

    def __str__(self) -> str:
        return (
            f"VIOLATION of {self.violation}\n"
            f"  in a schedule of {len(self.schedule.steps)} steps; shrunk to {len(self.shrunk.steps)}:\n"
            f"{self.shrunk}\n  => {self.shrunk_violation}"
        )


@dataclass
class Report:
    """What was played and what came of it."""

    schedules: int = 0
    commits: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """Takes another report in."""
        self.schedules += other.schedules
        self.commits += other.commits
        self.seconds = max(self.seconds, other.seconds)
        self.steps += other.steps
        self.faults += other.faults
        self.events += other.events
        self.findings += other.findings

    def __str__(self) -> str:
        each_ms = 1000 * self.seconds / max(self.steps.total(), 1)
        lines = [
            f"{self.schedules} schedules, {self.steps.total()} steps, {self.commits} commits "
            f"in {self.seconds:.1f} s ({each_ms:.2f} ms a step), {len(self.findings)} violations",
            f"steps: {_listed(self.steps)}",
            f"faults: {_listed(self.faults)}",
            f"what came of it: {_listed(self.events)}",
        ]
        return "\n".join([*lines, *map(str, self.findings)])


class Simulator:
    """Plays schedules on one kind of server. Its folder is removed by `close`."""

    def __init__(self, *, on_git: bool = False) -> None:
        self._on_git = on_git
        self._folder = Path(tempfile.mkdtemp(prefix="simulator-"))
        self._recording = self._folder / "recording.webm"
        self._recording.write_bytes(b"r" * RECORDING_BYTES)

    def close(self) -> None:
        """Removes what was written to disk."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def play(
        self,
        schedule: Schedule,
        report: Report | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> list[Violation]:
        """Plays one schedule; answers what it violated. `tell` hears of everything that happens."""
        server = self._server(schedule)
        try:
            world = World(schedule, server, self._recording, tell)
            violations = world.play()
        finally:
            server.close()
        if report is not None:
            report.schedules += 1
            report.commits += world.judge.commits
            report.steps += world.counts
            report.faults += world.faults
            report.events += world.judge.events
        return violations

    def run(self, seeds: Iterator[str], *, length: int = TWIN_LENGTH, findings: int = 10) -> Report:
        """Plays the schedules of these seeds, until so many of them have violated something."""
        report = Report()
        started = time.perf_counter()
        for seed in seeds:
            schedule = draw(seed, length)
            violations = self.play(schedule, report)
            if violations:
                shrunk = self.shrink(schedule, violations[0])
                report.findings.append(Finding(schedule, violations[0], *shrunk))
                if len(report.findings) >= findings:
                    break
        report.seconds = time.perf_counter() - started
        return report

    def shrink(self, schedule: Schedule, violation: Violation) -> tuple[Schedule, Violation]:
        """A shorter schedule that violates the same invariant: steps are dropped while it still does."""
        best, why = schedule, violation
        runs = 0

        def still(steps: tuple[Step, ...]) -> Violation | None:
            nonlocal runs
            runs += 1
            found = self.play(schedule.with_steps(steps))
            return next((v for v in found if v.invariant == violation.invariant), None)

        size = max(len(best.steps) // 2, 1)
        while size and runs < MAX_SHRINKING_RUNS:
            start, dropped = 0, False
            while start < len(best.steps) and runs < MAX_SHRINKING_RUNS:
                steps = best.steps[:start] + best.steps[start + size :]
                found = still(steps)
                if found is not None:
                    best, why, dropped = best.with_steps(steps), found, True
                else:
                    start += size
            if not dropped or size > 1:
                size //= 2
        for place, step in enumerate(best.steps):
            for plainer in _plainer(step):
                steps = (*best.steps[:place], plainer, *best.steps[place + 1 :])
                found = still(steps) if runs < MAX_SHRINKING_RUNS else None
                if found is not None:
                    best, why = best.with_steps(steps), found
                    break
        return best, why

    def _server(self, schedule: Schedule) -> Server:
        files, atomic = first_files(schedule), schedule.conditions.atomic
        if self._on_git:
            return GitServer(files, self._folder / "play", atomic=atomic)
        return TwinServer(files, atomic=atomic)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def seeds(count: int, seed: int, start: int = 0, stride: int = 1) -> Iterator[str]:
    """The seeds of schedules `start`, `start + stride`, ... below `count`."""
    return (f"{seed}-{number}" for number in range(start, count, stride))


def _plainer(step: Step) -> Iterator[Step]:
    if step.inside or step.fault:
        yield replace(step, inside=0, fault="", after=False, frozen=False)
    if step.fault:
        yield replace(step, fault="")
    if step.frozen:
        yield replace(step, frozen=False)
    if step.inside > 1:
        yield replace(step, inside=1)


@contextmanager
def without_fence() -> Iterator[None]:
    """Breaks the worker on purpose: no publication asks any more whether the job is still its own."""
    with mock.patch.object(OwnedJob, "_is_mine", lambda self, facts: True):
        yield


@contextmanager
def whole_notebooks() -> Iterator[None]:
    """Breaks the worker on purpose: a notebook is published as it was read, with the results in it."""
    publishing: list[Process] = []
    work = Process._work

    def remember(self: Process, action: str, number: int) -> None:
        publishing.append(self)
        try:
            work(self, action, number)
        finally:
            publishing.pop()

    def apply_to_what_was_read(data: bytes, *arguments: Any) -> Applied:
        held = publishing[-1].held
        return apply_patches(held.notebook if held and held.notebook else data, *arguments)

    with (
        mock.patch.object(Process, "_work", remember),
        mock.patch.object(cells, "apply_patches", apply_to_what_was_read),
    ):
        yield


@contextmanager
def without_ledger() -> Iterator[None]:
    """Breaks the worker on purpose: what a merge has left out of the branch is never put back."""
    with mock.patch.object(Publications, "look", lambda self, **_: AtHead()):
        yield


@contextmanager
def absence_is_deletion() -> Iterator[None]:
    """Breaks the worker on purpose: what is not at the head counts as removed by a person."""

    def removals(facts: JobFacts, *_: object) -> Removals:
        return Removals(of_job=bool(facts.dropped), of_entry=facts.entry is None)

    with mock.patch.object(facts_module, "removals_of", removals):
        yield


@contextmanager
def counting_ends() -> Iterator[None]:
    """Breaks the worker on purpose: a budget counts ends, whoever made them."""

    def each_end(facts: JobFacts) -> set[str]:
        return {name.nonce for name, _ in state._failures(facts)}

    with mock.patch.object(state, "_failed_workers", each_end):
        yield


@contextmanager
def from_the_beginning() -> Iterator[None]:
    """Breaks the worker on purpose: an attempt goes on from no state, whatever the lease names."""
    with mock.patch.object(OwnedJob, "resume", None):
        yield


@contextmanager
def any_state() -> Iterator[None]:
    """Breaks the worker on purpose: whoever goes on does so from what was saved last, whosever it is."""
    saved: list[ResumePointer] = []
    save = SavedStates.save

    def remember(self: SavedStates, owned: OwnedJob, pieces: int) -> None:
        save(self, owned, pieces)
        saved.append(self.newest)

    newest = property(lambda self: saved[-1] if saved else None)
    with (
        mock.patch.object(SavedStates, "save", remember),
        mock.patch.object(OwnedJob, "resume", newest),
    ):
        yield


SWITCHES: dict[str, Callable] = {
    "without-fence": without_fence,
    "whole-notebooks": whole_notebooks,
    "without-ledger": without_ledger,
    "absence-is-deletion": absence_is_deletion,
    "counting-ends": counting_ends,
    "from-the-beginning": from_the_beginning,
    "any-state": any_state,
}
