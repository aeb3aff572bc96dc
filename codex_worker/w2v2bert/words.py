"""From the best symbol of each frame to words, with their times and how sure the network was of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from codex_worker.w2v2bert.vocabulary import Vocabulary


@dataclass(frozen=True)
class Word:
    """A word as heard: times in seconds within the recording, and how sure the network was (0 to 1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


def words_of(
    vocabulary: Vocabulary,
    frame_ids: Sequence[int],
    frame_probabilities: Sequence[float],
    *,
    seconds_per_frame: float,
    start_s: float = 0.0,
    suppress_unknown: bool = True,
    unknown_replacement: str = "",
) -> list[Word]:
    """Words of a greedy reading; a word's confidence is the mean over its letters of their best frame."""
    words: list[Word] = []
    letters: list[tuple[str, int, int, float]] = []

    def finish() -> None:
        if letters:
            words.append(
                Word(
                    "".join(text for text, *_ in letters),
                    start_s + letters[0][1] * seconds_per_frame,
                    start_s + letters[-1][2] * seconds_per_frame,
                    sum(probability for *_, probability in letters) / len(letters),
                )
            )
            letters.clear()

    for token in vocabulary.collapse(frame_ids):
        text = vocabulary.text_of(
            token.symbol_id,
            suppress_unknown=suppress_unknown,
            replacement=unknown_replacement,
        )
        if text.isspace():
            finish()
        elif text:
            letters.append((text, token.start, token.end, max(frame_probabilities[token.start : token.end])))
    finish()
    return words


def confidence_of(words: Sequence[Word]) -> float:
    """The mean over all letters (0 to 1); 0 where nothing was heard."""
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / letters if letters else 0.0
