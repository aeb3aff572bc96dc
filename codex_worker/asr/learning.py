"""Whether a transcriber learns to read: what a collapse is, and what has not been learnt at the end.

Decided here and nowhere else, from numbers alone. A network of random layers first writes nothing at all (the
plateau of CTC), for hundreds of updates, while its loss falls; that is no collapse, however long it takes.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codex_worker.errors import ModelError, UserError
from codex_worker.text.error_rate import edit_distance

# From this error rate on nobody has read anything: letters drawn by their frequency, in verses of about the
# right length, have 0.79 to 0.83 of the letters wrong in English, Russian and the sample's sentences, and a
# network that writes nothing has 1.
UNREAD_CER = 0.8
READS_CER = 0.5  # clearly good: more letters right than wrong
# So many readings in a row, over so many updates at least, are no accident.
BAD_READINGS, BAD_UPDATES = 3, 200
FALLS_BY = 0.01  # of a loss; less is noise
_MOST_GUESSES, _MOST_TEXTS = 50, 500


class Collapsed(ModelError):
    """A network that could read, or whose numbers were good, does not find back."""


class NotLearnt(ModelError):
    """A training came to its end without learning to read."""


@dataclass(frozen=True)
class Reading:
    """One validation: after how many updates, the mean CTC loss, and the character error rate."""

    updates: float
    loss: float
    cer: float

    @classmethod
    def of(cls, row: Mapping[str, float], updates_per_epoch: float) -> "Reading | None":
        """From a row of the metrics; None where nothing was read in that epoch."""
        if "val_cer" not in row:
            return None
        return cls(row["epoch"] * updates_per_epoch, row["val_total_loss"], row["val_cer"])


def has_collapsed(readings: Sequence[Reading]) -> bool:
    """Whether the last of these readings, in their order, shows a network that will not find back by itself.

    It does where its loss is no number, or where a network that read well writes gibberish for several
    readings while its loss does not fall. Never before it read well: that is only slow.
    """
    if not readings:
        return False
    if not math.isfinite(readings[-1].loss):
        return True
    bad = _last_bad(readings)
    before = readings[: len(readings) - len(bad)]
    lasts = len(bad) >= BAD_READINGS and bad[-1].updates - bad[0].updates >= BAD_UPDATES
    return lasts and any(reading.cer < READS_CER for reading in before) and not still_falls(bad)


def still_falls(readings: Sequence[Reading]) -> bool:
    """Whether the loss is lower at the end of these readings than at their beginning."""
    return len(readings) > 1 and readings[-1].loss < (1 - FALLS_BY) * readings[0].loss


def unread_rate(texts: Sequence[str]) -> float:
    """The error rate from which a transcriber of these texts has not learnt to read.

    `UNREAD_CER`, or less where guessing does better than that: with one sentence in most of the recordings,
    whoever always writes it has few letters wrong, and has heard nothing.
    """
    return min(UNREAD_CER, _guessing_rate(texts))


def require_differing_texts(texts: Sequence[str]) -> None:
    """Raises UserError where all texts are the same word or sentence: any reading would be a guess."""
    if len({" ".join(dict.fromkeys(text.split())) for text in texts}) > 1:
        return
    raise UserError(
        f"All {len(texts)} recordings say the same, {texts[0][:60]!r}: nobody can learn to read from one "
        "word or sentence. Record verses that differ, and check that the cells have their own texts."
    )


def not_learnt(
    readings: Sequence[Reading], *, limit: float, held_out: int, trained_on: int, minutes: float
) -> NotLearnt:
    """What to say of a training that ended without a reading below `limit`, and what to do.

    Args:
        readings: all of the run; the last one is that of its end.
        held_out: recordings that were read for it; 0 where those trained on were.
        trained_on: recordings to learn from, which last `minutes`.
    """
    last = readings[-1]
    wrong = min(100, round(100 * last.cer))
    which = f"of {held_out} recordings that it had not heard" if held_out else "even of those it learnt from"
    advice = [
        f"After {last.updates:.0f} updates the transcriber has not learnt to read: about {wrong} of 100 "
        f"letters are wrong, {which}."
    ]
    if last.cer < UNREAD_CER:
        advice.append(
            f"Always writing the same text would have {100 * limit:.0f} of 100 wrong, because so many "
            "recordings say the same. Record verses that differ."
        )
    elif still_falls(readings[-math.ceil(len(readings) / 4) - 1 :]):
        advice.append("It was still getting better: give it more epochs (leave `epochs` out, or raise it).")
    advice.append(
        f"It learnt from {trained_on} recordings, {_length(minutes)} in all; more of them help most. Look in "
        "data.html whether they say their texts, in the language and with the letters that are spoken."
    )
    return NotLearnt(" ".join(advice))


def _length(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{60 * minutes:.0f} seconds"


def _last_bad(readings: Sequence[Reading]) -> Sequence[Reading]:
    good = [place for place, reading in enumerate(readings) if reading.cer < UNREAD_CER]
    return readings[good[-1] + 1 if good else 0 :]


def _guessing_rate(texts: Sequence[str]) -> float:
    """The lowest error rate of whoever writes one and the same text for every recording."""
    step = math.ceil(len(texts) / _MOST_TEXTS)
    some = texts[::step]
    letters = sum(len(text) for text in some)
    guesses = [text for text, _ in Counter(texts).most_common(_MOST_GUESSES)]
    return min(sum(edit_distance(text, guess) for text in some) / letters for guess in guesses)
