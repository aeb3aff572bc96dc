"""A transcriber of the project as the voice's teacher: it cuts long recordings, and judges what is spoken."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codex_worker.asr.align import align, cut_at_words, fit_of
from codex_worker.asr.likelihood import likelihoods_of
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import Transcriber
from codex_worker.audio.level import find_pauses
from codex_worker.audio.resample import resample
from codex_worker.stabletts.dataset import Samples
from codex_worker.stabletts.preparation import TextPiece
from codex_worker.text.error_rate import character_error_rate
from handlers.base import JobCallbacks, JobContext

LONGEST_PIECE_S = 15.0


class Listener:
    """A transcriber behind the two functions that training of a voice can be handed."""

    def __init__(self, checkpoint: Path, unpack_folder: Path) -> None:
        self.transcriber = Transcriber(load_checkpoint(checkpoint, unpack_folder=unpack_folder))
        self.sample_rate = self.transcriber.checkpoint.frontend.sample_rate
        self.fit = fit_of(self.transcriber)
        self.compare = likelihoods_of(self.transcriber)

    @property
    def held_out_cer(self) -> float | None:
        """How badly it reads itself, if it says so."""
        return self.transcriber.checkpoint.held_out_cer

    def cut(self, samples: Samples, sample_rate: int, text: str) -> Sequence[TextPiece]:
        """Cut a long recording between its words. Raises DataError where text and sound do not fit."""
        alignment = align(self.transcriber, resample(samples, sample_rate, self.sample_rate), text)
        pauses = find_pauses(samples, sample_rate)
        cuts = cut_at_words(alignment, longest_s=LONGEST_PIECE_S, pauses=pauses)
        return [TextPiece(one.start_s, one.end_s, one.text) for one in cuts]

    def judge(self, spoken: Sequence[Samples], sample_rate: int, texts: Sequence[str]) -> float:
        """The character error rate of what is understood, letters and spaces only."""
        heard = self.transcriber.transcribe_samples(
            [np.asarray(resample(samples, sample_rate, self.sample_rate)) for samples in spoken]
        )
        recipe = self.transcriber.checkpoint.text_recipe
        written = [text if recipe is None else recipe.written(text) for text in texts]
        return character_error_rate(
            [_letters(text) for text in written], [_letters(one.text) for one in heard]
        )


def listener_of(job: JobContext, callbacks: JobCallbacks) -> Listener | None:
    """The transcriber that `model.transcriber` names, a checkpoint of this project; None without one."""
    path = job.options.training.transcriber
    if path is None:
        return None
    return Listener(callbacks.scanner.fetch_checkpoint(path), job.folder / "transcriber")


def _letters(text: str) -> str:
    kept = (letter if letter.isalnum() or not letter.isascii() else " " for letter in text.lower())
    return " ".join("".join(kept).split())
