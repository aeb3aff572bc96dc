"""What can be wrong with one recording by itself, without the others of its project."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from codex_worker.data.faults import Fault
from codex_worker.data.usable import LONG_S
from codex_worker.doctor.examined import Examined
from codex_worker.doctor.finding import Finding, about

NOISY_DB = 17.5  # speech that stands less than this above the noise; clean single words have 24 and more
HEARD_PAUSE_S = 0.16  # without so much pause, quiet letters would be taken for noise
QUIET_LUFS = -40.0
LOUD_LUFS = -10.0  # as loud as a radio station; a studio's single loud words reach -11
SILENT_ENDS_SHARE = 0.4
BEEP_S = 0.14  # of a pure tone; no vowel is so pure for so long
MUSIC_S = 0.5  # in which tones stand still together; clean speech has up to 0.13, with an echo 0.4
TWO_VOICES_SEMITONES = 2.2  # between the ranges before and after a turn; one voice has up to 1.8


@dataclass(frozen=True)
class Check:
    """A rule for one recording, and its words for one and for many (`{n}`)."""

    kind: str
    one: str
    many: str
    applies: Callable[[Examined], bool]


def is_noisy(each: Examined) -> bool:
    """Whether there is much noise behind the voice.

    Not where the voice was turned up too far: that lifts the noise, and a quiet place won't help.
    """
    levels = each.levels
    is_heard = levels.signal_to_noise_db < NOISY_DB and levels.pause_s >= HEARD_PAUSE_S
    return is_heard and Fault.PEAKS_CUT not in each.faults


CHECKS = (
    Check(
        "long",
        "1 recording is longer than 30 seconds. Shorter ones, a verse each, are learnt better",
        "{n} recordings are longer than 30 seconds. Shorter ones, a verse each, are learnt better",
        lambda each: each.duration_s > LONG_S,
    ),
    Check(
        "noise",
        "1 recording has much noise behind the voice. Record it again in a quieter place",
        "{n} recordings have much noise behind the voice. Record them again in a quieter place",
        is_noisy,
    ),
    Check(
        "quiet",
        "1 recording is very quiet. It is amplified, and its noise with it",
        "{n} recordings are very quiet. They are amplified, and their noise with them",
        lambda each: each.levels.loudness_lufs < QUIET_LUFS,
    ),
    Check(
        "loud",
        "1 recording is very loud. Turn the recording level down a little",
        "{n} recordings are very loud. Turn the recording level down a little",
        lambda each: each.levels.loudness_lufs > LOUD_LUFS,
    ),
    Check(
        "silence",
        "1 recording is mostly silence before or after the words. It is cut off; listen whether something "
        "is missing",
        "{n} recordings are mostly silence before or after the words. It is cut off; listen whether "
        "something is missing",
        lambda each: each.speech_s < (1 - SILENT_ENDS_SHARE) * each.duration_s,
    ),
    Check(
        "beep",
        "1 recording has a beep in it. Cut it off, or record again without it",
        "{n} recordings have a beep in them. Cut it off, or record them again without it",
        lambda each: each.beep_s >= BEEP_S,
    ),
    Check(
        "music",
        "1 recording has music in it, not only speech. Record it again without, or take it out",
        "{n} recordings have music in them, not only speech. Record them again without, or take them out",
        lambda each: each.music_s >= MUSIC_S,
    ),
    Check(
        "two-voices",
        "1 recording has two voices, it seems, one after the other. A voice is best learnt from one person's "
        "recordings",
        "{n} recordings have two voices, it seems, one after the other. A voice is best learnt from one "
        "person's recordings",
        lambda each: each.voice.turn_semitones > TWO_VOICES_SEMITONES,
    ),
    Check(
        "damage",
        "1 recording has small faults in its file",
        "{n} recordings have small faults in their files",
        lambda each: bool(each.notes),
    ),
)


def checked(examined: Sequence[Examined]) -> Iterator[Finding]:
    """What the checks find."""
    for check in CHECKS:
        labels = [each.label for each in examined if check.applies(each)]
        yield from about(check.kind, check.one, check.many, labels)
