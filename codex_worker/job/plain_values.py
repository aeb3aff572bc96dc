"""Values of handlers and of whoever writes on the channel, as plain ones that can be written anywhere.

    values = PlainValues()
    values.of({"cer": float("nan"), "notes": ["fine"]})  # {"cer": None, "notes": ["fine"]}
    values.lost  # ["cer is no finite number"]

A value that cannot be kept costs that value only: it becomes null and is named in `lost`.
"""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from itertools import islice
from typing import Any

from codex_worker.contract.plain_text import plain_text

MAX_DEPTH = 20
MAX_VALUES = 10_000
MAX_TEXT_LENGTH = 10_000
MAX_KEY_LENGTH = 200
MAX_RESULT_BYTES = 64_000
LARGEST_NUMBER = 2**63 - 1
_MAX_LOST = 20  # that are named
_MAX_ARRAY_BYTES = 8 * MAX_VALUES


class PlainValues:
    """Makes plain values within bounds: depth, number of values, length of texts, size of numbers."""

    def __init__(
        self, *, depth: int = MAX_DEPTH, values: int = MAX_VALUES, text_length: int = MAX_TEXT_LENGTH
    ) -> None:
        self._depth = depth
        self._values = values
        self._text_length = text_length
        self.lost: list[str] = []

    def of(self, value: Any, where: str = "") -> Any:
        """The value in JSON's own types; dates become ISO 8601, oddities text."""
        return self._of(value, where, self._depth)

    def _of(self, value: Any, where: str, depth: int) -> Any:
        self._values -= 1
        if self._values < 0:
            return self._lose(where, "holds more values than are kept")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, where)
        if isinstance(value, int):
            within = -LARGEST_NUMBER <= value <= LARGEST_NUMBER
            return int(value) if within else self._lose(where, "is a number beyond 64 bits")
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else self._lose(where, "is no finite number")
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            if depth == 0:
                return self._lose(where, f"is nested more than {self._depth} deep")
            return self._collection(value, where, depth - 1)
        return self._oddity(value, where, depth)

    def _collection(self, value: Any, where: str, depth: int) -> Any:
        if not isinstance(value, Mapping):
            return [self._of(item, _below(where, index), depth) for index, item in self._first(value)]
        items = {self.key(key): item for _, (key, item) in self._first(value.items())}
        return {key: self._of(item, _below(where, key), depth) for key, item in items.items()}

    def _first(self, items: Any) -> Any:
        """As many as there is room for, and one more, which is lost and said."""
        return enumerate(islice(items, self._values + 1))

    def key(self, key: Any) -> str:
        """The key of a mapping as text."""
        text = key if isinstance(key, str) else str(PlainValues(depth=0).of(key))
        return plain_text(text[:MAX_KEY_LENGTH])

    def _text(self, text: str, where: str) -> str:
        if len(text) > self._text_length:
            self._lose(where, f"is longer than {self._text_length:,} characters and is cut")
            text = text[: self._text_length]
        return plain_text(text)

    def _oddity(self, value: Any, where: str, depth: int) -> Any:
        """Arrays and numbers of numpy and torch as lists and numbers, everything else as its text."""
        try:
            if hasattr(value, "tolist") and getattr(value, "nbytes", 0) <= _MAX_ARRAY_BYTES:
                return self._of(value.tolist(), where, depth)
            return self._text(str(value), where)
        except Exception as error:  # whatever a stranger's object does when it is asked for its text
            return self._lose(where, f"cannot be written ({type(error).__name__})")

    def _lose(self, where: str, why: str) -> None:
        if len(self.lost) < _MAX_LOST:
            self.lost.append(f"{plain_text(where[:MAX_KEY_LENGTH]) or 'It'} {why}")


def plain_result(
    found: Mapping[str, Any], limit_bytes: int = MAX_RESULT_BYTES
) -> tuple[dict[str, Any], list[str]]:
    """A result within all bounds, and what of it is lost: where it is too long, its largest values."""
    result: dict[str, Any] = {}
    lost: list[str] = []
    for key, value in islice(found.items(), MAX_VALUES):
        values = PlainValues()  # one for each, so that a large one costs no other
        name = values.key(key)
        result[name] = values.of(value, name)
        lost += values.lost
    sizes = {name: len(json.dumps({name: item})) for name, item in result.items()}
    while sum(sizes.values()) > limit_bytes:
        largest = max(sizes, key=lambda key: sizes[key])
        lost.append(f"{largest} has {sizes.pop(largest):,} bytes, and a result at most {limit_bytes:,}")
        del result[largest]
    return result, lost[:_MAX_LOST]


def _below(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
