"""Plain Python values of a parsed YAML document: a value that cannot be read spoils no other.

A loader gives the whole document up at one date like 2026-02-30, one number of very many digits, one
unknown tag. Here such a value is the text that stands there, and whoever needs it says what is wrong.
"""

from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

MOST_LEVELS = 100
MOST_REPEATED = 200_000  # values that aliases repeat; a few nested ones can stand for billions
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
            return self._scalar(node)
        if id(node) in self._open:
            return CIRCULAR
        if len(self._open) >= MOST_LEVELS:
            return TOO_DEEP
        if id(node) in self._done:
            self._repeated += self._sizes[id(node)]
            return self._done[id(node)] if self._repeated <= MOST_REPEATED else TOO_MANY
        self._open.add(id(node))
        self._done[id(node)] = self._collection(node)
        self._open.remove(id(node))
        parts = node.value if isinstance(node, yaml.SequenceNode) else [item for _, item in node.value]
        self._sizes[id(node)] = 1 + sum(self._sizes.get(id(part), 1) for part in parts)
        return self._done[id(node)]

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
                own[key.value if isinstance(key, yaml.ScalarNode) else str(self.value(key))] = value
        return merged | own

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        # 12:00 is a time of day to everybody but YAML 1.1, which reads 720.
        if node.tag not in _SCALARS or (node.tag in {_WHOLE, _NUMBER} and ":" in text):
            return text
        try:
            value = self._constructor.yaml_constructors[node.tag](self._constructor, node)
            # YAML 1.1 reads 010 as 8, and makes 7 of the name 007.
            return value if node.tag != _WHOLE or str(value) == text else text
        except (ValueError, OverflowError, AttributeError, KeyError, yaml.YAMLError):
            return text


def _mappings(value: Any) -> list[dict[str, Any]]:
    """What `<<` brings; nothing where it is no mapping and no list of such."""
    parts = value if isinstance(value, list) else [value]
    return parts if all(isinstance(part, dict) for part in parts) else []
