"""Which running jobs give no sign of life: what a job looks like, and for how long it may look so."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from codex_worker.contract.paths import RecordName
from codex_worker.contract.state import JobFacts, State
from codex_worker.git.ports import Heads
from codex_worker.queue.facts import lease_at


@dataclass(frozen=True)
class Look:
    """What a living worker would change about its job."""

    attempt: RecordName | None  # None: an older worker's job
    lease_id: str | None
    response_blob: str | None


@dataclass(frozen=True)
class SilenceLimits:
    """For how long a job may look the same where no lease tells."""

    without_lease_s: float
    older_worker_s: float | None  # None: an older worker's job is never taken over


class SilenceWatch:
    """Remembers since when each running job looks as it does."""

    def __init__(self, limits: SilenceLimits) -> None:
        self._limits = limits
        self._watch = StaleWatch()

    def failed(self) -> None:
        """Notes a look that did not reach the server."""
        self._watch.failed()

    def silent(
        self, facts: JobFacts, state: State, heads: Heads, now_s: float, *, names_a_lease: bool
    ) -> Look | None:
        """What the job looks like, when it has looked so for too long; None otherwise.

        `names_a_lease` says whether the running attempt beats one: a lease that is not there yet comes
        with its next beat.
        """
        limit = self._limit_s(facts, state, names_a_lease)
        if limit is None:
            self._watch.forget(facts.job_id)
            return None
        seen = look_of(facts, heads)
        return seen if self._watch.saw(facts.job_id, seen, now_s) >= limit else None

    def _limit_s(self, facts: JobFacts, state: State, names_a_lease: bool) -> float | None:
        if state is State.RUNNING:
            return STALE_AFTER_S if names_a_lease else self._limits.without_lease_s
        older_is_at_its_end = facts.log_blob is not None  # they upload the log last
        if state is State.ELSEWHERE and not older_is_at_its_end:
            return self._limits.older_worker_s
        return None


def look_of(facts: JobFacts, heads: Heads) -> Look:
    """What the job looks like at these heads."""
    newest = facts.newest
    running = newest if newest and not facts.has_end(newest) else None
    lease_id = lease_at(heads, facts.job_id)[1]
    # With a lease, the owner's progress and other people's merges don't matter: only its beats do.
    return Look(running, lease_id, None if running and lease_id else facts.response_blob)


STALE_AFTER_S = 5 * 60
LONGEST_GAP_S = 90


@dataclass(frozen=True)
class _Seen:
    value: Hashable
    since_s: float
    last_s: float


class StaleWatch:
    """Watches values that a living owner would change."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def saw(self, key: str, value: Hashable, now_s: float) -> float:
        """Notes a look that reached the server; answers for how many seconds the value has stood still."""
        before = self._seen.get(key)
        if before is None or before.value != value or now_s - before.last_s > LONGEST_GAP_S:
            self._seen[key] = _Seen(value, now_s, now_s)
            return 0.0
        self._seen[key] = replace(before, last_s=now_s)
        return now_s - before.since_s

    def failed(self) -> None:
        """Notes a look that did not reach the server: after an outage everybody's lease looks old."""
        self._seen.clear()

    def forget(self, key: str) -> None:
        """Ends the watch of one value."""
        self._seen.pop(key, None)
