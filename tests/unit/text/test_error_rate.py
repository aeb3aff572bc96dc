import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.error_rate import character_error_rate, edit_distance, word_error_rate


@pytest.mark.parametrize(
    ("references", "hypotheses", "characters", "words"),
    [
        (["in the beginning"], ["in the beginning"], 0.0, 0.0),
        (["abcd"], ["abxd"], 0.25, 1.0),
        (["one two three four"], ["one three four"], 4 / 18, 0.25),
        (["a b", "c d e f g h"], ["a b", "x d e f g h"], 1 / 14, 1 / 8),  # by length, not by text
        (["ab"], [""], 1.0, 1.0),
        (["ab"], ["abababab"], 3.0, 1.0),
        ([""], [""], 0.0, 0.0),
        ([""], ["noise"], 1.0, 1.0),
        (["", "ab"], ["x", "ab"], 0.5, 1.0),
    ],
)
def test_errors_are_counted_over_all_texts(references, hypotheses, characters, words):
    assert character_error_rate(references, hypotheses) == pytest.approx(characters)
    assert word_error_rate(references, hypotheses) == pytest.approx(words)


@pytest.mark.parametrize("rate", [character_error_rate, word_error_rate])
@pytest.mark.parametrize(("references", "hypotheses"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_what_cannot_be_compared_is_refused(rate, references, hypotheses):
    with pytest.raises(ValueError, match="cannot be compared"):
        rate(references, hypotheses)


def test_the_distance_is_between_strings_or_lists_of_words():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance(["in", "the", "house"], ["in", "house"]) == 1
    assert edit_distance("", "abc") == 3


@given(st.text("abc ", max_size=12), st.text("abc ", max_size=12))
def test_the_distance_is_the_one_of_the_textbook(one, other):
    row = list(range(len(other) + 1))
    for at, left in enumerate(one, 1):
        above, row[0] = row[0], at
        for place, right in enumerate(other, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (left != right))
    assert edit_distance(one, other) == row[-1]
