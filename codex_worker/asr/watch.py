"""Between a run and whoever watches it: keeps its readings, numbers its rows, ends it when it collapses."""

from pathlib import Path

from codex_worker.asr.learning import Collapsed, Reading, has_collapsed
from codex_worker.training.task import TrainingObserver


class RunWatch:
    """A `TrainingObserver` of one run; `number` is 1, and 2 after a restart.

    After a resume the loop tells all earlier rows again, so what is judged is always the whole run.
    """

    def __init__(self, progress: TrainingObserver, number: int, updates_per_epoch: float) -> None:
        self._progress = progress
        self._number = number
        self._updates_per_epoch = updates_per_epoch
        self.readings: list[Reading] = []

    def metrics(self, row: dict[str, float]) -> None:
        """Passes the row on, and only then judges it: the file has the row that a run ended for.

        Raises Collapsed.
        """
        self._progress.metrics({**row, "run": float(self._number)})
        reading = Reading.of(row, self._updates_per_epoch)
        if reading is None:
            return
        self.readings.append(reading)
        if has_collapsed(self.readings):
            best = min(reading.cer for reading in self.readings)
            raise Collapsed(
                f"The transcriber has collapsed after {reading.updates:.0f} updates: its character error "
                f"rate is {reading.cer:.2f} and was {best:.2f}. If this repeats, set a lower learning_rate, "
                "and look in data.html for recordings that do not match their texts."
            )

    def should_stop(self) -> bool:
        """As the watched says."""
        return self._progress.should_stop()

    def report(self, epochs_completed: float, message: str) -> None:
        """Passed on."""
        self._progress.report(epochs_completed, message)

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """Passed on."""
        self._progress.saved_best(path, metrics)

    @property
    def save_every_s(self) -> float:
        """As the watched says."""
        return self._progress.save_every_s

    def needs_resume(self, *, finished: bool) -> bool:
        """As the watched says."""
        return self._progress.needs_resume(finished=finished)

    def saved_resume(self, path: Path, epochs: float) -> None:
        """Passed on."""
        self._progress.saved_resume(path, epochs)
