"""What a forecast needs to know of a project's recordings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """Usable recordings with text, counted. Hours are of sound, shares are from 0 to 1."""

    recordings: int
    hours: float
    hours_by_speaker: tuple[float, ...]  # of each guessed voice, the most frequent first
    noisy_share: float = 0.0  # of the hours: much noise behind the voice
    repeated_share: float = 0.0  # of the hours: the text is that of an earlier recording
    letters: int = 0  # different ones in the texts
    words: int | None = None  # different ones; None where texts have none that can be counted
    rare_share: float = 0.0  # of all letters written: seen too seldom to be learnt

    @property
    def minutes(self) -> float:
        """Of usable recordings."""
        return self.hours * 60

    @property
    def main_voice_hours(self) -> float:
        """Of the voice that most recordings are of."""
        return max(self.hours_by_speaker, default=0.0)
