"""Notebooks that are made to cost time and memory."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from codex_worker.codex.attachments import selected_recording
from codex_worker.codex.notebook import MAX_CELLS, MAX_VALUES, Notebook
from codex_worker.errors import DataError
from tests.support.notebooks import PATH, recorded_cell, validation, value_edit

MANY = MAX_VALUES + 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"cells": [' + b"{}," * MAX_CELLS + b"{}]}", "more than 200,000 cells"),
        (b'{"cells": [' + b"0," * MAX_CELLS + b"0]}", "more than 200,000 cells"),
        (b'{"cells": [' + b"{}," * MANY + b"{}]}", "more than 5,000,000 values"),
        (b'{"cells": [{"metadata": [' + b"[]," * MANY + b"[]]}]}", "more than 5,000,000 values"),
        (b'{"cells": [], "metadata": [' + b"0," * MANY + b"0]}", "more than 5,000,000 values"),
        (b'{"cells": [' + b"[" * 200_000, "not valid JSON"),
        (b'{"cells": [' + b'{"a":' * 200_000, "not valid JSON"),
        (b'{"cells": [1' + b"0" * 5000 + b"]}", "not valid JSON"),
    ],
    ids=[
        "cells",
        "numbers for cells",
        "values",
        "one cell",
        "metadata",
        "deep lists",
        "deep objects",
        "digits",
    ],
)
def test_a_notebook_that_no_editor_writes_is_refused_with_a_sentence(content, words):
    with pytest.raises(DataError, match=words) as refused:
        Notebook.parse(content, "files/target/MRK.codex")
    assert str(refused.value).startswith("files/target/MRK.codex")
    assert len(str(refused.value)) < 500


def test_a_large_but_honest_notebook_is_read():
    text = b'{"cells": [' + b",".join([b'{"kind": 2, "value": "a"}'] * 5000) + b"]}"
    assert len(Notebook.parse(text, "MRK.codex").problems) == 5000


FULL = recorded_cell(
    "MRK 1:1",
    "In the beginning",
    edits=(value_edit("In the beginning", 1, preview=True) | {"validatedBy": [validation("tom", 2)]},),
    data={"globalReferences": ["MRK 1:1"], "startTime": 0, "endTime": 1.5},
)
ANYTHING: tuple[Any, ...] = ([], {}, [[]], {"a": []}, 0, -1.5, 10**400, True, None, "", "\ud800", "MRK 1:1")


def places(value: Any, way: tuple = ()) -> Iterator[tuple]:
    """The way to every value inside a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*way, key)
        yield from places(part, (*way, key))


@pytest.mark.parametrize("way", list(places(FULL)), ids=lambda way: ".".join(map(str, way)))
def test_whatever_stands_where_the_editor_writes_something_else_is_read_or_refused_with_a_sentence(way):
    for anything in ANYTHING:
        spoilt: Any = copy.deepcopy(FULL)
        inner = spoilt
        for key in way[:-1]:
            inner = inner[key]
        inner[way[-1]] = anything
        try:
            cells = Notebook.parse(json.dumps({"cells": [spoilt]}).encode(), PATH).cells
            for found in cells:
                selected_recording(found)
        except DataError as refused:
            assert str(refused).encode()
