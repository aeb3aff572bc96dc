"""How a value of a manifest is read: what can be meant is accepted, however it is written.

YAML gives `1e-4` as text, an editor gives 5.0 for 5, and people write Yes. Each class here is one kind of
value; `read` gives the value in its own type, and raises ValueError with the end of a sentence that begins
with the key: "is not a whole number from 1 to 4096".
"""

import difflib
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from codex_worker.contract.yaml_text import read_time

LONGEST_NUMBER = 60  # characters; a longer text is no number that anybody means
MOST_HOURS = 100_000
_SHOWN = 60
MMS_CODE = re.compile(r"[a-z]{3}(-(script|dialect)_[a-z0-9_-]{2,40})?")

_YES, _NO = frozenset({"yes", "y", "true", "on", "1"}), frozenset({"no", "n", "false", "off", "0"})


class Values(Protocol):
    """A kind of value."""

    @property
    def described(self) -> str:
        """What may be written, for the documentation."""

    def read(self, value: Any) -> Any:
        """The value in its own type; None for None. Raises ValueError."""


@dataclass(frozen=True)
class Whole:
    """A whole number: 50, 5.0, '50'."""

    least: int
    most: int

    @property
    def described(self) -> str:
        """What may be written."""
        return f"{self.least} to {self.most}"

    def read(self, value: Any) -> int | None:
        """The number as an int."""
        if value is None:
            return None
        number = _number(value)
        if number is None or not self.least <= number <= self.most or not number.is_integer():
            raise ValueError(f"is not a whole number from {self.least} to {self.most}")
        return int(number)


@dataclass(frozen=True)
class Number:
    """A number: 0.1, '1e-4', 3."""

    least: float
    most: float

    @property
    def described(self) -> str:
        """What may be written."""
        return f"{self.least:g} to {self.most:g}"

    def read(self, value: Any) -> float | None:
        """The number as a float; never NaN or infinite."""
        if value is None:
            return None
        number = _number(value)
        if number is None or not self.least <= number <= self.most:
            raise ValueError(f"is not a number from {self.least:g} to {self.most:g}")
        return number


@dataclass(frozen=True)
class YesNo:
    """True or false, as YAML or a person writes them."""

    @property
    def described(self) -> str:
        """What may be written."""
        return "true, false"

    def read(self, value: Any) -> bool | None:
        """The answer as a bool."""
        if value is None or isinstance(value, bool):
            return value
        word = _folded(value) if isinstance(value, str) else str(int(value)) if value in (0, 1) else ""
        if word in _YES or word in _NO:
            return word in _YES
        raise ValueError("is neither true nor false")


@dataclass(frozen=True)
class Choice:
    """One of a few words, in any case; `advice` is a sentence for whoever wants another one."""

    words: tuple[str, ...]
    advice: str = ""
    not_offered: tuple[str, ...] = ()  # accepted as well, but only some can use them
    has_owners: bool = False  # what stands before the last slash may be left out

    @property
    def described(self) -> str:
        """What may be written."""
        return ", ".join(f"`{word}`" for word in self.words)

    def read(self, value: Any) -> str | None:
        """The word as it stands in the list."""
        word = _folded(value) if isinstance(value, str) else None
        if value is None or word == "":
            return None
        for known in (*self.words, *self.not_offered):
            short = known.rpartition("/")[2] if self.has_owners else known
            if word in {known.lower(), short.lower()}:
                return known
        near = difflib.get_close_matches(word or "", [known.lower() for known in self.words], 1, 0.8)
        hint = f" ({near[0]} is meant)" if near else ""
        advice = f". {self.advice}" if self.advice else ""
        raise ValueError(f"is not one of {', '.join(self.words)}{hint}{advice}")


@dataclass(frozen=True)
class Text:
    """A text of at most so many characters. An empty one counts as absent, unless it is taken as it is."""

    longest: int = 1000
    as_it_is: bool = False

    @property
    def described(self) -> str:
        """What may be written."""
        return "a text"

    def read(self, value: Any) -> str | None:
        """The text, without spaces around it."""
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise ValueError("is not a text (put it between quotation marks)")
        if len(value) > self.longest:
            raise ValueError(f"is longer than {self.longest} characters")
        return value if self.as_it_is else value.strip() or None


@dataclass(frozen=True)
class MmsVoice:
    """The code of a published MMS voice: `swh`, `azj-script_latin`, `facebook/mms-tts-swh`."""

    described = "a code of three letters, as `swh`; some have more, as `azj-script_latin`"

    def read(self, value: Any) -> str | None:
        """The code in small letters, without the name of its repository."""
        if value is None or value == "":
            return None
        code = str(value).strip().lower().removeprefix("facebook/").removeprefix("mms-tts-")
        if not isinstance(value, str) or not MMS_CODE.fullmatch(code):
            raise ValueError(
                "is not the code of an MMS voice (three letters of ISO 639-3, as in facebook/mms-tts-swh)"
            )
        return code


@dataclass(frozen=True)
class Verses:
    """A list of cell ids and verse references."""

    @property
    def described(self) -> str:
        """What may be written."""
        return "a list"

    def read(self, value: Any) -> tuple[str, ...] | None:
        """The entries; null entries are left out."""
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise ValueError("must be a list of cell ids or verse references, like [MRK 1:1, MRK 1:2]")
        for entry in value:
            if isinstance(entry, bool) or not isinstance(entry, str | int | float | None):
                raise ValueError(
                    f"has an entry that is neither a cell id nor a verse reference: {shown(entry)}"
                )
        return tuple(str(entry) for entry in value if entry is not None)


@dataclass(frozen=True)
class Timeout:
    """A time, or a number of hours."""

    @property
    def described(self) -> str:
        """What may be written."""
        return "a time, or hours"

    def read(self, value: Any) -> datetime | float | None:
        """The time with its zone, or hours as a float."""
        if value is None:
            return None
        number = _number(value)
        if number is not None and 0 < number <= MOST_HOURS:
            return number
        moment = read_time(value) if number is None and not isinstance(value, bool) else None
        if moment is None:
            raise ValueError(
                f"is neither a time, like '2026-11-22T00:00:00Z', nor a number of hours from above 0 to "
                f"{MOST_HOURS}"
            )
        return moment


@dataclass(frozen=True)
class Anything:
    """A value that nobody reads."""

    @property
    def described(self) -> str:
        """What may be written."""
        return "anything"

    def read(self, value: Any) -> Any:
        """The value as it stands."""
        return value


def shown(value: Any) -> str:
    """A value in a sentence: short, whatever a manifest holds."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return "a number of very many digits"
    if isinstance(value, list | dict) and len(value) > 20:
        return f"a {'list' if isinstance(value, list) else 'mapping'} with {len(value)} entries"
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes, somewhere in it
        return "something with a number of very many digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _number(value: Any) -> float | None:
    """The finite number that is meant, None where none is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > LONGEST_NUMBER:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _folded(text: str) -> str:
    return text.strip().lower()
