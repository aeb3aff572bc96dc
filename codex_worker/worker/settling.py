"""The jobs of one project whose results have to be compared with the head until they stand for good."""

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from codex_worker.clock import Clock
from codex_worker.contract.records import now_utc
from codex_worker.contract.state import State
from codex_worker.git.ports import Heads
from codex_worker.publish.standing import Publications
from codex_worker.queue.job_queue import JobQueue, JobView, ProjectLook, in_turn

logger = logging.getLogger(__name__)

# A sync that began before a publication, and may still drop it, is over by then.
SETTLED_AFTER_S = 3600.0
# What one look may take for comparing; the rest is the next look's.
COMPARE_WITHIN_S = 30.0
# Who comes by later takes an end's own time for it; no clock is wrong by so much for long.
SETTLED_WHEN_OLDER_THAN = timedelta(hours=24)


@dataclass
class _Compared:
    """What was last seen of one job's publications."""

    publications: Publications
    at: tuple[str, str] = ("", "")  # the head and the record that they were compared at
    record: str = ""
    good_since_s: float | None = None


@dataclass
class Settling:
    """Compares, puts back, and closes the ledger of a job once its results stand."""

    queue: JobQueue
    clock: Clock
    own: set[str] = field(default_factory=set)  # jobs that this worker has ended: their ledgers are here
    _jobs: dict[str, _Compared] = field(default_factory=dict)
    _compared_last: str = ""

    def look(self, sight: ProjectLook) -> int:
        """Compares what has moved since the last look; answers how many results were put back."""
        put_back = 0
        until_s = self.clock.monotonic() + COMPARE_WITHIN_S
        for view in sight.views:
            if not _is_open(view):
                self._jobs.pop(view.job_id, None)
        for view in in_turn([view for view in sight.views if _is_open(view)], self._compared_last):
            if self.clock.monotonic() >= until_s:
                break
            put_back += self._compare(view, sight.heads)
            self._compared_last = view.job_id
        return put_back

    def failed(self) -> None:
        """Notes a look that did not reach the server: nobody knows what happened meanwhile."""
        for compared in self._jobs.values():
            compared.good_since_s = None

    def _compare(self, view: JobView, heads: Heads) -> int:
        now_s, job_id, record = self.clock.monotonic(), view.job_id, view.facts.record_id or ""
        compared = self._jobs.get(job_id)
        if compared is None:
            compared = self._jobs[job_id] = _Compared(Publications(job_id, self.queue.repository, view.entry))
        if compared.record != record:
            compared.record, compared.good_since_s = record, None
        put_back = 0
        if compared.at != (heads.commit, record):
            standing = compared.publications.look(thorough=job_id in self.own, standing=heads)
            put_back = standing.put_back
            if put_back or not standing.is_complete:
                compared.good_since_s = None
                return put_back
            compared.at = (heads.commit, record)
        if compared.good_since_s is None:
            compared.good_since_s = now_s
        if view.state.is_final and self._has_stood(view, now_s - compared.good_since_s):
            self.queue.close_ledger(job_id)
        return put_back

    def _has_stood(self, view: JobView, good_for_s: float) -> bool:
        if view.facts.dropped:
            return False
        end = view.facts.newest_end
        is_old = end is not None and now_utc(self.clock.time()) - end.ended_at > SETTLED_WHEN_OLDER_THAN
        return is_old or good_for_s >= SETTLED_AFTER_S


def _is_open(view: JobView) -> bool:
    """A running job's owner looks after it; any other job with a ledger is everybody's."""
    record = view.facts.record
    is_over = view.state not in {State.RUNNING, State.ELSEWHERE, State.DELETED}
    return record is not None and not record.about.settled and is_over
