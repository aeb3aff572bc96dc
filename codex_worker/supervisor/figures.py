"""What a worker tells of itself while it runs: the attempt it has in hand, its stage, its last sign of life.

The worker writes it down as it goes; whoever watches (its log, its metrics) reads, and never waits.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from codex_worker.clock import Clock, SystemClock
from codex_worker.queue.owned import OwnedJob

# A handler names its stages itself. So many names are kept apart.
MOST_STAGES = 20
OTHER = "other"
STARTING, ENDING = "starting", "ending"  # before the job's process says anything, and once it is gone
LOST = "lost"  # how an attempt ended whose job belongs to somebody else now


@dataclass(frozen=True)
class AttemptInHand:
    """Which attempt it is, at what."""

    job_id: str
    attempt: str  # "<number>-<nonce>"
    project: str  # its name, for people
    job_type: str
    mode: str

    @classmethod
    def of(cls, owned: OwnedJob, project: str) -> "AttemptInHand":
        """The attempt at a job that was claimed."""
        entry = owned.entry
        return cls(entry.job_id, owned.attempt.name, project, entry.job_type, entry.mode)


class Figures:
    """One worker's. Safe to use from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._stage_since_s = 0.0
        self._stage_seconds: dict[tuple[str, str], float] = {}  # job type, stage
        self._stages: set[str] = {STARTING, ENDING}
        self._audio_s: dict[tuple[str, str], float] = {}  # likewise
        self._ends: Counter[tuple[str, str, str]] = Counter()  # job type, mode, how it ended
        self._beaten_at_s: float | None = None
        self._sign_at_s = self._clock.monotonic()
        self.loop: threading.Thread | None = None  # the one whose end is the worker's
        self.attempt: AttemptInHand | None = None
        self.was_read = False  # a poll has read the projects, once
        self.publishes_kept = False  # results of earlier attempts, which may take an hour without a sign
        self.is_unfit = False  # this machine may claim no jobs

    @contextmanager
    def holding(self, attempt: AttemptInHand) -> Iterator[None]:
        """Within the block this is the attempt."""
        with self._lock:
            self.attempt, self._beaten_at_s = attempt, self._clock.monotonic()
        self.entered(STARTING)
        try:
            yield
        finally:
            self.entered(None)
            with self._lock:
                self.attempt = self._beaten_at_s = None

    @contextmanager
    def publishing_kept(self) -> Iterator[None]:
        """Within the block large files may be on their way; each request has its own limit."""
        self.publishes_kept = True
        try:
            yield
        finally:
            self.publishes_kept = False
            self.sign()

    def entered(self, stage: str | None) -> None:
        """The attempt's next stage begins now; None: it is over."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._add_stage_time(now_s)
            if stage is not None and stage not in self._stages:
                if len(self._stages) >= MOST_STAGES:
                    stage = OTHER
                self._stages.add(stage)
            self._stage, self._stage_since_s = stage, now_s

    def computed(self, audio_s: float) -> None:
        """The attempt has computed so many seconds of audio more."""
        with self._lock:
            if self.attempt is not None and self._stage is not None:
                place = (self.attempt.job_type, self._stage)
                self._audio_s[place] = self._audio_s.get(place, 0.0) + audio_s

    def ended(self, how: str) -> None:
        """The attempt in hand has ended like this: a state's name, or LOST."""
        with self._lock:
            if self.attempt is not None:
                self._ends[self.attempt.job_type, self.attempt.mode, how] += 1

    def beaten(self) -> None:
        """The server has taken a beat of the job's lease."""
        with self._lock:
            self._beaten_at_s = self._clock.monotonic()

    def sign(self) -> None:
        """The loop goes on, or what looks after its job does."""
        self._sign_at_s = self._clock.monotonic()

    def polled(self, *, was_read: bool) -> None:
        """The projects were looked at; at least one of them could be read, or there is none."""
        self.was_read = self.was_read or was_read
        self.sign()

    @property
    def silent_s(self) -> float:
        """How long ago the last sign of life was."""
        return self._clock.monotonic() - self._sign_at_s

    @property
    def lease_age_s(self) -> float | None:
        """How long ago the job's lease was last beaten; None where no job runs."""
        beaten_at_s = self._beaten_at_s
        return None if beaten_at_s is None else self._clock.monotonic() - beaten_at_s

    @property
    def stage(self) -> str | None:
        """The stage that the attempt is in; None where no job runs."""
        return self._stage

    @property
    def stage_seconds(self) -> dict[tuple[str, str], float]:
        """The time that was spent by job type and stage, the one that goes on included."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._add_stage_time(now_s)
            return dict(self._stage_seconds)

    @property
    def audio_seconds(self) -> dict[tuple[str, str], float]:
        """The audio that was computed, by job type and stage."""
        with self._lock:
            return dict(self._audio_s)

    @property
    def ends(self) -> dict[tuple[str, str, str], int]:
        """How many attempts have ended, by job type, mode and how."""
        with self._lock:
            return dict(self._ends)

    def _add_stage_time(self, now_s: float) -> None:
        if self._stage is not None and self.attempt is not None:
            place = (self.attempt.job_type, self._stage)
            spent_s = max(now_s - self._stage_since_s, 0.0)
            self._stage_seconds[place] = self._stage_seconds.get(place, 0.0) + spent_s
            self._stage_since_s = now_s
