"""From measures to sentences for translators: what to look at, which verses, what to do."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from codex_worker.codex.provenance import people_and_machines
from codex_worker.data.project import SkippedCell
from codex_worker.doctor.examined import Examined

LONG_S = 30.0
CLIPPED_SHARE = 0.001
NOISY_DB = 15.0  # speech that stands less than this above the noise
QUIET_LUFS, LOUD_LUFS = -40.0, -12.0
SILENT_ENDS_SHARE = 0.4
PACE_FACTOR = 2.0
MIN_TO_COMPARE = 10
POOR_FIT = 0.5
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
    sentence: str  # with {count}
    applies: Callable[[Examined], bool]


CHECKS = (
    _Check(
        "long",
        "{count} recordings are longer than 30 seconds. Shorter ones, a verse each, are learnt better",
        lambda each: each.duration_s > LONG_S,
    ),
    _Check(
        "clipping",
        "{count} recordings are overdriven (too loud for the microphone). Record them again, further away",
        lambda each: each.levels.clipped_share > CLIPPED_SHARE,
    ),
    _Check(
        "noise",
        "{count} recordings have much noise behind the voice. Record them again in a quieter place",
        lambda each: each.levels.signal_to_noise_db < NOISY_DB,
    ),
    _Check(
        "quiet",
        "{count} recordings are very quiet. They are amplified, and their noise with them",
        lambda each: each.levels.loudness_lufs < QUIET_LUFS,
    ),
    _Check(
        "loud",
        "{count} recordings are very loud. Turn the recording level down a little",
        lambda each: each.levels.loudness_lufs > LOUD_LUFS,
    ),
    _Check(
        "silence",
        "{count} recordings are mostly silence before or after the words. It is cut off; listen whether "
        "something is missing",
        lambda each: each.speech_s < (1 - SILENT_ENDS_SHARE) * each.duration_s,
    ),
    _Check(
        "mismatch",
        "{count} recordings do not seem to say their text. Listen, and correct the text or the recording",
        lambda each: each.fit is not None and each.fit < POOR_FIT,
    ),
    _Check(
        "damage",
        "{count} recordings have small faults in their files",
        lambda each: bool(each.notes),
    ),
)


def findings_of(
    examined: Sequence[Examined],
    speakers: Sequence[int],
    left_out: Sequence[SkippedCell],
    lost_letters: Mapping[str, int],
) -> Iterator[Finding]:
    """All that is worth a look, the general before the single verses."""
    yield from _machine_made(len(examined), left_out)
    hours = sum(each.duration_s for each in examined) / 3600
    if hours < FEW_HOURS:
        yield Finding(
            "hours",
            f"There are {hours * 60:.0f} minutes of usable recordings. A model can be made of them, but an "
            "hour is where it begins to read well, and more is better",
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
            yield Finding(check.kind, check.sentence.format(count=len(labels)), labels)
    yield from _pace(examined)
    yield from _duplicates(examined)
    unreadable = tuple(entry.label for entry in left_out if "cut off" in entry.reason)
    if unreadable:
        yield Finding("truncated", f"{len(unreadable)} recordings are cut off and not used", unreadable)


def _machine_made(human: int, left_out: Sequence[SkippedCell]) -> Iterator[Finding]:
    labels = tuple(entry.label for entry in left_out if entry.is_machine_made)
    sentence = people_and_machines("Usable recordings", human, len(labels))
    if sentence:
        yield Finding("machine-made", sentence, labels)


def _pace(examined: Sequence[Examined]) -> Iterator[Finding]:
    """Verses spoken twice as fast or slowly as the others mostly have another verse's text."""
    if len(examined) < MIN_TO_COMPARE:
        return
    middle = statistics.median(each.characters_per_second for each in examined)
    for word, sign in (("fast", 1), ("slowly", -1)):
        labels = tuple(
            each.label
            for each in examined
            if sign * math.log(max(each.characters_per_second, 1e-3) / middle) > math.log(PACE_FACTOR)
        )
        if labels:
            yield Finding(
                f"pace-{word}",
                f"{len(labels)} recordings are spoken very {word} for their text (the others have about "
                f"{middle:.0f} letters a second). Do text and recording belong together?",
                labels,
            )


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
            f"{len(same_sound)} cells have the very same recording as another one; at most one can be right",
            same_sound,
        )
    same_text = tuple(each.label for group in by_text.values() if len(group) > 1 for each in group)
    if same_text:
        yield Finding(
            "same-text",
            f"{len(same_text)} cells have the same text as another one. That can be right",
            same_text,
        )
