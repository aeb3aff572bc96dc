"""What can be wrong with a recording, what each fault excludes it from, and its words for translators."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from codex_worker.contract.counted import counted


class Purpose(Enum):
    """What a recording is wanted for."""

    TRAINING = auto()
    READING = auto()  # transcribing it


class Fault(StrEnum):
    """Why a recording is not used, or not without a remark. Known by its code, never by a sentence."""

    MISSING = "missing"
    OTHER_ON_SERVER = "other_on_server"
    NOT_FETCHED = "not_fetched"
    TWO_ALIKE = "two_alike"
    SPOILT_POINTER = "spoilt_pointer"
    NO_SOUND = "no_sound"
    UNREADABLE = "unreadable"
    CUT_OFF = "cut_off"
    TOO_LONG = "too_long"
    SILENT = "silent"
    NOT_SPEECH = "not_speech"
    OVERDRIVEN = "overdriven"
    PEAKS_CUT = "peaks_cut"
    NO_LETTERS = "no_letters"
    TOO_SHORT = "too_short"

    def excludes(self, purpose: Purpose) -> bool:
        """Whether a recording with this fault is left out; otherwise it is used with a remark."""
        return purpose in _RULES[self].excluded_from

    @property
    def heading(self) -> str:
        """The fault of one recording in a few words, for a table of counts."""
        return _RULES[self].heading

    def counted(self, count: int) -> str:
        """The fault as a sentence about so many recordings, without a full stop."""
        rule = _RULES[self]
        return counted(count, f"1 recording {rule.one}", f"{{n}} recordings {rule.many}")


@dataclass(frozen=True)
class FoundFault:
    """A fault of one recording; the sentence has its particulars, and what to do."""

    fault: Fault
    sentence: str


@dataclass(frozen=True)
class _Rule:
    excluded_from: frozenset[Purpose]
    heading: str
    one: str
    many: str


_BOTH = frozenset(Purpose)
_TRAINING = frozenset({Purpose.TRAINING})

_RULES = {
    Fault.MISSING: _Rule(
        _BOTH,
        "the recording is not there",
        "is not there and has to be synchronised",
        "are not there and have to be synchronised",
    ),
    Fault.OTHER_ON_SERVER: _Rule(
        _BOTH,
        "the recording on the server is not the one that its pointer names",
        "is not what its pointer names: another size or other content is on the server. Record it again",
        "are not what their pointers name: another size or other content is on the server. Record them again",
    ),
    Fault.NOT_FETCHED: _Rule(
        _BOTH,
        "the server did not give the recording",
        "could not be fetched from the server",
        "could not be fetched from the server",
    ),
    Fault.TWO_ALIKE: _Rule(
        _BOTH,
        "two files have the name of the recording",
        "could be either of two files with almost the same name. Rename one of them, or record it again",
        "could be either of two files with almost the same name. Rename one of each, or record them again",
    ),
    Fault.SPOILT_POINTER: _Rule(
        _BOTH,
        "a pointer that cannot be followed stands where the recording should be",
        "has a damaged LFS pointer, or one with a merge conflict. Restore it, or record again",
        "have damaged LFS pointers, or ones with a merge conflict. Restore them, or record again",
    ),
    Fault.NO_SOUND: _Rule(
        _BOTH,
        "the file is no sound but something else",
        "is no sound at all, but an empty file, a text, a web page or a picture. Record it again",
        "are no sound at all, but empty files, texts, web pages or pictures. Record them again",
    ),
    Fault.UNREADABLE: _Rule(_BOTH, "the recording cannot be read", "cannot be read", "cannot be read"),
    Fault.CUT_OFF: _Rule(
        _BOTH, "the recording is cut off", "is cut off and not used", "are cut off and not used"
    ),
    Fault.TOO_LONG: _Rule(
        _BOTH, "the recording is too long", "is too long and not used", "are too long and not used"
    ),
    Fault.SILENT: _Rule(
        _BOTH, "the recording is silent", "is silent and not used", "are silent and not used"
    ),
    Fault.NOT_SPEECH: _Rule(
        _BOTH,
        "the recording holds no speech",
        "holds tones, noise or clicks instead of speech and is not used",
        "hold tones, noise or clicks instead of speech and are not used",
    ),
    Fault.OVERDRIVEN: _Rule(
        _TRAINING,
        "the recording is badly overdriven",
        "is badly overdriven (too loud for the microphone) and not learnt from. "
        "Record it again, further away",
        "are badly overdriven (too loud for the microphone) and not learnt from. "
        "Record them again, further away",
    ),
    Fault.PEAKS_CUT: _Rule(
        frozenset(),
        "the recording is overdriven in places",
        "is overdriven in places (too loud for the microphone). Record it again, further away",
        "are overdriven in places (too loud for the microphone). Record them again, further away",
    ),
    Fault.NO_LETTERS: _Rule(
        _TRAINING,
        "the text has no letter that can be learnt",
        "has a text without any letter that can be learnt",
        "have texts without any letter that can be learnt",
    ),
    Fault.TOO_SHORT: _Rule(
        _TRAINING,
        "the recording is too short for its text",
        "is too short for its text and not used. Do text and recording belong together?",
        "are too short for their texts and not used. Do text and recording belong together?",
    ),
}
