"""A small corrector of letters: what the transcriber mistakes, weighed against how the language is spelt.

A noisy-channel model: P(text | reading) is taken as edits(text | reading) x letters(text) ** weight, both
learnt from counts. The edits come from readings of recordings that the transcriber was not trained on.
"""

import json
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from codex_worker.asr.cross_fit import halves
from codex_worker.asr.decoding.letters import END, LETTER_ORDER, START, LetterModel
from codex_worker.errors import DataError
from codex_worker.text.error_rate import character_error_rate

logger = logging.getLogger(__name__)

MIN_PAIRS = 20  # with different texts
MAX_JSON_BYTES = 64_000_000
BEAM = 12
CANDIDATES = 6
_WEIGHTS = (0.0, 0.15, 0.3, 0.5, 0.8)
_Pairs = list[tuple[str, str]]
_BACKOFF = 3.0  # how many sightings the wider estimate is worth


@dataclass(frozen=True)
class CorrectorReport:
    """Its worth on held-out readings, cross-fitted: each is corrected by a model that never saw it."""

    cer_before: float
    cer_after: float
    pairs: int
    kept: bool

    @property
    def sentence(self) -> str:
        """For the log and the result."""
        verdict = "kept" if self.kept else "not kept, because it doesn't help"
        return (
            f"corrector: validation CER {self.cer_before:.4f} without it, {self.cer_after:.4f} with it "
            f"({self.pairs} held-out readings); {verdict}"
        )


class EditModel:
    """What stands in the text where the transcriber wrote a letter, given the letters around it."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """`counts`: context (a letter, or three with it in the middle) -> replacement -> sightings."""
        self.counts = {context: dict(outcomes) for context, outcomes in counts.items()}

    @classmethod
    def fit(cls, pairs: Iterable[tuple[str, str]]) -> "EditModel":
        """From (reading, text) pairs, aligned letter by letter."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for reading, text in pairs:
            padded = START + reading + END
            for place, outcome in enumerate(aligned_edits(reading, text)):
                letter = padded[place]
                counts[letter][outcome] += 1
                counts[_around(padded, place)][outcome] += 1
        return cls(counts)

    def candidates(self, padded: str, place: int) -> list[tuple[str, float]]:
        """Replacements of the letter at `place` with log probabilities; the letter itself is among them."""
        letter = padded[place]
        itself = "" if letter == START else letter
        alone = self.counts.get(letter, {})
        around = self.counts.get(_around(padded, place), {})
        seen_alone, seen_around = sum(alone.values()), sum(around.values())
        likely = sorted(alone, key=lambda outcome: (-alone[outcome], outcome))[:CANDIDATES]
        scored = []
        for outcome in dict.fromkeys([itself, *likely]):
            prior = 1.0 if outcome == itself else 1e-3
            wide = (alone.get(outcome, 0) + _BACKOFF * prior) / (seen_alone + _BACKOFF)
            close = (around.get(outcome, 0) + _BACKOFF * wide) / (seen_around + _BACKOFF)
            scored.append((outcome, math.log(close)))
        return scored


@dataclass(frozen=True)
class Corrector:
    """Edits, letters and the weight between them; travels with the checkpoint."""

    edits: EditModel
    letters: LetterModel
    weight: float
    bonus: float = field(default=0.0)  # per letter, so that short texts aren't favoured

    def correct(self, reading: str) -> str:
        """The likeliest text of a reading (beam search over its letters)."""
        padded = START + reading + END
        beam: dict[str, float] = {"": 0.0}
        for place in range(len(padded) - 1):
            grown: dict[str, float] = {}
            for outcome, edit_score in self.edits.candidates(padded, place):
                for text, score in beam.items():
                    total = score + edit_score + self._letter_score(text, outcome)
                    longer = text + outcome
                    if total > grown.get(longer, -math.inf):
                        grown[longer] = total
            beam = dict(sorted(grown.items(), key=lambda item: (-item[1], item[0]))[:BEAM])
        ends = {text: score + self._letter_score(text, END) for text, score in beam.items()}
        best = max(sorted(ends), key=lambda text: ends[text])
        return " ".join(best.split())

    def _letter_score(self, text: str, more: str) -> float:
        if self.weight == 0.0:
            return 0.0
        history = (self.letters.start + text)[-(LETTER_ORDER - 1) :]
        score = 0.0
        for letter in more:
            score += self.letters.log_prob(history, letter) + self.bonus
            history = (history + letter)[-(LETTER_ORDER - 1) :]
        return self.weight * score

    def to_json(self) -> str:
        """Readable by `Corrector.from_json`."""
        return json.dumps(
            {
                "edits": self.edits.counts,
                "letters": self.letters.counts,
                "weight": self.weight,
                "bonus": self.bonus,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> "Corrector":
        """Raises DataError when the JSON is no corrector."""
        try:
            if len(text) > MAX_JSON_BYTES:
                raise ValueError("it is larger than any real one")
            fields = json.loads(text)
            return cls(
                EditModel(
                    {str(c): {str(o): int(n) for o, n in seen.items()} for c, seen in fields["edits"].items()}
                ),
                LetterModel({str(ngram): int(count) for ngram, count in fields["letters"].items()}),
                float(fields["weight"]),
                float(fields["bonus"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise DataError(
                f"The checkpoint's corrector cannot be read ({error}); train a new model."
            ) from error


def fit_corrector(
    pairs: Sequence[tuple[str, str]], texts: Sequence[str]
) -> tuple[Corrector | None, CorrectorReport | None]:
    """A corrector from held-out (reading, text) pairs, if cross-fitting says that it lowers the error rate.

    Args:
        pairs: readings of recordings that the transcriber was not trained on, beside what is said.
        texts: texts of the language that hold none of the pairs' texts, or its worth would be flattered.

    Returns:
        The corrector (None when it doesn't help) and both error rates (None when there is too little).
    """
    if len({text for _, text in pairs}) < MIN_PAIRS:
        return None, None
    letters = LetterModel.fit(texts)
    before, after = [], []
    for learn, judge in _halves(pairs):
        corrector = _fit(learn, letters)
        before += [reading for reading, _ in judge]
        after += [corrector.correct(reading) for reading, _ in judge]
    spoken = [text for _, judge in _halves(pairs) for _, text in judge]
    report = CorrectorReport(
        character_error_rate(spoken, before),
        character_error_rate(spoken, after),
        len(pairs),
        kept=character_error_rate(spoken, after) < character_error_rate(spoken, before),
    )
    logger.info(report.sentence)
    return (_fit(pairs, letters) if report.kept else None), report


def aligned_edits(reading: str, text: str) -> list[str]:
    """What each letter of the reading became, after a first entry for what stands before it.

    A Levenshtein alignment; letters that the reading lacks belong to the letter on their left. The entries
    joined are the text.
    """
    rows = [list(range(len(text) + 1))]
    for i, read in enumerate(reading, start=1):
        above = rows[-1]
        row = [i]
        for j, letter in enumerate(text, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (read != letter)))
        rows.append(row)
    outcomes = [""] * (len(reading) + 1)
    i, j = len(reading), len(text)
    while i > 0 or j > 0:
        cost = rows[i][j]
        if i > 0 and j > 0 and cost == rows[i - 1][j - 1] + (reading[i - 1] != text[j - 1]):
            outcomes[i] = text[j - 1] + outcomes[i]
            i, j = i - 1, j - 1
        elif j > 0 and cost == rows[i][j - 1] + 1:
            outcomes[i] = text[j - 1] + outcomes[i]
            j -= 1
        else:
            i -= 1
    return outcomes


def _fit(pairs: Sequence[tuple[str, str]], letters: LetterModel) -> Corrector:
    """Edits of all pairs, with the weight that does best when one half corrects the other."""
    halves = [(EditModel.fit(learn), judge) for learn, judge in _halves(pairs)]
    bonus = letters.mean_surprise([text for _, text in pairs])

    def error_rate(weight: float) -> float:
        spoken, corrected = [], []
        for edits, judge in halves:
            corrector = Corrector(edits, letters, weight, bonus)
            spoken += [text for _, text in judge]
            corrected += [corrector.correct(reading) for reading, _ in judge]
        return character_error_rate(spoken, corrected)

    return Corrector(EditModel.fit(pairs), letters, min(_WEIGHTS, key=error_rate), bonus)


def _halves(pairs: Sequence[tuple[str, str]]) -> list[tuple[_Pairs, _Pairs]]:
    both = halves([text for _, text in pairs])
    return [([pairs[i] for i in learn], [pairs[i] for i in judge]) for learn, judge in both]


def _around(padded: str, place: int) -> str:
    """The letter with its neighbours; the place before the first letter has one neighbour."""
    return padded[max(0, place - 1) : place + 2] if place else padded[:2]
