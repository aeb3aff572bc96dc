"""One recording with its text, as it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from codex_worker.audio.level import Levels
from codex_worker.data.faults import Fault
from codex_worker.doctor.measures import VoiceMeasures
from codex_worker.text.graphemes import letter_count


@dataclass(frozen=True)
class Examined:
    """One recording with its text, measured. `fit` is None where no aligner was at hand."""

    key: str
    label: str
    book: str
    text: str
    duration_s: float
    speech_s: float  # without the silence at both ends
    levels: Levels
    voice: VoiceMeasures
    sound: str  # the same for recordings with the same samples
    fit: float | None
    notes: tuple[str, ...]
    faults: tuple[Fault, ...] = ()  # that do not keep it from being used
    likelihoods: Mapping[str, float] = field(
        default_factory=dict
    )  # of its own and other cells' texts, by key
    beep_s: float = 0.0  # the longest pure tone in it
    music_s: float = 0.0  # in which tones stand still together
    breaks_off: bool = False  # its last sound is as loud as the others

    @property
    def letters(self) -> int:
        """Letters and digits of the text as people count them, without signs."""
        return letter_count(self.text)

    @property
    def letters_per_second(self) -> float:
        """Letters per second of speech."""
        return self.letters / max(self.speech_s, 0.1)
