"""One is, several are."""

import pytest

from codex_worker.contract.counted import counted


@pytest.mark.parametrize(("count", "words"), [(0, "0 cells are"), (1, "1 cell is"), (2, "2 cells are")])
def test_a_count_agrees_with_its_words(count, words):
    assert counted(count, "1 cell is", "{n} cells are") == words
