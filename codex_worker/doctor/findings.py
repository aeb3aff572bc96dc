"""From measures to sentences for translators: what to look at, which verses, what to do."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codex_worker.codex.provenance import people_and_machines
from codex_worker.data.faults import Fault
from codex_worker.data.project import SkippedCell
from codex_worker.data.usable import LONG_S
from codex_worker.doctor.examined import Examined

NOISY_DB = 17.5  # speech that stands less than this above the noise; clean single words have 24 and more
HEARD_PAUSE_S = 0.16  # without so much pause, quiet letters would be taken for noise
QUIET_LUFS, LOUD_LUFS = -40.0, -12.0
SILENT_ENDS_SHARE = 0.4
PACE_FACTOR = 2.0
PACE_LETTERS = 10  # shorter texts are single words, which people say as they like
MIN_TO_COMPARE = 10
POOR_READER_CER = 0.5  # a transcriber that is wrong more often cannot tell which texts are
POOR_READER_FIT = 0.5
ODD_SPREADS, ODD_AT_LEAST = 4.0, 0.2  # how far below the others a fit must be to be odd
FEW_HOURS = 1.0
SHOWN = 8


@dataclass(frozen=True)
class Finding:
    """Something worth a look: a sentence with what to do, and the cells that it is about."""

    kind: str
    sentence: str
    cells: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.cells:
            return self.sentence
        more = f" and {len(self.cells) - SHOWN} more" if len(self.cells) > SHOWN else ""
        return f"{self.sentence} ({', '.join(self.cells[:SHOWN])}{more})"


@dataclass(frozen=True)
class _Check:
    kind: str
    one: str
    many: str  # with {count}
    applies: Callable[[Examined], bool]


CHECKS = (
    _Check(
        "long",
        "1 recording is longer than 30 seconds. Shorter ones, a verse each, are learnt better",
        "{count} recordings are longer than 30 seconds. Shorter ones, a verse each, are learnt better",
        lambda each: each.duration_s > LONG_S,
    ),
    _Check(
        "noise",
        "1 recording has much noise behind the voice. Record it again in a quieter place",
        "{count} recordings have much noise behind the voice. Record them again in a quieter place",
        lambda each: (
            each.levels.signal_to_noise_db < NOISY_DB
            and each.levels.pause_s >= HEARD_PAUSE_S
            and Fault.PEAKS_CUT not in each.faults  # being turned up too far lifts the noise as well
        ),
    ),
    _Check(
        "quiet",
        "1 recording is very quiet. It is amplified, and its noise with it",
        "{count} recordings are very quiet. They are amplified, and their noise with them",
        lambda each: each.levels.loudness_lufs < QUIET_LUFS,
    ),
    _Check(
        "loud",
        "1 recording is very loud. Turn the recording level down a little",
        "{count} recordings are very loud. Turn the recording level down a little",
        lambda each: each.levels.loudness_lufs > LOUD_LUFS,
    ),
    _Check(
        "silence",
        "1 recording is mostly silence before or after the words. It is cut off; listen whether something "
        "is missing",
        "{count} recordings are mostly silence before or after the words. It is cut off; listen whether "
        "something is missing",
        lambda each: each.speech_s < (1 - SILENT_ENDS_SHARE) * each.duration_s,
    ),
    _Check(
        "damage",
        "1 recording has small faults in its file",
        "{count} recordings have small faults in their files",
        lambda each: bool(each.notes),
    ),
)


def findings_of(
    examined: Sequence[Examined],
    speakers: Sequence[int],
    left_out: Sequence[SkippedCell],
    lost_letters: Mapping[str, int],
    reader_cer: float | None = None,
) -> Iterator[Finding]:
    """All that is worth a look, the general before the single verses."""
    yield from _machine_made(len(examined), left_out)
    hours = sum(each.duration_s for each in examined) / 3600
    minutes = round(hours * 60)
    if hours < FEW_HOURS:
        yield Finding(
            "hours",
            f"There {'is 1 minute' if minutes == 1 else f'are {minutes} minutes'} of usable recordings. A "
            "model can be made of them, but an hour is where it begins to read well, and more is better",
        )
    if len(set(speakers)) > 1:
        yield Finding(
            "speakers",
            f"There seem to be {len(set(speakers))} different voices or rooms (a guess). For a transcriber "
            "that is good; a voice is best made from one person's recordings: name theirs in the verse list",
        )
    if lost_letters:
        shown = " ".join(f"{letter} ({count})" for letter, count in list(lost_letters.items())[:20])
        yield Finding(
            "letters",
            f"The model would not know these letters, with the number of verses that have them: {shown}",
        )
    for check in CHECKS:
        labels = tuple(each.label for each in examined if check.applies(each))
        if labels:
            sentence = check.one if len(labels) == 1 else check.many.format(count=len(labels))
            yield Finding(check.kind, sentence, labels)
    yield from _mismatch(examined, reader_cer)
    yield from _pace(examined)
    yield from _duplicates(examined)
    yield from _faults(examined, left_out)


def _faults(examined: Sequence[Examined], left_out: Sequence[SkippedCell]) -> Iterator[Finding]:
    """What is wrong with recordings, whether they are used or not."""
    for fault in Fault:
        labels = tuple(entry.label for entry in left_out if entry.fault is fault)
        labels += tuple(each.label for each in examined if fault in each.faults)
        if labels:
            yield Finding(fault.value, fault.counted(len(labels)), labels)


def _mismatch(examined: Sequence[Examined], reader_cer: float | None) -> Iterator[Finding]:
    """Texts that fit their recordings much worse than the others, if the transcriber can tell."""
    fits = [each.fit for each in examined if each.fit is not None]
    if (reader_cer or 0.0) > POOR_READER_CER or (fits and statistics.median(fits) < POOR_READER_FIT):
        yield Finding(
            "poor-reader",
            "Whether texts and recordings belong together could not be checked: the transcriber that would "
            "tell reads too badly itself. Train it on more recordings first",
        )
        return
    bar = _lowest_usual_fit(fits, reader_cer or 0.0)
    labels = tuple(each.label for each in examined if each.fit is not None and each.fit < bar)
    if labels:
        yield Finding(
            "mismatch",
            "1 recording does not seem to say its text. Listen, and correct the text or the recording"
            if len(labels) == 1
            else f"{len(labels)} recordings do not seem to say their texts. Listen, and correct the texts or "
            "the recordings",
            labels,
        )


def _lowest_usual_fit(fits: Sequence[float], reader_cer: float) -> float:
    """The bar below which a fit is odd: from the others' fits, or from the reader's errors where few."""
    if len(fits) < MIN_TO_COMPARE:
        return POOR_READER_FIT * (1 - reader_cer)
    middle = statistics.median(fits)
    spread = 1.4826 * statistics.median(abs(fit - middle) for fit in fits)
    return middle - max(ODD_SPREADS * spread, ODD_AT_LEAST)


def _machine_made(human: int, left_out: Sequence[SkippedCell]) -> Iterator[Finding]:
    labels = tuple(entry.label for entry in left_out if entry.is_machine_made)
    sentence = people_and_machines("Usable recordings", human, len(labels))
    if sentence:
        yield Finding("machine-made", sentence, labels)


def _pace(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Verses spoken twice as fast or slowly as the others mostly have another verse's text."""
    if len(examined) < MIN_TO_COMPARE:
        return
    start_s, letter_s = _usual_pace(examined)
    usual = {each.key: start_s + letter_s * each.letters for each in examined}
    judged = [each for each in examined if each.letters >= PACE_LETTERS]
    fast = tuple(each.label for each in judged if each.speech_s * PACE_FACTOR < usual[each.key])
    slow = tuple(each.label for each in judged if each.speech_s > PACE_FACTOR * usual[each.key])
    for word, labels in (("fast", fast), ("slowly", slow)):
        if labels:
            what = (
                "1 recording is spoken very {word} for its text"
                if len(labels) == 1
                else f"{len(labels)} recordings are spoken very {{word}} for their texts"
            )
            yield Finding(
                f"pace-{word}",
                f"{what.format(word=word)} (the others have about {1 / letter_s:.0f} letters a second). Do "
                "text and recording belong together?",
                labels,
            )


def _usual_pace(examined: Sequence[Examined]) -> tuple[float, float]:
    """Seconds that speaking takes in any case, and for each letter; from the recordings that agree most.

    Letters a second would call every single word slow: starting and ending one takes time, too.
    """
    letters = np.array([each.letters for each in examined], np.float64)
    seconds = np.array([each.speech_s for each in examined])
    long = letters >= PACE_LETTERS
    plain_s = float(np.median((seconds / np.maximum(letters, 1))[long if long.any() else slice(None)]))
    start_s, letter_s = 0.0, plain_s
    for _ in range(5):
        usual = np.maximum(start_s + letter_s * letters, 1e-3)
        agree = np.abs(np.log(np.maximum(seconds, 1e-3) / usual)) < np.log(PACE_FACTOR)
        if agree.sum() < MIN_TO_COMPARE or np.ptp(letters[agree]) < PACE_LETTERS:
            break
        slope, offset = np.polyfit(letters[agree], seconds[agree], 1)
        if slope <= 0:
            break
        start_s, letter_s = max(float(offset), 0.0), float(slope)
    return start_s, letter_s


def _duplicates(examined: Sequence[Examined]) -> Iterator[Finding]:
    by_sound: dict[str, list[Examined]] = defaultdict(list)
    by_text: dict[str, list[Examined]] = defaultdict(list)
    for each in examined:
        by_sound[each.sound].append(each)
        by_text[" ".join(each.text.casefold().split())].append(each)
    same_sound = tuple(each.label for group in by_sound.values() if len(group) > 1 for each in group)
    if same_sound:
        yield Finding(
            "same-recording",
            f"{len(same_sound)} cells share their recording with another cell; at most one can be right",
            same_sound,
        )
    same_text = tuple(each.label for group in by_text.values() if len(group) > 1 for each in group)
    if same_text:
        yield Finding(
            "same-text",
            f"{len(same_text)} cells have the same text as another cell. That can be right",
            same_text,
        )
