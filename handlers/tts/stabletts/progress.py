"""How a voice sounds so far: fixed verses, spoken while it is being trained."""

import logging
import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from codex_worker.audio.encode import encode
from codex_worker.errors import JobCanceled, JobTimeout, Preempted, WorkerError
from codex_worker.stabletts.train import METRICS
from codex_worker.stabletts.verses import Failed, Spoken
from codex_worker.training.task import TrainingOutcome
from handlers.base import JobCallbacks, JobContext
from handlers.steps import TrainingProgress

logger = logging.getLogger(__name__)

SAMPLES_EVERY_S = 600.0
LONGEST_NAME = 24
_UUID = re.compile(r"([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class SpeaksSamples(Protocol):
    """The training of a voice, as far as its samples go."""

    def speak_samples(self, checkpoint: Path) -> Sequence[Spoken | Failed]:
        """The fixed verses by the voice in a file."""


class VoiceProgress(TrainingProgress):
    """A training loop's progress, with five fixed verses spoken by each best checkpoint.

    Where one follows the other within ten minutes, or the first comes earlier than that, the samples are of
    the later one, because a repository keeps every file for ever.
    """

    def __init__(
        self,
        job: JobContext,
        callbacks: JobCallbacks,
        task: SpeaksSamples,
        *,
        columns: Sequence[str] = METRICS,
        epoch_audio_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(job, callbacks, columns, epoch_audio_s=epoch_audio_s)
        self._task = task
        self._clock = clock
        self._spoken_at = clock()
        self._waiting: tuple[Path, float] | None = None
        self._spoken_epoch = 0.0

    def wants_latest(self) -> bool:
        """Whether it is time to speak again; where nothing is compared, other checkpoints are of no use."""
        return self._clock() - self._spoken_at >= SAMPLES_EVERY_S

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """Speak the fixed verses, unless that was done a moment ago."""
        self._waiting = (path, metrics["epoch"])
        if self.wants_latest():
            self._speak_waiting()

    def speak_at_end(self, outcome: TrainingOutcome) -> None:
        """Speak the fixed verses with the checkpoint that is delivered, if it has not spoken yet."""
        epoch = float(outcome.epochs_completed)
        if outcome.best_path is None and 0 < epoch != self._spoken_epoch:
            self._waiting = (outcome.last_path, epoch)
        self._speak_waiting()

    def _speak_waiting(self) -> None:
        """Speak with the checkpoint that waits for it, if there is one, and publish the sound."""
        if self._waiting is None:
            return
        path, epoch = self._waiting
        self._waiting, self._spoken_epoch = None, epoch
        task = self._task
        folder = self._job.folder / "samples"
        folder.mkdir(exist_ok=True)
        try:
            for number, one in enumerate(task.speak_samples(path), start=1):
                if isinstance(one, Failed):
                    logger.warning("Sample %s after epoch %g: %s", one.verse.label, epoch, one.reason)
                    continue
                file = folder / f"epoch-{epoch:04.0f}-{number}-{name_of(one.verse.label)}.webm"
                encode(one.samples, one.sample_rate, file, "webm")
                self._callbacks.scanner.publish_artifact(file, "samples")
        except (JobCanceled, Preempted, JobTimeout):
            raise
        except WorkerError as error:  # samples are for people's ears; training goes on without them
            logger.warning("No samples after epoch %g: %s", epoch, error)
        self._spoken_at = self._clock()


def name_of(label: str) -> str:
    """A verse's label for a file name: plain letters; of a long one, the first words and the last two."""
    plain = unicodedata.normalize("NFKD", _UUID.sub(r"\1", label)).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Za-z0-9]+", plain) or ["verse"]
    while len(words) > 1 and len("-".join(words)) > LONGEST_NAME:
        del words[max(0, len(words) - 3)]  # "Story about a field cell 3": the number tells it from the others
    return "-".join(words)[:LONGEST_NAME]
