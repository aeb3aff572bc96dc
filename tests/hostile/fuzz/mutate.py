"""Changing good files into bad ones: bytes that were damaged, and values that somebody made up."""

import json
import random
from typing import Any

_MARKS = (
    b"\0",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"]}",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"<<: ",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"1e999",
)

# What once went wrong somewhere: numbers without end, text that is none, depth, and the wrong type.
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e300, -1e300, 5e-324,
    float("nan"), float("inf"), float("-inf"), "", "\0", "\ud800", "\x1b[2J", "a\nb", "..", "../x",
    "--all", "nan", "0x10", "1_000", "true", "2026-11-27", "2026-02-30", "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999-23:59", "é" * 300, " " * 5000, [], {}, [[]], [None], {"": {}}, {"\0": 1},
    [1, [2]], "/etc/passwd",
)  # fmt: skip


def mutated_bytes(chance: random.Random, data: bytes) -> bytes:
    """A few damages: bits, cuts, repeats and marks that formats mean something by."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(content) + 1)
        some = chance.choice((1, 2, 4, 16, 200))
        kind = chance.randrange(7)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[at : at + some] = chance.randbytes(some)
        elif kind == 2:
            del content[at : at + some]
        elif kind == 3:
            content[at:at] = content[at : at + some]
        elif kind == 4:
            content[at:at] = chance.choice(_MARKS) * chance.choice((1, 1, 1, 50, 1000))
        elif kind == 5:
            content[at : at + some] = bytes([chance.choice((0, 255))]) * len(content[at : at + some])
        elif chance.random() < 0.3:
            del content[at:]
    return bytes(content)


def mutated_value(chance: random.Random, value: Any) -> Any:
    """A copy in which one to three nodes are others, gone, or there twice."""
    copy = json.loads(json.dumps(value))
    for _ in range(chance.choice((1, 1, 2, 3))):
        copy = _changed(chance, copy)
    return copy


def _changed(chance: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        kind = chance.random()
        if kind < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if kind < 0.2:
            return {**value, str(odd(chance)): value[key]}
        return {**value, key: _changed(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        kind = chance.random()
        if kind < 0.1:
            return value[:place] + value[place + 1 :]
        if kind < 0.2:
            return value + [value[place]] * chance.choice((1, 3, 300))
        return [_changed(chance, item) if at == place else item for at, item in enumerate(value)]
    return odd(chance)


def odd(chance: random.Random) -> Any:
    """A value that nobody expects there."""
    value = chance.choice(_ODD)
    if chance.random() < 0.05:
        for _ in range(chance.choice((20, 100, 900))):
            value = [value] if chance.random() < 0.5 else {"a": value}
    return value


def text_of(chance: random.Random, value: Any) -> bytes:
    """JSON, which YAML reads as well; at times with what JSON has no word for."""
    text = json.dumps(value, ensure_ascii=True)
    if chance.random() < 0.05:
        text = text.replace("1", "1" + "0" * 5000, 1)
    return text.encode()
