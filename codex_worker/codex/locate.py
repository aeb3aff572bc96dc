"""Finding a few cells in a large notebook without reading all of it.

The editor writes one line per member, so in its files the line of a cell's id says where the cell begins, and
no text in quotes can look like a line. What is found that way is decoded and compared; a file laid out in any
other way is read whole.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from codex_worker.codex.cell import cell_id
from codex_worker.codex.json_spans import scan, skip_whitespace
from codex_worker.codex.notebook import MAX_NOTEBOOK_BYTES, Source, created_at_ms

_LAYOUT = re.compile(
    rb'(?:\xef\xbb\xbf)?{(?P<newline>\r?\n)(?P<unit>[ \t]+)"cells": \['
    rb'(?P=newline)(?P<cell>[ \t]+){(?P=newline)(?P<member>[ \t]+)"'
)


@dataclass(frozen=True)
class FoundCell:
    """A cell's JSON text, which is `data[start:end]` of the notebook's bytes."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Located:
    """The wanted cells of a notebook by id (an id with no usable cell is absent), and when it was created."""

    cells: dict[str, FoundCell]
    created_at_ms: int | None


def locate(data: bytes, path: str, ids: Collection[str]) -> Located:
    """The cells with these ids; of two with one id the first. Raises DataError where `data` is none."""
    wanted = set(ids)
    found = _by_layout(data, wanted) if len(data) <= MAX_NOTEBOOK_BYTES else None
    return found or _by_reading(data, path, wanted)


def _by_reading(data: bytes, path: str, ids: set[str]) -> Located:
    source = Source.scan(data, path)
    cells: dict[str, FoundCell] = {}
    characters = offset = 0
    for span in source.cells:
        try:
            identity = cell_id(span.value)
        except ValueError:
            continue  # a cell without an id is nobody's target; `Notebook.parse` reports it
        if identity not in ids or identity in cells:
            continue
        start = offset + len(source.text[characters : span.start].encode())
        text = source.text[span.start : span.end]
        characters, offset = span.end, start + len(text.encode())
        cells[identity] = FoundCell(text, start, offset)
    return Located(cells, source.created_at_ms)


def _by_layout(data: bytes, ids: set[str]) -> Located | None:
    """None where the layout does not show every wanted cell exactly once: then the file is read whole."""
    layout = _LAYOUT.match(data)
    if layout is None:
        return None
    cells: dict[str, FoundCell] = {}
    try:
        for identity, at in _lines_of_ids(data, layout, ids):
            found = _cell_around(data, layout, at)
            if identity in cells or found is None or cell_id(scan(found.text, 0).value) != identity:
                return None
            cells[identity] = found
        metadata = _notebook_metadata(data, layout)
    except ValueError:
        return None  # reading the whole file says what is wrong with it
    if metadata is None or len(cells) != len(ids):
        return None
    return Located(cells, created_at_ms(metadata))


def _lines_of_ids(data: bytes, layout: re.Match[bytes], ids: set[str]) -> Iterator[tuple[str, int]]:
    """Each wanted id that stands on a line of a cell's metadata, and the place of that line."""
    deeper = layout["member"] + layout["member"][len(layout["cell"]) :]
    mark = layout["newline"] + deeper + b'"id": '
    line = data.find(mark)
    while line >= 0:
        end = data.find(b"\n", line + len(mark))
        text = data[line + len(mark) : end].rstrip(b"\r,")
        if text.startswith(b'"'):
            identity = json.loads(text) if b"\\" in text else text[1:-1].decode()
            if identity in ids:
                yield identity, line
        line = data.find(mark, line + len(mark))


def _cell_around(data: bytes, layout: re.Match[bytes], at: int) -> FoundCell | None:
    """The element of the list of cells whose lines are around the place `at`."""
    line = layout["newline"] + layout["cell"]
    opening, closing = data.rfind(line + b"{" + layout["newline"], 0, at), data.find(line + b"}", at)
    if opening < 0 or closing < 0:
        return None
    start, end = opening + len(line), closing + len(line) + 1
    if not data.startswith((b"," + line + b"{", layout["newline"] + layout["unit"] + b"]"), end):
        return None
    text = data[start:end].decode("utf-8")
    return FoundCell(text, start, end) if scan(text, 0).end == len(text) else None


def _notebook_metadata(data: bytes, layout: re.Match[bytes]) -> dict[str, Any] | None:
    """The notebook's own metadata, where it is the last member of the file."""
    mark = layout["newline"] + layout["unit"] + b'"metadata": '
    at = data.rfind(mark)
    if at < 0:
        return None
    text = data[at + len(mark) :].decode("utf-8")
    span = scan(text, 0)
    rest = skip_whitespace(text, span.end)
    closed = text[rest : rest + 1] == "}" and skip_whitespace(text, rest + 1) == len(text)
    return span.value if isinstance(span.value, dict) and closed else None
