"""The attempt that a worker has in hand, for whoever watches: its log's lines, its figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from codex_worker.queue.owned import OwnedJob


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


class Hands:
    """What one worker has in hand: one attempt at a time, or nothing. Read from any thread."""

    def __init__(self) -> None:
        self.attempt: AttemptInHand | None = None

    @contextmanager
    def holding(self, attempt: AttemptInHand) -> Iterator[None]:
        """Within the block this is the attempt."""
        self.attempt = attempt
        try:
            yield
        finally:
            self.attempt = None
