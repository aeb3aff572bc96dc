"""What there is to tell how right a reading is, besides how probable the letters are that it has."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codex_worker.asr.words import Word

_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Evidence:
    """Sums over a reading; those of a recording's pieces add up to those of the recording."""

    letters: int = 0
    certainty: float = 0.0  # of the probabilities of the letters
    doubt: float = 0.0  # nats that its path through the frames costs, also those where it wrote nothing
    seconds: float = 0.0  # of sound

    def __add__(self, other: "Evidence") -> "Evidence":
        return Evidence(
            self.letters + other.letters,
            self.certainty + other.certainty,
            self.doubt + other.doubt,
            self.seconds + other.seconds,
        )


def evidence_of(
    words: Sequence[Word], frame_probabilities: Sequence[float], seconds_per_frame: float
) -> Evidence:
    """Of one reading: its words, and the probability of what it took each frame for.

    Frames between letters count: where a letter is passed over, its probability is missing from the blank's.
    """
    return Evidence(
        letters=sum(len(word.text) for word in words),
        certainty=sum(word.confidence * len(word.text) for word in words),
        doubt=-sum(math.log(max(_LEAST_PROBABILITY, probability)) for probability in frame_probabilities),
        seconds=len(frame_probabilities) * seconds_per_frame,
    )
