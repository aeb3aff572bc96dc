"""Whether what a transcriber reads is good enough to be written into people's cells: no gibberish is."""

from collections.abc import Sequence
from enum import StrEnum, auto
from typing import Generic, TypeVar

from codex_worker.asr.held_out_rate import MOST_WRONG, HeldOutRate
from codex_worker.asr.transcribe import Transcript

LOOKED_AT = 50
"""Readings that are looked at before the first of them is written; all, where there are fewer."""

NEARLY_ALL = 0.9
"""Of the readings: where so many are uncertain, and nobody measured how well it reads, none is written."""

T = TypeVar("T")


class Doubt(StrEnum):
    """Why nothing is written."""

    TOO_WRONG = auto()  # held-out recordings have shown it
    TOO_UNSURE = auto()  # the readings themselves do


class WritingGate(Generic[T]):
    """Results of readings on their way into cells, held until it is clear that they are no gibberish.

    A held-out error rate above `MOST_WRONG` shuts it for good. Otherwise the readings are asked: by how many
    of their letters should be right, where the checkpoint has learnt to tell (`can_tell`), which also finds
    that these recordings are unlike all that it learnt from; by how many are uncertain, where it has not and
    no firm rate is known.

        gate = WritingGate(checkpoint.held_out, can_tell=False)
        for transcript in transcripts:
            write(gate.take(transcript, result))
        write(gate.finish())
    """

    def __init__(self, rate: HeldOutRate, *, can_tell: bool) -> None:
        self._rate = rate
        self._can_tell = can_tell
        self._is_open = not (rate.is_too_wrong or can_tell or not rate.is_firm)
        self._readings = self._uncertain = self._letters = 0
        self._right = 0.0  # of the letters, as estimated
        self._held: list[T] = []

    def take(self, transcript: Transcript, result: T) -> Sequence[T]:
        """One more result of a reading with text; answers those that may be written now."""
        self._held.append(result)
        self._readings += 1
        self._uncertain += transcript.is_uncertain
        self._letters += len(transcript.text)
        self._right += len(transcript.text) * transcript.confidence
        if not self._is_open and self._readings >= LOOKED_AT:
            self._is_open = self.doubt is None
        return self._let_go() if self._is_open else ()

    def finish(self) -> Sequence[T]:
        """After the last reading: what may be written of those held."""
        self._is_open = self._is_open or self.doubt is None
        return self._let_go() if self._is_open else ()

    @property
    def withheld(self) -> Sequence[T]:
        """Results that are not to be written."""
        return tuple(self._held)

    @property
    def doubt(self) -> Doubt | None:
        """Why nothing should be written as far as is known; None where it may, or nothing was read yet."""
        if self._rate.is_too_wrong:
            return Doubt.TOO_WRONG
        if self._is_open or not self._readings:
            return None
        if self._can_tell:
            is_gibberish = self._right < (1.0 - MOST_WRONG) * self._letters
        else:
            is_gibberish = self._uncertain >= NEARLY_ALL * self._readings
        return Doubt.TOO_UNSURE if is_gibberish else None

    def _let_go(self) -> Sequence[T]:
        held, self._held = self._held, []
        return held
