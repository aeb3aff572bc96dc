"""The simulated world: one clock, everybody's timers, the server's faults, and a schedule that is played.

Nothing runs at the same time. What real processes do at once is played by letting others act in the middle of
a worker's call to the server, or while it waits.
"""

import random
import secrets
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from codex_worker.codex.patch import Patch
from codex_worker.contract.paths import MANIFEST
from codex_worker.contract.state import State
from codex_worker.errors import ResourceError, ServerUnreachable
from codex_worker.git.repository import LockedTransport
from codex_worker.job.api import CellResult
from gitlab_jobs import JobQueue, QueueSettings
from tests.sim.judge import Judge, Violation
from tests.sim.older_worker import OlderWorker
from tests.sim.people import Translator, job_entry
from tests.sim.schedule import PEOPLE, Schedule, Step
from tests.sim.servers import Files, Server
from tests.sim.settlement import judge_settled
from tests.sim.states import SavedStates
from tests.sim.worker import Died, Machine, Process, budgets
from tests.support.editor_merge import SyncRefused
from tests.support.editor_sync import Phase
from tests.support.notebooks import PATH, cell, notebook, recorded_cell, written_cell
from tests.support.present import present
from tests.support.queues import manifest

START_S = 1_767_225_660.0  # a minute after everything in the notebook
OLDER_BEAT_S = 300.0
DAY_S = 24 * 3600.0
CLAIM_TIMEOUT_S = 45 * 60.0  # with no lease at all; longer than an owner's silence between two reports
FREEZES_S = (30.0, 200.0, 400.0, 900.0)
OUTAGES_S = (20.0, 120.0, 400.0, 900.0)
PAUSES_BETWEEN_REASSERTIONS_S = (15 * 60.0, 3600.0, 6 * 3600.0, 6 * 3600.0)


@dataclass
class _Frame:
    """A step that is being played; its fault and its inner steps wait for its first push."""

    step: Step
    process: Process
    is_open: bool = True
    fault: str = ""


def first_files(schedule: Schedule) -> Files:
    """The project at the start."""
    entries = [job_entry(f"j{n}", n + len(schedule.seed)) for n in range(schedule.conditions.jobs)]
    cells = (
        recorded_cell("MRK 1:1"),
        written_cell("MRK 1:2", "two"),
        cell("MRK 1:3", data={"book": "MRK"}),
        recorded_cell("MRK 1:4"),
        written_cell("MRK 1:5", "five"),
    )
    return {MANIFEST: manifest(*entries), PATH: notebook(*cells), "metadata.json": b"{}"}


class World:
    """Plays one schedule on one server."""

    def __init__(
        self,
        schedule: Schedule,
        server: Server,
        recording: Path,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.schedule = schedule
        self.server = server
        self.time_s = START_S
        self.counts: Counter[str] = Counter()  # steps played
        self.faults: Counter[str] = Counter()
        self._tell = tell
        conditions = schedule.conditions
        self.judge = Judge(server, conditions, self.now_s)
        self.states = SavedStates(self.judge.complain)
        self._stamp_ms = int(START_S * 1000)
        settings = QueueSettings(
            budgets=budgets(conditions),
            claim_timeout_s=CLAIM_TIMEOUT_S,
            take_over_older_after_s=900.0 if conditions.takes_over_older else None,
            publish_timeout_s=600.0,
            stays=conditions.stays,
            older_workers=conditions.has_older_worker,
        )
        self.machines = {
            name: Machine(name, settings, recording, is_sick=name == conditions.sick)
            for name in (f"worker-{letter}" for letter in "abc"[: conditions.workers])
        }
        self.people = {name: Translator(name, server, self._stamp) for name in PEOPLE}
        self.older = OlderWorker("older-1", server, self.now_s, self.judge.older_pushed)
        self._older_due_s = START_S + OLDER_BEAT_S
        self._steps: deque[Step] = deque(schedule.steps)
        self._frames: list[_Frame] = []
        self._down_until: dict[str, float] = {}  # "" for everybody
        self._answers_to_lose = 0
        self._full_until: dict[str, float] = {}
        self._use_refusals(())
        for machine in self.machines.values():
            machine.start(self)

    def play(self) -> list[Violation]:
        """The whole schedule and what follows until all is quiet. Answers what was violated."""
        with _seeded(self.schedule.seed):
            try:
                while self._steps and not self.judge.violations:
                    self._play(self._steps.popleft())
                if not self.judge.violations:
                    self._settle()
            except SyncRefused as error:
                self.judge.complain(4, f"a translator cannot sync: {error}")
            except Exception as error:  # whatever goes wrong is a finding, and the next schedule goes on
                frames = traceback.extract_tb(error.__traceback__)
                place = next((f for f in reversed(frames) if "/tests/" not in f.filename), frames[-1])
                self.judge.complain(
                    0, f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
                )
        return self.judge.violations

    def now_s(self) -> float:
        return self.time_s

    def transport(self, process: Process, name: str) -> LockedTransport:
        return self.server.transport(
            f"{process.machine.name}-{name}",
            self.now_s,
            lambda call, when: self._on_call(process, name, call, when),
            lambda commit: self.judge.authors.__setitem__(commit, process.acting),
        )

    def watched(self, process: Process, silent: list[str] | None) -> None:
        self.judge.watched(process.machine.name, silent)
        if silent:
            self._say(f"{process.machine.name} sees no sign of life of {', '.join(silent)}")

    def patched(self, results: list[CellResult], job_id: str) -> None:
        patches: list[Patch] = [result.patch for result in results]
        self.judge.patches += patches
        self.judge.patch_jobs += [job_id] * len(patches)

    def rest(self, duration_s: float) -> None:
        """Time passes, and whatever is due in it is done."""
        until = self.time_s + duration_s
        while True:
            due = self._next_due()
            if due is None or due[0] > until:
                break
            self.time_s = max(self.time_s, due[0])
            machine, thread = due[1:]
            if machine is None:
                self._older_due_s = self.time_s + OLDER_BEAT_S
                if self._reaches_server("older"):
                    self.counts["older beats"] += 1
                    self.older.heartbeat()
            else:
                self.counts[f"({thread})"] += 1
                machine.process.tick(thread)
        self.time_s = max(self.time_s, until)

    def _next_due(self) -> tuple[float, Machine | None, str] | None:
        best: tuple[float, Machine | None, str] | None = None
        if self.older.job_id is not None:
            best = (self._older_due_s, None, "")
        for machine in self.machines.values():
            process = machine.process
            if process.is_dead:
                continue
            for thread, due_s in process.due.items():
                due_s = max(due_s, machine.frozen_until_s)
                if (best is None or due_s < best[0]) and process.is_free(thread):
                    best = (due_s, machine, thread)
        return best

    def _play(self, step: Step) -> None:
        self.rest(step.wait_s)
        self._say(str(step))
        self.counts[step.action] += 1
        if step.actor in self.people:
            self._play_person(self.people[step.actor], step)
        elif step.actor == "older":
            if self._reaches_server("older"):
                self.older.act(step.action, step.number)
        elif step.actor == "server":
            self._play_server(step)
        else:
            self._play_worker(self.machines[step.actor], step)

    def _play_person(self, person: Translator, step: Step) -> None:
        if step.action == "sync":
            if self._reaches_server(person.name) and not person.is_syncing:
                self._sync(person, step)
        elif person.is_syncing:
            self.counts["(syncing)"] += 1
        else:
            person.act(step.action, step.number)

    def _sync(self, person: Translator, step: Step | None = None) -> None:
        place = Phase.PUSH_MERGE if step is not None and step.after else Phase.FETCH_TO_COMPLETE
        inside = [step.inside if step is not None else 0]

        def between(phase: Phase) -> None:
            if phase is not place or not inside[0]:
                return
            steps, inside[0] = inside[0], 0
            self.faults["others in a sync"] += 1
            for _ in range(steps):
                if self._steps and not self.judge.violations:
                    self._play(self._steps.popleft())

        pushed = person.sync(between)
        if pushed is not None:
            self.judge.synced(pushed, person.name)

    def _play_server(self, step: Step) -> None:
        length_s = OUTAGES_S[step.number % len(OUTAGES_S)]
        if step.action == "outage":
            self._down_until[""] = self.time_s + length_s
        elif step.action == "partition":
            machine = sorted(self.machines)[step.number % len(self.machines)]
            self._down_until[machine] = self.time_s + length_s
        elif step.action == "refuse":
            choices = ("refs/", "refs/heads/main", "refs/gpu-jobs/", "refs/gpu-records/")[
                : 4 if self.schedule.conditions.atomic else 2
            ]
            self._use_refusals((choices[step.number % len(choices)],))
        elif step.action == "accept":
            self._use_refusals(())
        elif step.action in {"fill disk", "break cache"}:
            machine = sorted(self.machines)[step.number % len(self.machines)]
            if step.action == "fill disk":
                self._full_until[machine] = self.time_s + length_s
            else:
                self.faults["cache broken"] += 1
                self.server.break_cache(machine, step.number // len(self.machines))
        elif step.action == "lose answers":
            self._answers_to_lose = 1 + step.number % 3
        else:
            # Everything stands still meanwhile: machines asleep, nobody at work.
            self.time_s += DAY_S * (31 if step.action == "month" else 1.05)

    def _play_worker(self, machine: Machine, step: Step) -> None:
        process = machine.process
        if step.action == "restart":
            machine.start(self)
        elif step.action == "freeze":
            length_s = FREEZES_S[step.number % len(FREEZES_S)]
            machine.frozen_until_s = self.time_s + length_s
            process.stood_still(length_s)
        elif process.is_dead or machine.frozen_until_s > self.time_s:
            self.counts["(nobody there)"] += 1
        elif step.action == "crash":
            process.die()
        elif process.is_free("main"):
            frame = _Frame(step, process, fault=step.fault)
            self._frames.append(frame)
            process.act(step.action, step.number)
            frame.is_open = False
            self._frames.remove(frame)
        else:
            self.counts["(busy)"] += 1

    def _on_call(self, process: Process, name: str, call: str, when: str) -> None:
        """Before and after every call of a worker to the server; what is raised is what the worker sees."""
        if process.is_dead:
            raise Died
        worker = process.machine.name
        if call == "look":
            self.judge.looked(worker)
        if call == "commit":
            if self._full_until.get(worker, 0.0) > self.time_s:
                self.faults["disk full"] += 1
                raise ResourceError("The simulated disk is full.")
            return
        if call == "push" and when == "after":
            before = self.judge.refs
            self.judge.pushed_by(process.acting)
            self._say_moves(process, before)
        if call == "push":
            self._meddle(process, when)
        if not self._reaches_server(worker):
            self.faults["unreachable"] += 1
            raise ServerUnreachable("The simulated server cannot be reached.")
        if call == "push" and when == "after" and self._answers_to_lose:
            self._answers_to_lose -= 1
            self.faults["answer lost"] += 1
            raise ServerUnreachable("The simulated answer was lost.")

    def _meddle(self, process: Process, when: str) -> None:
        """The inner steps and the fault of the step whose push this is, each once."""
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.process is not process or not frame.is_open:
            return
        if process.running[-1][0] not in {"main", "save"}:
            return
        if frame.step.inside and frame.step.after == (when == "after"):
            frame.is_open = bool(frame.fault)
            inside, frame.step = frame.step.inside, _without_inside(frame.step)
            self._let_others_act(process, inside, frozen=frame.step.frozen)
        fault = frame.fault
        if not fault or (fault.endswith("after") != (when == "after")):
            return
        frame.fault = ""
        self.faults[fault] += 1
        if fault.startswith("died"):
            process.die()
            raise Died
        if fault == "slow":
            with process.holding_locks():
                self.rest(45.0)
        else:
            raise ServerUnreachable(f"The simulated server: {fault} the push took effect.")

    def _let_others_act(self, process: Process, steps: int, *, frozen: bool) -> None:
        machine = process.machine
        self.faults["frozen in a push" if frozen else "others in a push"] += 1
        started_s = self.time_s
        if frozen:
            machine.frozen_until_s = float("inf")
        try:
            with process.holding_locks():
                for _ in range(steps):
                    if self._steps and not self.judge.violations:
                        self._play(self._steps.popleft())
        finally:
            if frozen:
                machine.frozen_until_s = 0.0
                process.stood_still(self.time_s - started_s)

    def _say(self, text: str) -> None:
        if self._tell is not None:
            self._tell(f"{self.time_s - START_S:9.1f} s  {text}")

    def _say_moves(self, process: Process, before: dict[str, str]) -> None:
        if self._tell is None:
            return
        after, acting = self.judge.refs, process.acting
        moved = [ref for ref in after.keys() | before.keys() if after.get(ref) != before.get(ref)]
        whose = f"attempt {acting.attempt.name} of {acting.attempt.job_id}" if acting.attempt else "the queue"
        self._say(f"    {process.machine.name}, for {whose}, moved {', '.join(sorted(moved)) or 'nothing'}")

    def _reaches_server(self, who: str) -> bool:
        return all(self._down_until.get(name, 0.0) <= self.time_s for name in ("", who))

    def _use_refusals(self, passing: tuple[str, ...]) -> None:
        if passing:
            self.faults["hook refuses " + passing[0]] += 1
        self.server.refuse((*self.schedule.conditions.refused_refs, *passing))

    def _stamp(self) -> int:
        """People's clocks show no millisecond twice."""
        self._stamp_ms = max(self._stamp_ms + 1, int(self.time_s * 1000))
        return self._stamp_ms

    def _settle(self) -> None:
        """Faults and merges stop; everybody who lives goes on until nothing is left to do."""
        self._down_until.clear()
        self._full_until.clear()
        self._answers_to_lose = 0
        self._use_refusals(())
        for machine in self.machines.values():
            machine.frozen_until_s = 0.0
            machine.start(self)
        for person in [*self.people.values()] * 2:
            self._sync(person)
        for _ in range(2):
            if self.older.job_id is not None:
                self.older.act("finish", 0)
                self.older.act("log", 0)
        self._work_until_quiet()
        for pause_s, machine in zip(
            PAUSES_BETWEEN_REASSERTIONS_S, cycle(self.machines.values()), strict=False
        ):
            self.time_s += pause_s
            machine.process.tick("watch")
        self._work_until_quiet()
        views = self._observer().survey()
        changes = [change for person in self.people.values() for change in person.changes]
        judge_settled(self.judge, {view.job_id: (view.state.value, view.reason) for view in views}, changes)

    def _work_until_quiet(self) -> None:
        observer = self._observer()
        limit_s = 2 * CLAIM_TIMEOUT_S if len(self.schedule.conditions.refused_refs) > 1 else 20 * 60.0
        until = self.time_s + limit_s
        while self.time_s < until and not self.judge.violations:
            until += self._sleep_while_all_rest()
            for number, machine in enumerate(self.machines.values()):
                for _ in range(2):
                    machine.start(self)
                    machine.process.act("complete", number)
            states = {view.state for view in observer.survey()}
            idle = not any(m.process.held or m.kept for m in self.machines.values())
            if idle and not states & {State.PENDING, State.RUNNING, State.CANCEL_REQUESTED, State.EXHAUSTED}:
                return
            self.rest(60.0)

    def _sleep_while_all_rest(self) -> float:
        """Jumps to when a worker tries a job again that all of them have failed; answers by how much."""
        rests = []
        for machine in self.machines.values():
            views = machine.process.queue.survey()
            pending = [view.rests_until for view in views if view.state is State.PENDING]
            if not pending or None in pending or any(view.state is State.RUNNING for view in views):
                return 0.0
            rests.append(min(present(until) for until in pending).timestamp())
        slept_s = min(rests) - self.time_s
        self.time_s += slept_s
        return slept_s

    def _observer(self) -> JobQueue:
        machine = next(iter(self.machines.values()))
        return machine.process.queue


def _without_inside(step: Step) -> Step:
    return Step(step.actor, step.action, step.number, step.wait_s, step.fault, 0, step.after, step.frozen)


@contextmanager
def _seeded(seed: str) -> Iterator[None]:
    """Nonces come from the seed while a schedule is played."""
    rng = random.Random(seed)
    real = secrets.token_hex

    def from_the_seed(nbytes: int | None = None) -> str:
        return rng.randbytes(present(nbytes)).hex()

    secrets.token_hex = from_the_seed
    try:
        yield
    finally:
        secrets.token_hex = real
