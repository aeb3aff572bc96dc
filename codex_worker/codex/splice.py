"""Changing single values inside a JSON text, in the text's own style, so that nothing around them moves."""

import json
import re
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.json_spans import Span, elements, members

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Style:
    """How a text is laid out: `newline` is None where all stands on one line, `unit` is one indentation."""

    newline: str | None
    unit: str
    colon: str
    comma: str
    only_ascii: bool


def style_of(text: str, at: int, only_ascii: bool = False) -> Style:
    """The style of the object whose `{` stands at `at`, seen from its members and the first object in it."""
    inside = list(members(text, at).values())
    if not inside:
        return Style(None, "", ": ", ", ", only_ascii)
    first = inside[0]
    colon = text[text.rindex('"', first.key_start, first.start) + 1 : first.start]
    lead = text[at + 1 : first.key_start]
    if "\n" not in lead:
        comma = text[first.end : inside[1].key_start] if len(inside) > 1 else ", "
        return Style(None, "", colon, comma, only_ascii)
    indent = lead.rpartition("\n")[2]
    unit = next((found for span in inside if (found := _deeper(text, span, indent))), "  ")
    return Style("\r\n" if "\r\n" in lead else "\n", unit, colon, ",", only_ascii)


def replace(text: str, span: Span, value: Any, style: Style) -> str:
    """`text` with another value in the place of this one."""
    return text[: span.start] + _render(value, style, _indent_of_line(text, span.start)) + text[span.end :]


def set_member(text: str, at: int, key: str, value: Any, style: Style) -> str:
    """`text` with `key` of the object at `at` set: in its place, or else as the last member."""
    inside = members(text, at)
    if key in inside:
        return replace(text, inside[key], value, style)
    return _append(text, at, list(inside.values()), [(key, value)], style)


def append_elements(text: str, at: int, values: list[Any], style: Style) -> str:
    """`text` with these values at the end of the array whose `[` stands at `at`."""
    return _append(text, at, elements(text, at), [(None, value) for value in values], style)


def _append(
    text: str, at: int, inside: list[Span], additions: list[tuple[str | None, Any]], style: Style
) -> str:
    if inside:
        start = inside[0].start if inside[0].key_start < 0 else inside[0].key_start
        lead = text[at + 1 : start]
        indent = lead.rpartition("\n")[2] if "\n" in lead else None
        separator = "," + lead if indent is not None else style.comma
        rendered = "".join(separator + _entry(key, value, style, indent) for key, value in additions)
        last = max(span.end for span in inside)
        return text[:last] + rendered + text[last:]
    close = text.index("]" if text[at] == "[" else "}", at)
    if style.newline is None:
        rendered = style.comma.join(_entry(key, value, style, None) for key, value in additions)
        return text[: at + 1] + rendered + text[close:]
    outer = _indent_of_line(text, at)
    inner = outer + style.unit
    lead = style.newline + inner
    rendered = ("," + lead).join(_entry(key, value, style, inner) for key, value in additions)
    return text[: at + 1] + lead + rendered + style.newline + outer + text[close:]


def _entry(key: str | None, value: Any, style: Style, indent: str | None) -> str:
    rendered = _render(value, style, indent)
    return rendered if key is None else _render(key, style, None) + style.colon + rendered


def _render(value: Any, style: Style, indent: str | None) -> str:
    if style.newline is None or indent is None:
        text = json.dumps(value, ensure_ascii=style.only_ascii, separators=(style.comma, style.colon))
    else:
        text = json.dumps(
            value, ensure_ascii=style.only_ascii, indent=style.unit, separators=(",", style.colon)
        ).replace("\n", style.newline + indent)
    return _LONE_SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _deeper(text: str, span: Span, indent: str) -> str:
    """The further indentation of what is inside this member, or nothing."""
    inside: list[Span] = []
    if isinstance(span.value, dict):
        inside = list(members(text, span.start).values())
    if not inside:
        return ""
    lead = text[span.start + 1 : inside[0].key_start]
    deeper = lead.rpartition("\n")[2]
    return deeper[len(indent) :] if "\n" in lead and deeper.startswith(indent) else ""


def _indent_of_line(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]
