"""When each word is said: from the ids of a text, and from how long the network says each of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.word_times import timed, word_ids

CHARACTERS = CharactersFrontend.learn(["mama na baba wanaenda sokoni, leo. Asubuhi! ñandú 起初神创造天地"])
ENGLISH = CompatFrontend()


def said(text, frontend):
    ids = frontend.encode(text).ids
    return {
        each.text: "".join(frontend.symbols[one] for one in ids[each.first : each.end])
        for each in word_ids(text, frontend)
    }


def test_each_word_has_its_own_letters():
    assert said("mama na, ñandú.", CHARACTERS) == {"mama": "mama", "na,": "na,", "ñandú.": "ñandú."}


def test_a_number_is_as_many_ids_as_it_is_read_with():
    spoken = said("in 1999 he", ENGLISH)
    assert len(spoken["1999"]) > 15
    assert not any(letters.startswith(" ") for letters in spoken.values())


def test_what_is_not_spoken_has_no_time():
    words = word_ids("mama *** 漢 baba", CHARACTERS)
    assert [(each.text, each.first < each.end) for each in words] == [
        ("mama", True),
        ("***", False),
        ("漢", False),
        ("baba", True),
    ]
    ends = np.arange(1, 2 * words[-1].end + 2, dtype=np.float64)
    assert [word.text for word in timed(words, ends)] == ["mama", "baba"]


def test_letters_of_scripts_without_spaces_have_times_of_their_own():
    words = word_ids("起初神", CHARACTERS)
    assert [(each.text, each.goes_on) for each in words] == [("起", True), ("初", True), ("神", False)]


def test_a_word_begins_when_the_blank_before_it_has_ended():
    words = word_ids("na leo", CHARACTERS)
    lasts = np.array([1, 2, 1, 3, 1, 4, 1, 5, 1, 6, 1, 7, 1], dtype=np.float64)  # blanks last 1
    first, second = timed(words, lasts.cumsum())
    assert (first.start_s, first.end_s) == (1.0, 1 + 2 + 1 + 3)
    assert (second.start_s, second.end_s) == (8 + 4 + 1, lasts.sum() - 1)


@pytest.mark.parametrize("frontend", [CHARACTERS, ENGLISH], ids=["characters", "compat"])
@given(text=st.text("mana beko12,.!?ñ漢 \n\u0301’-", max_size=40))
def test_words_follow_each_other_and_cover_every_letter(frontend, text):
    words = word_ids(text, frontend)
    ids = frontend.encode(text).ids
    covered = set()
    for before, after in pairwise(words):
        assert before.end <= after.first
    for each in words:
        assert 0 <= each.first <= each.end <= len(ids)
        covered |= set(range(each.first, each.end))
    left = [frontend.symbols[one] for place, one in enumerate(ids) if place not in covered]
    assert all(symbol.isspace() for symbol in left) or not words
