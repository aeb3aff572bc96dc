"""What a voice's training reports: progress, the metrics file, and how it sounds so far."""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

from codex_worker.audio.encode import encode
from codex_worker.errors import JobCanceled, JobTimeout, Preempted, WorkerError
from codex_worker.stabletts.checkpoint import read_checkpoint
from codex_worker.stabletts.speak import Failed, Speaker
from codex_worker.stabletts.train import METRICS, VoiceTraining, speak_samples
from codex_worker.training.metrics import MetricsTable
from handlers.base import JobCallbacks, JobContext

logger = logging.getLogger(__name__)

SAMPLES_EVERY_S = 600.0


def say(callbacks: JobCallbacks, epochs: float | None, message: str, stage: str) -> None:
    """Report without ending: whoever works looks at `should_stop()` next, and saves before leaving."""
    try:
        callbacks.heartbeat(epochs, message, stage)
    except (JobCanceled, Preempted, JobTimeout):
        # The reason stays with the supervisor, which answers should_stop() from now on.
        return


class TrainingProgress:
    """The loop's `Progress` over a job's callbacks.

    At each best checkpoint five fixed verses are spoken; where one follows the other within ten minutes,
    the samples are of the later one, because a repository keeps every file for ever.
    """

    def __init__(
        self,
        job: JobContext,
        callbacks: JobCallbacks,
        task: VoiceTraining,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._callbacks = callbacks
        self._task = task
        self._clock = clock
        self._table = MetricsTable(METRICS)
        self._path = job.folder / "training_metrics.csv"
        self._spoken_at: float | None = None
        self._waiting: tuple[Path, float] | None = None

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
        """Speak the fixed verses, unless that was done a moment ago."""
        self._waiting = (path, metrics["epoch"])
        if self._spoken_at is None or self._clock() - self._spoken_at >= SAMPLES_EVERY_S:
            self.speak_waiting()

    def saved_resume(self, path: Path) -> None:
        """What the next attempt goes on from."""
        self._callbacks.scanner.save_resume(path)

    def speak_waiting(self) -> None:
        """Speak the fixed verses with the newest best checkpoint, if it has not spoken yet; publish them."""
        if self._waiting is None:
            return
        path, epoch = self._waiting
        self._waiting = None
        task = self._task
        folder = self._job.folder / "samples"
        folder.mkdir(exist_ok=True)
        try:
            # A copy: the network in training holds other weights, and must not be disturbed.
            network = read_checkpoint(path).network()
            speaker = Speaker(network, task.voice, task.vocos, device=str(task.device))
            answers = speak_samples(speaker, task.dataset, task.reference(), task.fixed_verses())
            for number, one in enumerate(answers, start=1):
                if isinstance(one, Failed):
                    logger.warning("Sample %s after epoch %g: %s", one.verse.label, epoch, one.reason)
                    continue
                name = re.sub(r"[^A-Za-z0-9]+", "-", one.verse.label)[:30].strip("-")
                file = folder / f"epoch-{epoch:04.0f}-{number}-{name or 'verse'}.webm"
                encode(one.samples, one.sample_rate, file, "webm")
                self._callbacks.scanner.publish_artifact(file, "samples")
        except (JobCanceled, Preempted, JobTimeout):
            raise
        except WorkerError as error:  # samples are for people's ears; training goes on without them
            logger.warning("No samples after epoch %g: %s", epoch, error)
        self._spoken_at = self._clock()
