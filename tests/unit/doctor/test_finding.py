"""Sentences about recordings end once, and lists of cells are cut."""

import pytest

from codex_worker.doctor.finding import SHOWN, Finding, about, ended


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [
        ("It is quiet", "It is quiet."),
        ("It is quiet.", "It is quiet."),
        ("Do they belong together?", "Do they belong together?"),
        ("Listen!", "Listen!"),
        ("and so on…", "and so on…"),
    ],
)
def test_a_sentence_has_one_end(sentence, whole):
    assert ended(sentence) == whole


def test_what_is_about_no_cell_is_not_said():
    assert list(about("quiet", "1 recording is quiet", "{n} recordings are quiet", [])) == []


def test_many_cells_are_cut_and_counted():
    labels = tuple(f"MRK 1:{verse}" for verse in range(SHOWN + 3))
    said = str(Finding("quiet", "They are quiet", labels))
    assert said.endswith(" and 3 more)") and said.count("MRK") == SHOWN
