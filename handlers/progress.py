"""What a training loop reports, told to the supervisor and written to the metrics file."""

from collections.abc import Sequence
from pathlib import Path

from codex_worker.errors import JobCanceled, JobTimeout, Preempted
from codex_worker.training.metrics import MetricsTable
from handlers.base import JobCallbacks, JobContext


def say(callbacks: JobCallbacks, epochs: float | None, message: str, stage: str) -> None:
    """Report without ending: whoever works looks at `should_stop()` next, and saves before leaving."""
    try:
        callbacks.heartbeat(epochs, message, stage)
    except (JobCanceled, Preempted, JobTimeout):
        # The reason stays with the supervisor, which answers should_stop() from now on.
        return


class TrainingProgress:
    """The loop's `Progress` over a job's callbacks; `columns` are those of the metrics file."""

    def __init__(self, job: JobContext, callbacks: JobCallbacks, columns: Sequence[str]) -> None:
        self._callbacks = callbacks
        self._table = MetricsTable(columns)
        self._path = job.folder / "training_metrics.csv"

    def should_stop(self) -> bool:
        """Whether the supervisor wants the job to end."""
        return self._callbacks.should_stop()

    def report(self, epochs_completed: float, message: str) -> None:
        """A sentence for people."""
        say(self._callbacks, epochs_completed, message, "training")

    def metrics(self, row: dict[str, float]) -> None:
        """The metrics file, rewritten whole so that a reader never sees half a row."""
        self._table.add(row)
        partial: Path = self._path.with_suffix(".partial")
        partial.write_bytes(self._table.render())
        partial.replace(self._path)

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """The checkpoint is published once, at the end."""

    def saved_resume(self, path: Path) -> None:
        """What the next attempt goes on from."""
        self._callbacks.scanner.save_resume(path)
