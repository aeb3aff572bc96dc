"""Where the parts of a JSON text lie, so that one of them can be replaced and all other bytes stay.

Values are read by the standard library's decoder; only the punctuation between them is read here.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

_WHITESPACE = re.compile(r"[ \t\n\r]*")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode


class TooManyElements(ValueError):
    """An array is longer than it may be."""


@dataclass(frozen=True, slots=True)
class Span:
    """A value and its place, `text[start:end]`; `key_start` is the quote of its key, -1 for an element."""

    value: Any
    start: int
    end: int
    key_start: int = -1


def scan(text: str, at: int) -> Span:
    """The value that begins at `at`. Raises ValueError (as `json` does) where there is none."""
    try:
        value, end = _decode(text, at)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return Span(value, at, end)


def members(text: str, at: int) -> dict[str, Span]:
    """The members of the object whose `{` stands at `at`; a repeated key means its last member."""
    found, _ = _read_members(text, at, inside=None)
    return found


def elements(text: str, at: int) -> list[Span]:
    """The elements of the array whose `[` stands at `at`."""
    found, _ = _read_elements(text, at)
    return found


def document(
    text: str, array_key: str, *, most: int | None = None
) -> tuple[dict[str, Span], list[Span] | None]:
    """The top-level members of a document, and the elements of its member `array_key` (None if no array).

    The value of that member's span is None: its elements are read one by one. Raises ValueError, and
    TooManyElements after the first `most` of them.
    """
    start = skip_whitespace(text, 1 if text.startswith("\ufeff") else 0)
    if text[start : start + 1] != "{":
        raise json.JSONDecodeError("an object was expected", text, start)
    inside: list[list[Span] | None] = []
    found, end = _read_members(text, start, inside=(array_key, most, inside))
    end = skip_whitespace(text, end)
    if end != len(text):
        raise json.JSONDecodeError("there is something after the end", text, end)
    return found, inside[-1] if inside else None


def skip_whitespace(text: str, at: int) -> int:
    """The place of the next character that is not JSON whitespace."""
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


def _read_members(
    text: str, at: int, inside: tuple[str, int | None, list[list[Span] | None]] | None
) -> tuple[dict[str, Span], int]:
    found: dict[str, Span] = {}
    at = skip_whitespace(text, at + 1)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("a key in quotes was expected", text, at)
        key_start = at
        key, at = _decode(text, at)
        at = skip_whitespace(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("a colon was expected", text, at)
        at = skip_whitespace(text, at + 1)
        if inside is not None and key == inside[0]:
            if text[at : at + 1] == "[":
                array, end = _read_elements(text, at, inside[1])
                inside[2].append(array)
                found[key] = Span(None, at, end, key_start)
            else:
                inside[2].append(None)
                found[key] = scan(text, at)
        else:
            value = scan(text, at)
            found[key] = Span(value.value, at, value.end, key_start)
        at = skip_whitespace(text, found[key].end)
        mark = text[at : at + 1]
        if mark == "}":
            return found, at + 1
        if mark != ",":
            raise json.JSONDecodeError("a comma or the end of the object was expected", text, at)
        at = skip_whitespace(text, at + 1)


def _read_elements(text: str, at: int, most: int | None = None) -> tuple[list[Span], int]:
    found: list[Span] = []
    at = skip_whitespace(text, at + 1)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        element = scan(text, at)
        found.append(element)
        if most is not None and len(found) > most:
            raise TooManyElements(f"there are more than {most} elements")
        at = skip_whitespace(text, element.end)
        mark = text[at : at + 1]
        if mark == "]":
            return found, at + 1
        if mark != ",":
            raise json.JSONDecodeError("a comma or the end of the list was expected", text, at)
        at = skip_whitespace(text, at + 1)
