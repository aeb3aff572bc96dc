import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.graphemes import graphemes, letters_long, units


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("mama", 4),
        ("e\u0301\u0323", 1),  # a letter with two marks
        ("क्षि", 1),  # a conjunct with its vowel
        ("각", 1),  # three jamo
        ("\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", 2),  # two flags
        ("👩‍👩‍👧", 1),  # joined by zero-width joiners
        ("กำ", 1),
        ("ว่า", 2),
        ("a b\u200bc", 3),  # neither spaces nor what cannot be seen
        ("\ue000\ue001", 2),  # letters for private use
        ("…", 1),
        ("", 0),
    ],
)
def test_a_letter_with_its_marks_is_one_letter_to_people(text, count):
    assert letters_long(text) == count


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


@given(st.text(st.sampled_from("aกเะๆ្่កါမ་།ーャ\u0301\u200d👩🇫각ᄀ \u200b…(。")))
def test_nothing_is_lost_or_empty_whatever_is_joined(text):
    for cut in (graphemes(text), units(text)):
        assert "".join(cut) == text
        assert all(cut)
