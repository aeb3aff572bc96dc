import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.errors import DataError
from codex_worker.text.letters import learn_marks
from codex_worker.text.normalise import (
    TextRecipe,
    letter_counts,
    rare_letters,
    recipe_for,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In the beginning, God created…", "in the beginning god created"),
        ("He said: “Don’t go!”", "he said don't go"),
        ("well-known — and loved", "well-known and loved"),
        ("word,word;word—word", "word word word word"),
        ("¿Quién? «Él» ¡sí!", "quién él sí"),
        ("e\u0301te\u0301", "été"),
        ("  two\n\tlines\u00a0here ", "two lines here"),
        ("non\u2011breaking soft\u00adhyphen zero\u200bwidth", "non-breaking softhyphen zerowidth"),
        ("'quoted' words'", "quoted words"),
        ("- a list - of - things -", "a list of things"),
        ("3 verses, 12 men", "3 verses 12 men"),
        ("नमस्ते। क्\u200dष", "नमस्ते क्\u200dष"),
        ("saltillo ꞌak ʼokina ʻaina", "saltillo ꞌak ʼokina ʻaina"),
        ("tone ma꞉ma", "tone ma꞉ma"),
        ("$5 + 😀 = ok", "5 ok"),
        ("NA", "na"),
        ("", ""),
        ("…!?", ""),
        ("\ud800broken", "broken"),
    ],
)
def test_the_usual_recipe_leaves_words_and_their_letters(text, expected):
    assert TextRecipe().apply(text) == expected


def test_each_step_can_be_left_out():
    text = "He said, “It is 5.”"
    assert TextRecipe(lowercase=False).apply(text) == "He said It is 5"
    assert TextRecipe(remove_punctuation=False).apply(text) == 'he said, "it is 5."'
    assert TextRecipe(remove_numbers=True).apply(text) == "he said it is"


@pytest.mark.parametrize("digits", ["123", "१२३", "١٢٣", "½", "²"])
def test_digits_of_any_script_can_be_removed(digits):
    assert TextRecipe(remove_numbers=True).apply(f"a {digits} b") == "a b"


def test_a_mark_at_the_edge_of_words_is_kept_where_the_recipe_says_so():
    recipe = TextRecipe(word_initial="'", word_final="'-")
    assert recipe.apply("‘Alam bo’ mo- 'x") == "'alam bo' mo- 'x"
    assert TextRecipe().apply("‘Alam bo’ mo- 'x") == "alam bo mo x"


def edges(texts):
    marks = learn_marks(texts)
    return marks.initial, marks.final


QUOTING = [
    "He said, 'Come to the house'",
    "the house is 'big' he said",
    "'the word' and the word come big and he",
] * 3
GLOTTAL = ["'alam ma bo' kita", "kita bo' 'alam na", "na 'alam ma bo' ma", "ma 'ulu na kita 'ulu"]


def test_a_glottal_stop_at_the_edge_of_words_is_a_letter():
    assert edges(GLOTTAL) == ("'", "'")
    recipe = recipe_for(GLOTTAL)
    assert recipe.apply("‘Alam, bo’!") == "'alam bo'"
    assert "' at the start of words, and ' at the end of words" in recipe.describe()


def test_quotation_marks_are_no_letters():
    assert edges(QUOTING) == ("", "")
    assert recipe_for(QUOTING).apply("'the word'") == "the word"


def test_a_glottal_stop_and_quotation_marks_in_one_text_are_told_apart_by_their_words():
    mixed = [f"'{text}'" for text in ("ma kita na", "kita ma na")] + GLOTTAL * 2
    assert edges(mixed)[0] == "'"


def test_words_seen_once_decide_nothing():
    assert edges(["'one two' 'three", "four five six"]) == ("", "")


@given(st.text(max_size=40), st.booleans(), st.booleans(), st.booleans())
def test_normalising_twice_is_normalising_once(text, lowercase, remove_punctuation, remove_numbers):
    recipe = TextRecipe(lowercase, remove_punctuation, remove_numbers)
    once = recipe.apply(text)
    assert recipe.apply(once) == once
    assert once == once.strip()
    assert "  " not in once
    assert unicodedata.is_normalized("NFC", once)


@given(st.text("ab'- ’.", max_size=30))
def test_normalising_twice_is_normalising_once_among_marks(text):
    for recipe in (TextRecipe(), TextRecipe(word_initial="'"), TextRecipe(word_final="'-", word_initial="-")):
        assert recipe.apply(recipe.apply(text)) == recipe.apply(text)


def test_a_recipe_comes_back_from_a_checkpoint():
    recipe = TextRecipe(
        lowercase=False, remove_numbers=True, word_initial="'", within="'-:", casing="dotted i"
    )
    assert TextRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_a_recipe_of_version_1_does_what_it_did():
    kept = {"lowercase": True, "remove_punctuation": True, "remove_numbers": False}
    old = TextRecipe.from_dict({**kept, "word_initial": "'", "word_final": "", "version": 1})
    text = "Ka:na İ ‘Alam bo’ “ka”na ma-'na ka\uf171so a\ua7cdo |ga"
    assert old.apply(text) == "ka na i\u0307 'alam bo ka na ma 'na ka so ao ga"
    assert old.written(text) == old.apply(text)
    assert old.unsure(text) == []
    assert TextRecipe.from_dict(old.to_dict()) == old


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "update it"),
        ({"version": None}, "update it"),
        ({"lowercase": "yes"}, "lowercase = 'yes'"),
        ({"word_initial": 1}, "word_initial = 1"),
        ({"code": "x"}, "code = 'x'"),
        ({"casing": "loud"}, "casing = 'loud'"),
        ({"version": True}, "update it"),
        ({"version": 0}, "update it"),
    ],
)
def test_what_is_no_recipe_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        TextRecipe.from_dict(TextRecipe().to_dict() | change)


def test_what_is_wanted_is_done():
    assert recipe_for([]) == TextRecipe()
    wanted = recipe_for([], lowercase=False, remove_numbers=True)
    assert wanted == TextRecipe(lowercase=False, remove_numbers=True)


def test_the_recipe_describes_itself():
    assert TextRecipe().describe() == (
        "Text: Unicode NFC, curly quotes and apostrophes made straight, lower case, punctuation removed "
        "(kept as letters: ' - within words), digits kept."
    )


def test_rare_letters_are_listed_with_their_counts():
    texts = ["aaa bb", "aab c ñ"]
    assert letter_counts(texts) == {"a": 5, "b": 3, "c": 1, "ñ": 1}
    assert rare_letters(texts, below=4) == {"c": 1, "ñ": 1, "b": 3}
