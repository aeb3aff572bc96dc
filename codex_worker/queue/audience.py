"""Who looks at a project beside the owner of a job, which decides what response.yaml may be used for.

The editor's merge keeps a translator's copy of a file that exists, but takes over a new one. So where nobody
stays to put a final response right, it is written once, at the end; where somebody stays, it tells of the
progress as well; and an older worker takes a job without a response for a free one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from codex_worker.contract.state import JobFacts, is_older_workers
from codex_worker.contract.yaml_text import read_time
from codex_worker.git.ports import Heads

WATCHER_BEATS_EVERY_S = 5 * 60.0
WATCHER_IS_GONE_AFTER_S = 3 * WATCHER_BEATS_EVERY_S
# The jobs of an older worker that was retired stay in the project; they don't say that there is one still.
OLDER_WORKER_IS_GONE_AFTER = timedelta(days=30)


@dataclass
class Audience:
    """What one worker knows of the others of a project."""

    stays: bool = False  # this worker goes on polling after its jobs
    has_older_workers: bool = False
    _watchers: dict[str, tuple[str, float]] = field(default_factory=dict)  # ref -> value, seen to change at

    def saw(self, heads: Heads, now_s: float) -> None:
        """Notes the watchers at these heads; one counts once its ref was seen to change."""
        for ref, value in heads.watchers.items():
            before = self._watchers.get(ref)
            if before is None:
                self._watchers[ref] = (value, float("-inf"))
            elif before[0] != value:
                self._watchers[ref] = (value, now_s)

    def saw_jobs(self, jobs: Iterable[JobFacts], now: datetime) -> None:
        """Notes what a survey found: a response of an older worker's, unless it is of long ago."""
        if not self.has_older_workers:
            self.has_older_workers = any(_is_of_older_worker(facts, now) for facts in jobs)

    def sees_progress(self, now_s: float) -> bool:
        """Whether response.yaml may be written before the end, because somebody puts it right later."""
        return (
            self.stays
            or self.has_older_workers
            or any(now_s - changed_s < WATCHER_IS_GONE_AFTER_S for _, changed_s in self._watchers.values())
        )


def _is_of_older_worker(facts: JobFacts, now: datetime) -> bool:
    if not is_older_workers(facts):
        return False
    said = read_time((facts.response or {}).get("timestamp"))
    return said is None or now - said < OLDER_WORKER_IS_GONE_AFTER
