"""Which recordings are usable, for what: the one rule for the data report, both models and transcribing.

heard = hear(cell.clip, sample_rate=16_000, limits=needs.limits(cell.text))
reason = heard.against(Purpose.TRAINING)  # None: heard.recording can be learnt from
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codex_worker.audio.character import voice_in
from codex_worker.audio.decode import Clip, CutOff, Decode, Recording, TooLong, decode, decode_or_error
from codex_worker.audio.level import Samples, is_silent, trim_silence
from codex_worker.audio.not_sound import NoSound, SpoiltPointer
from codex_worker.audio.overdrive import flat_share, has_ceiling, is_flattened
from codex_worker.audio.resample import resample
from codex_worker.data.faults import Fault, FoundFault, Purpose
from codex_worker.data.recordings import MAX_RECORDING_S
from codex_worker.errors import DataError
from codex_worker.text.graphemes import letter_count

JUDGED_RATE = 16_000  # whatever rate a model reads, so that all come to the same verdict
# The quickest speech: nobody says more than 30 letters a second, and marks above letters take no time.
SHORTEST_S, LETTER_S = 0.05, 1 / 30
LONG_S = 30.0  # a verse takes less; longer recordings are learnt badly as a whole
JUDGED_S = 120.0  # the loudest stretch of a long recording tells what kind of sound it is
_BY_ERROR = {CutOff: Fault.CUT_OFF, SpoiltPointer: Fault.SPOILT_POINTER, NoSound: Fault.NO_SOUND}
PEAKS_CUT_SHARE, OVERDRIVEN_SHARE = 0.001, 0.05  # of all samples, cut flat


@dataclass(frozen=True)
class Limits:
    """How long a recording must be and may be; `least_s` is infinite where its text has no letters."""

    least_s: float = 0.0
    longest_s: float = MAX_RECORDING_S
    longest_name: str = "the longest that is taken"


@dataclass(frozen=True)
class Needs:
    """What a model asks of its recordings besides what everybody asks.

    `least_s(text)` gives the seconds of speech that it needs for a text, None for one that it cannot learn.
    """

    least_s: Callable[[str], float | None] = lambda text: 0.0
    longest_s: float = MAX_RECORDING_S
    longest_name: str = "the longest that is taken"

    def limits(self, text: str) -> Limits:
        """The limits of a recording with this text."""
        own_s = self.least_s(text)
        least_s = math.inf if own_s is None else max(own_s, least_speech_s(text))
        return Limits(least_s, self.longest_s, self.longest_name)


@dataclass(frozen=True)
class Heard:
    """A recording with all its faults; `recording` is None where there is nothing to hear."""

    recording: Recording | None
    faults: tuple[FoundFault, ...] = ()
    speech_s: float = 0.0  # without the silence at both ends

    def against(self, purpose: Purpose) -> FoundFault | None:
        """Why it is not used for this purpose; None where it is."""
        return next((found for found in self.faults if found.fault.excludes(purpose)), None)

    def remarks(self, purpose: Purpose) -> tuple[FoundFault, ...]:
        """What else is to be said of it."""
        return tuple(found for found in self.faults if not found.fault.excludes(purpose))


def hear(clip: Clip, *, sample_rate: int, limits: Limits | None = None, decode: Decode = decode) -> Heard:
    """Decode a recording at `sample_rate` Hz and judge it."""
    limits = limits or Limits()
    outcome = decode_or_error(
        clip, sample_rate=sample_rate, max_duration_s=decoded_s(limits.longest_s), decode=decode
    )
    return judge(outcome, clip.path, limits)


def judge(outcome: Recording | DataError, path: Path, limits: Limits | None = None) -> Heard:
    """All faults of a recording, or of the attempt to decode `path`; the gravest first."""
    limits = limits or Limits()
    if isinstance(outcome, DataError):
        return Heard(None, (_undecodable(outcome, path, limits),))
    if outcome.duration_s > limits.longest_s:
        return Heard(outcome, (_too_long(f"{outcome.duration_s:.1f} s long", limits),))
    samples = outcome.samples
    if outcome.sample_rate != JUDGED_RATE:
        samples = resample(samples, outcome.sample_rate, JUDGED_RATE)
    speech_s = trim_silence(samples, JUDGED_RATE).size / JUDGED_RATE
    faults = [fault for fault in (_sound_fault(samples), length_fault(speech_s, limits)) if fault]
    return Heard(outcome, tuple(faults), speech_s)


def least_speech_s(text: str) -> float:
    """The fewest seconds in which anybody can say a text; 0 for one without letters."""
    letters = letter_count(text)
    return SHORTEST_S + LETTER_S * letters if letters else 0.0


def length_fault(speech_s: float, limits: Limits) -> FoundFault | None:
    """Whether so many seconds of speech are long enough for a text; for whole recordings and for pieces."""
    if math.isinf(limits.least_s):
        return FoundFault(Fault.NO_LETTERS, "its text holds no letters that can be learnt; correct it")
    if speech_s < limits.least_s:
        return FoundFault(
            Fault.TOO_SHORT,
            f"its text is longer than {speech_s:.1f} s of speech can hold (it needs {limits.least_s:.1f} s); "
            "check that text and recording belong together",
        )
    return None


def decoded_s(longest_s: float) -> float:
    """How much to decode before a recording is certain to be too long: codecs add a little at both ends."""
    return longest_s + 1.0


def _undecodable(error: DataError, path: Path, limits: Limits) -> FoundFault:
    """The error without the path on this machine, which says nothing to a translator."""
    if isinstance(error, TooLong):
        return _too_long("too long", limits)
    fault = next((found for kind, found in _BY_ERROR.items() if isinstance(error, kind)), Fault.UNREADABLE)
    if not path.exists():
        fault = Fault.MISSING
    return FoundFault(fault, str(error).replace(str(path), "its recording"))


def _too_long(what: str, limits: Limits) -> FoundFault:
    return FoundFault(
        Fault.TOO_LONG,
        f"its recording is {what}, more than {limits.longest_name} ({limits.longest_s:g} s); "
        "split it into shorter ones",
    )


def _sound_fault(samples: Samples) -> FoundFault | None:
    """What is wrong with the sound [N] at JUDGED_RATE."""
    if is_silent(samples, JUDGED_RATE):
        return FoundFault(
            Fault.SILENT,
            "its recording is silent: only silence or faint noise is in it; record it again",
        )
    samples = _loudest_stretch(samples)
    samples = samples - samples.mean()
    share = flat_share(samples)
    voice = voice_in(samples, JUDGED_RATE)
    if share <= OVERDRIVEN_SHARE and voice is None:
        return FoundFault(
            Fault.NOT_SPEECH,
            "its recording holds tones, noise or clicks and no speech; listen to it and record it again",
        )
    if share > OVERDRIVEN_SHARE or (voice is not None and is_flattened(voice, JUDGED_RATE)):
        return FoundFault(
            Fault.OVERDRIVEN,
            "its recording is badly overdriven: it was recorded much too loud; record it again",
        )
    if share > PEAKS_CUT_SHARE or (voice is not None and has_ceiling(voice, JUDGED_RATE)):
        return FoundFault(Fault.PEAKS_CUT, "its recording is overdriven in places: it was recorded too loud")
    return None


def _loudest_stretch(samples: Samples) -> Samples:
    """At most JUDGED_S of a recording, so that an hour of it needs no more memory than that."""
    length = round(JUDGED_S * JUDGED_RATE)
    if samples.size <= length:
        return samples
    starts = range(0, samples.size - length // 2, length // 2)
    return max((samples[start : start + length] for start in starts), key=lambda part: float(part @ part))
