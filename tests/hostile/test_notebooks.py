"""Notebooks that are made to cost time and memory."""

import pytest

from codex_worker.codex.notebook import MAX_CELLS, MAX_VALUES, Notebook
from codex_worker.errors import DataError

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
