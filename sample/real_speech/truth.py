"""What is right about a project that was made: written beside it, read by the tests that run on it."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

LETTER = re.compile(r"[^\W\d_]|(?<=[^\W\d_])['’-](?=[^\W\d_])")


class Role(StrEnum):
    """What a cell is there for."""

    TRAINING = "text and recording"
    UNHEARD = "recording only"
    UNSPOKEN = "text only"


class Plant(StrEnum):
    """What was done to a cell on purpose. All but MISNAMED are faults that somebody has to hear of."""

    SWAPPED = "text and recording of two verses are swapped"
    SAME_RECORDING = "one recording for two verses"
    OVERDRIVEN = "too loud for the microphone"
    FAINT = "too faint to be heard"
    NOISE = "noise 8 dB below the voice"
    MOSTLY_SILENCE = "four fifths are silence"
    CUT_FILE = "the file ends in the middle"
    STOPPED = "the speaker stopped half way"
    SAID_TWICE = "the verse is said twice"
    BEEP = "a beep before the words"
    NO_SPEECH = "no speech at all"
    DIGITAL_SILENCE = "nothing but zeros"
    LOST = "the server has not got the file"
    NEVER_SENT = "the file was never sent"
    MISNAMED = "a wav that is called mp3, which harms nobody"


@dataclass(frozen=True)
class CellTruth:
    """One cell, and what is known of it."""

    cell: str
    """Its id."""
    reference: str
    """Such as ``MRK 2:7``."""
    document: str
    key: str
    """The prompt's name in the package."""
    role: Role
    text: str
    """What the cell says; empty where nobody has written it down."""
    said: str
    """What is heard, as far as the recording goes; for a cell without one, what is to be spoken."""
    extension: str | None
    duration_s: float
    plant: Plant | None = None


@dataclass(frozen=True)
class Truth:
    """A project, and all of its cells."""

    language: str
    credit: str
    """Whose recordings these are, and the licence."""
    commit: str
    fingerprint: str
    """Of the packages and the program that it was made with."""
    letters: str
    """The letters of all texts that have a recording, and marks inside of words, each once, in lower case."""
    cells: tuple[CellTruth, ...]

    def with_role(self, role: Role, *, planted: bool | None = None) -> list[CellTruth]:
        """The cells of a role: all, or only those with (or without) something planted."""
        return [
            cell for cell in self.cells if cell.role is role and planted in {None, cell.plant is not None}
        ]

    def planted(self, *plants: Plant) -> list[CellTruth]:
        """The cells where one of these was planted."""
        return [cell for cell in self.cells if cell.plant in plants]

    def counts(self) -> str:
        """How many cells of each kind, in a line for people."""
        ordinary = Counter(cell.role for cell in self.cells if cell.plant is None)
        planted = sum(cell.plant is not None for cell in self.cells)
        heard_s = sum(cell.duration_s for cell in self.cells if cell.extension)
        kinds = [f"{ordinary[role]} with {role.value}" for role in Role]
        return f"{', '.join(kinds)}, {planted} with something planted; {heard_s / 60:.1f} minutes of speech"


def letters_of(texts: Iterable[str]) -> str:
    """The letters that texts are written with, and the marks inside of their words, in their order."""
    return "".join(sorted({letter for text in texts for letter in LETTER.findall(text.lower())}))


def write_truth(path: Path, truth: Truth) -> None:
    """As JSON."""
    path.write_text(json.dumps(asdict(truth), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_truth(path: Path) -> Truth:
    """What ``write_truth`` wrote. Raises FileNotFoundError where nothing is there."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    cells = tuple(
        CellTruth(
            **cell | {"role": Role(cell["role"]), "plant": Plant(cell["plant"]) if cell["plant"] else None}
        )
        for cell in found.pop("cells")
    )
    return Truth(**found, cells=cells)


def fingerprint_in(path: Path) -> str | None:
    """The fingerprint of a truth that an older program may have written in a form of its own."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found.get("fingerprint")
