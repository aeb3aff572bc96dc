"""Finding a few cells in a large notebook without reading all of it.

The editor writes one line per member, so in its files the line of a cell's id says where the cell begins.
What is found that way is decoded and compared; a file laid out in any other way is read whole.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.cell import cell_id
from codex_worker.codex.json_spans import Span, scan
from codex_worker.codex.notebook import MAX_NOTEBOOK_BYTES, Source, created_at_ms

_LAYOUT = re.compile(
    r'\ufeff?{(?P<newline>\r?\n)(?P<unit>[ \t]+)"cells": \['
    r'(?P=newline)(?P<cell>[ \t]+){(?P=newline)(?P<member>[ \t]+)"'
)


@dataclass(frozen=True)
class Located:
    """A notebook's text and the wanted cells in it, by id; an id with no usable cell is absent."""

    text: str
    cells: dict[str, Span]
    created_at_ms: int | None


def locate(data: bytes, path: str, ids: Collection[str]) -> Located:
    """The cells with these ids; of two with one id the first. Raises DataError where `data` is none."""
    if len(data) <= MAX_NOTEBOOK_BYTES:
        found = _by_layout(data, set(ids))
        if found is not None:
            return found
    source = Source.scan(data, path)
    cells: dict[str, Span] = {}
    for span in source.cells:
        try:
            identity = cell_id(span.value)
        except ValueError:
            continue  # a cell without an id is nobody's target; `Notebook.parse` reports it
        if identity in ids:
            cells.setdefault(identity, span)
    return Located(source.text, cells, source.created_at_ms)


def _by_layout(data: bytes, ids: set[str]) -> Located | None:
    """None where the layout does not show every wanted cell exactly once: then the file is read whole."""
    try:
        text = data.decode("utf-8")
        layout = _LAYOUT.match(text)
        if layout is None:
            return None
        metadata = _notebook_metadata(text, layout)
        cells: dict[str, Span] = {}
        for identity, start in _candidates(text, layout, ids):
            span = scan(text, start)
            if identity in cells or cell_id(span.value) != identity or not _is_element(text, span, layout):
                return None
            cells[identity] = span
    except (ValueError, RecursionError):
        return None  # the whole file is read instead, which says what is wrong with it
    if metadata is None or len(cells) != len(ids):
        return None
    return Located(text, cells, created_at_ms(metadata))


def _candidates(text: str, layout: re.Match[str], ids: set[str]) -> list[tuple[str, int]]:
    """Each wanted id that stands on a line of a cell's metadata, and where the object around it begins."""
    newline, cell, member = layout["newline"], layout["cell"], layout["member"]
    opening = f"{newline}{cell}{{{newline}"
    mark = f'{newline}{member}{member[len(cell) :]}"id": "'
    found: list[tuple[str, int]] = []
    at = text.find(mark)
    while at >= 0:
        at += len(mark)
        end = text.index('"', at)
        if "\\" in text[at:end]:
            identity, _ = json.decoder.JSONDecoder().raw_decode(text, at - 1)
        else:
            identity = text[at:end]
        if identity in ids:
            start = text.rfind(opening, 0, at)
            if start < 0:
                raise ValueError("an id stands outside of the cells")
            found.append((identity, start + len(newline) + len(cell)))
        at = text.find(mark, end)
    return found


def _is_element(text: str, span: Span, layout: re.Match[str]) -> bool:
    newline, cell, unit = layout["newline"], layout["cell"], layout["unit"]
    return text.startswith((f",{newline}{cell}{{", f"{newline}{unit}]"), span.end)


def _notebook_metadata(text: str, layout: re.Match[str]) -> dict[str, Any] | None:
    """The notebook's own metadata, where it is the last member of the file."""
    mark = f'{layout["newline"]}{layout["unit"]}"metadata": '
    at = text.rfind(mark)
    if at < 0:
        return None
    span = scan(text, at + len(mark))
    return span.value if isinstance(span.value, dict) and text[span.end :].split() == ["}"] else None
