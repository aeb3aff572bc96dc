"""Who looks at a project beside the owner of a job, which decides what response.yaml may be used for.

The editor's merge keeps a translator's copy of a file that exists, but takes over a new one. So where nobody
stays to put a final response right, it is written once, at the end; where somebody stays, it tells of the
progress as well; and an older worker takes a job without a response for a free one.
"""

from dataclasses import dataclass, field

from codex_worker.contract.state import State
from codex_worker.git.ports import Heads

WATCHER_BEATS_EVERY_S = 5 * 60.0
WATCHER_IS_GONE_AFTER_S = 3 * WATCHER_BEATS_EVERY_S


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

    def saw_states(self, states: list[tuple[State, str]]) -> None:
        """Notes what a survey found: an older worker's job tells of an older worker."""
        if any(state is State.ELSEWHERE or "older worker" in reason for state, reason in states):
            self.has_older_workers = True

    def sees_progress(self, now_s: float) -> bool:
        """Whether response.yaml may be written before the end, because somebody puts it right later."""
        return (
            self.stays
            or self.has_older_workers
            or any(now_s - changed_s < WATCHER_IS_GONE_AFTER_S for _, changed_s in self._watchers.values())
        )
