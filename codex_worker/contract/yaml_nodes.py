"""Plain Python values of a parsed YAML document: a value that cannot be read spoils no other.

A loader gives the whole document up at one date like 2026-02-30, one number of very many digits, one
unknown tag. Here such a value is the text that stands there, and whoever needs it says what is wrong.
"""

import math
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

from codex_worker.contract.plain_text import plain_text

MOST_LEVELS = 20
MOST_REPEATED = 200_000  # values that aliases repeat; a few nested ones can stand for billions
LETTERS_A_VALUE = 25  # a text that is repeated counts as one more value for each so many letters
LONGEST_WHOLE_NUMBER = 2**63
TOO_DEEP, CIRCULAR, TOO_MANY = "(nested too deeply)", "(a part of itself)", "(repeated too often)"

_TAG = "tag:yaml.org,2002:"
_MERGE, _WHOLE, _NUMBER = f"{_TAG}merge", f"{_TAG}int", f"{_TAG}float"
_SCALARS = {f"{_TAG}null", f"{_TAG}bool", f"{_TAG}timestamp", _WHOLE, _NUMBER}


def plain_value(node: yaml.Node | None) -> Any:
    """The value of a node: mappings have text as keys, as it is written.

    Raises ConstructorError for a tag that makes objects of Python: no person writes one.
    """
    return None if node is None else _Reader().value(node)


class _Reader:
    """Reads one document. What several aliases stand for is made once."""

    def __init__(self) -> None:
        self._constructor = SafeConstructor()
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()
        self._sizes: dict[int, int] = {}  # of what is done, with all that is in it
        self._repeated = 0

    def value(self, node: yaml.Node) -> Any:
        if node.tag.startswith(f"{_TAG}python/"):
            raise ConstructorError(None, None, "it holds a tag of Python", node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return TOO_MANY if self._is_too_much(node) else self._scalar(node)
        if id(node) in self._open:
            return CIRCULAR
        if len(self._open) >= MOST_LEVELS:
            return TOO_DEEP
        if id(node) in self._done:
            return TOO_MANY if self._is_too_much(node) else self._done[id(node)]
        self._open.add(id(node))
        self._done[id(node)] = self._collection(node)
        self._open.remove(id(node))
        is_list = isinstance(node, yaml.SequenceNode)
        parts = node.value if is_list else [part for pair in node.value for part in pair]
        self._sizes[id(node)] = 1 + sum(self._sizes.get(id(part), 1) for part in parts)
        return self._done[id(node)]

    def _is_too_much(self, node: yaml.Node) -> bool:
        """Counts what a node repeats; nothing where it is new, or a short text."""
        size = self._sizes.get(id(node), 0)
        self._repeated += size
        return size > 0 and self._repeated > MOST_REPEATED

    def _collection(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, item in node.value:
            value = self.value(item)
            if key.tag == _MERGE and (parts := _mappings(value)):
                for part in reversed(parts):
                    merged |= part
            else:
                own[self._key(key)] = value
        return merged | own

    def _key(self, node: yaml.Node) -> str:
        """The text of a key as it is written."""
        value = self.value(node)
        return (
            plain_text(node.value) if isinstance(node, yaml.ScalarNode) and value != TOO_MANY else str(value)
        )

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if len(node.value) >= LETTERS_A_VALUE:
            self._sizes[id(node)] = 1 + len(node.value) // LETTERS_A_VALUE
        text = plain_text(str(node.value))
        # 12:00 is a time of day to everybody but YAML 1.1, which reads 720.
        if node.tag not in _SCALARS or (node.tag in {_WHOLE, _NUMBER} and ":" in text):
            return text
        try:
            value = self._constructor.yaml_constructors[node.tag](self._constructor, node)
            if node.tag == _NUMBER:
                return value if math.isfinite(value) else text
            # YAML 1.1 reads 010 as 8, and makes 7 of the name 007.
            return value if node.tag != _WHOLE or (_is_short(value) and str(value) == text) else text
        except (ValueError, OverflowError, AttributeError, KeyError, yaml.YAMLError):
            return text


def _is_short(number: int) -> bool:
    return -LONGEST_WHOLE_NUMBER <= number < LONGEST_WHOLE_NUMBER


def _mappings(value: Any) -> list[dict[str, Any]]:
    """What `<<` brings; nothing where it is no mapping and no list of such."""
    parts = value if isinstance(value, list) else [value]
    return parts if all(isinstance(part, dict) for part in parts) else []
