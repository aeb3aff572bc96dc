"""Long verses of any script in parts that the network can hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.phrases import MAX_SYMBOLS, phrases


@pytest.mark.parametrize(
    "text",
    [
        "kama tole " * 70,
        "កខគ\u200b" * 220,
        "བོད་" * 180,
        "กขคงจฉ" * 110,
        "天地" * 330,
        "ꦏꦤ꧀ꦢ" * 150,
        "ᬓᬦ᭄ᬤ" * 150,
        "ကြောင့်" * 150,
        "ꀋꂿꄮ" * 200,
        "はじめに" * 150,
        "neverendingword" * 40,
        "太初有道，道與神同在。" * 60,
        "ཐོག་མར་བཀའ།" * 60,
    ],
)
def test_no_part_of_a_verse_is_longer_than_the_network_holds(text):
    frontend = CharactersFrontend.learn([text])
    parts = phrases(text, frontend)
    assert all(len(part.ids) <= 2 * MAX_SYMBOLS + 1 for part in parts)
    assert "".join(part.text for part in parts).replace(" ", "") == text.replace(" ", "")
    assert len(parts) <= 2 * (len(frontend.encode(text).ids) // MAX_SYMBOLS + 1)


def test_parts_without_marks_are_about_equally_long():
    lengths = [len(part.ids) for part in phrases("天" * 500, CharactersFrontend.learn(["天"]))]
    assert len(lengths) == 3
    assert max(lengths) - min(lengths) <= 2


def test_a_stretch_that_is_cut_between_letters_goes_on_without_a_pause():
    first, last = phrases("天" * 300 + "。", CharactersFrontend.learn(["天"]))
    assert first.pause_s == 0
    assert last.pause_s > 0


@settings(max_examples=30, deadline=None)  # the first reading loads libraries
@given(st.text(st.sampled_from("ab ñ天กำ12,.!?'\u0301—\n"), max_size=80))
def test_the_english_reading_is_held_to_the_same_limit(text):
    parts = phrases(text, CompatFrontend(), max_symbols=40)
    assert all(0 < len(part.ids) <= 2 * 40 + 1 for part in parts)
