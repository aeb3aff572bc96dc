"""Whether recordings and texts belong together: by pace, and by what a transcriber hears."""

import statistics
from collections.abc import Iterator, Sequence

from codex_worker.data.pace import MIN_TO_COMPARE, usual_pace
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.finding import Finding, about
from codex_worker.doctor.swaps import exchanged, is_compared, misplaced

POOR_READER_CER = 0.5  # a transcriber that is wrong more often cannot tell which texts are
POOR_READER_FIT = 0.5
# A transcriber that is wrong more often mistakes single words that it has not learnt, however well it knows
# the others; which of several longer texts is said it may know all the same.
WORD_READER_CER = 0.1
NO_FIT = 0.0  # the recording is too short for its text
ODD_SPREADS, ODD_AT_LEAST = 4.0, 0.2  # how far below the others a fit must be to be odd


def paced(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Verses spoken much faster or more slowly than the others: words are missing, or too many."""
    letters, seconds = [each.letters for each in examined], [each.speech_s for each in examined]
    pace = usual_pace(letters, seconds)
    if pace is None:
        return
    others = f"the others have about {1 / pace.letter_s:.0f} letters a second"
    yield from about(
        "pace-fast",
        f"1 recording is spoken very fast for its text ({others}). Is its end missing, or words left out? "
        "Is it another text's?",
        f"{{n}} recordings are spoken very fast for their texts ({others}). Are their ends missing, or words "
        "left out? Are they other texts'?",
        [each.label for each in examined if pace.is_fast(each.letters, each.speech_s)],
    )
    yield from about(
        "breaks-off",
        "1 recording breaks off at full voice and is short for its text. Record it again to its end",
        "{n} recordings break off at full voice and are short for their texts. Record them again to their "
        "ends",
        [each.label for each in examined if each.breaks_off and pace.is_short(each.letters, each.speech_s)],
    )
    yield from about(
        "pace-slowly",
        f"1 recording is spoken very slowly for its text ({others}). Is something said twice, or more than "
        "the text? Is it another text's?",
        f"{{n}} recordings are spoken very slowly for their texts ({others}). Is something said twice, or "
        "more than the texts? Are they other texts'?",
        [each.label for each in examined if pace.is_slow(each.letters, each.speech_s)],
    )


def mismatched(examined: Sequence[Examined], reader_cer: float | None) -> Iterator[Finding]:
    """Texts that are not what their recordings say, if the transcriber can tell.

    Which of several texts a recording says even a poor reader can tell, where the project's other recordings
    show that it knows. How well a text fits says less: a reader knows the recordings that it learnt from
    better than others. So it decides only where texts could not be compared, and of words if the reader is
    good.
    """
    for finding in exchanged(examined):
        yield finding
        examined = [each for each in examined if each.label not in finding.cells]
    fits = [each.fit for each in examined if each.fit is not None]
    is_poor = (reader_cer or 0.0) > POOR_READER_CER
    is_poor = is_poor or bool(fits and statistics.median(fits) < POOR_READER_FIT)
    by_rank = misplaced(examined)
    if is_poor and by_rank is None:
        yield Finding(
            "poor-reader",
            "Whether each text is what its recording says could not be checked: the transcriber that would "
            "tell reads too badly itself to judge. Train it on more recordings first",
        )
        return
    odd = set(by_rank or ())
    odd |= {each.label for each in examined if each.fit == NO_FIT}
    if not is_poor:
        bar = _lowest_usual_fit(fits, reader_cer or 0.0)
        knows_words = (reader_cer or 0.0) <= WORD_READER_CER
        for each in examined:
            by_fit = by_rank is None or (knows_words and not is_compared(each))
            if by_fit and each.fit is not None and each.fit < bar:
                odd.add(each.label)
    yield from about(
        "mismatch",
        "1 recording does not seem to say its text. Listen, and correct the text or the recording",
        "{n} recordings do not seem to say their texts. Listen, and correct the texts or the recordings",
        [each.label for each in examined if each.label in odd],
    )


def _lowest_usual_fit(fits: Sequence[float], reader_cer: float) -> float:
    """The bar below which a fit is odd: from the others' fits, or from the reader's errors where few."""
    if len(fits) < MIN_TO_COMPARE:
        return POOR_READER_FIT * (1 - reader_cer)
    middle = statistics.median(fits)
    spread = 1.4826 * statistics.median(abs(fit - middle) for fit in fits)
    return middle - max(ODD_SPREADS * spread, ODD_AT_LEAST)
