import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.graphemes import graphemes, letter_count, units


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("mama", 4),
        ("e\u0301\u0323", 1),  # a letter with two marks
        ("क्षि", 1),  # a conjunct with its vowel
        ("각", 1),  # three jamo
        ("กำ", 1),
        ("ว่า", 2),
        ("a b\u200bc, d!", 4),  # neither spaces nor signs nor what cannot be seen
        ("12 ٣", 3),
        ("boʼo", 4),
        ("\u0301 👩‍👩‍👧", 0),
        ("\ue000\ue001", 2),  # letters for private use
        ("…", 0),
        ("", 0),
    ],
)
def test_a_letter_with_its_marks_is_one_letter_to_people(text, count):
    assert letter_count(text) == count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("เพราะว่า", ["เพ", "ราะ", "ว่า"]),  # Thai vowels before and behind their consonant
        ("ใจๆ", ["ใจๆ"]),
        ("ເປົ່າ", ["ເປົ່າ"]),
        ("ကြောင့်", ["ကြော", "င့်"]),  # a vowel sign that is a grapheme of its own
        ("ក្រុងៗ", ["ក្រុ", "ងៗ"]),
        ("བོད་ཡིག།", ["བོ", "ད་", "ཡི", "ག།"]),  # a line begins with neither tsheg nor shad
        ("チャーチ", ["チャー", "チ"]),
        ("天、地。", ["天、", "地。"]),
        ("ꦗꦮꦶ", ["ꦗ", "ꦮꦶ"]),
    ],
)
def test_a_line_never_breaks_between_a_letter_and_what_belongs_to_it(text, expected):
    assert units(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea",
            ["\U0001f1eb\U0001f1f7", "\U0001f1e9\U0001f1ea"],
        ),  # two flags
        ("👩‍👩‍👧a", ["👩‍👩‍👧", "a"]),  # joined by zero-width joiners
        ("e\u0301\u0323क्षि", ["e\u0301\u0323", "क्षि"]),
        ("\u0301", ["\u0301"]),
    ],
)
def test_graphemes_are_those_of_the_standard(text, expected):
    assert graphemes(text) == expected


@given(st.text(st.characters(codec="utf-8")))
def test_the_form_of_a_text_does_not_change_its_length(text):
    assert letter_count(unicodedata.normalize("NFC", text)) == letter_count(
        unicodedata.normalize("NFD", text)
    )


@given(st.text(st.sampled_from("aกเะๆ្่កါမ་།ーャ\u0301\u200d👩🇫각ᄀ \u200b…(。")))
def test_nothing_is_lost_or_empty_whatever_is_joined(text):
    for cut in (graphemes(text), units(text)):
        assert "".join(cut) == text
        assert all(cut)
