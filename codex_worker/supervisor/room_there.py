"""Whether a project's server would take what a job is going to publish: asked before the job is begun."""

from collections.abc import Callable
from pathlib import Path

from codex_worker.clock import Clock
from codex_worker.contract.manifest import JobEntry
from codex_worker.errors import Refused
from codex_worker.supervisor.needs import needs_of

ASK_AGAIN_S = 600.0
AskFirst = Callable[[str, int], None]  # a repository's address and bytes; raises what an upload would raise


class RoomThere:
    """Asks about the largest file that a job's handler declares, and not at each look."""

    def __init__(self, handlers_root: Path, ask: AskFirst, clock: Clock) -> None:
        self._handlers_root = handlers_root
        self._ask = ask
        self._clock = clock
        self._refused: dict[tuple[str, int], tuple[float, str]] = {}  # when, and the server's words

    def __call__(self, address: str, entry: JobEntry) -> None:
        """Raises Refused or AccessDenied: the project has to be changed, and no machine can help."""
        size_bytes = int(needs_of(self._handlers_root, entry).model_gb * 1e9)
        if not size_bytes:
            return
        asked_s, words = self._refused.get((address, size_bytes), (float("-inf"), ""))
        if self._clock.monotonic() - asked_s >= ASK_AGAIN_S:
            words = self._answer(address, size_bytes)
        if words:
            raise Refused(f"Job {entry.job_id} is not begun: its model could not be published. {words}")

    def _answer(self, address: str, size_bytes: int) -> str:
        try:
            self._ask(address, size_bytes)
        except Refused as refused:
            self._refused[address, size_bytes] = (self._clock.monotonic(), str(refused))
            return str(refused)
        return ""
