import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.errors import DataError, UserError
from tests.support.present import present

WORDS = st.lists(st.text("abcdeé'ŋ", min_size=1, max_size=6), min_size=1, max_size=6)


def test_a_space_is_the_word_delimiter_and_the_blank_is_the_padding():
    vocabulary = build_vocabulary(["in the beginning"])
    assert vocabulary.symbols[present(vocabulary.delimiter_id)] == "|"
    assert vocabulary.symbols[vocabulary.blank_id] == "[PAD]"
    assert " " not in vocabulary.symbols
    assert vocabulary.delimiter_id in vocabulary.encode("in the")


@given(WORDS)
def test_what_is_encoded_decodes_to_the_same_text(words):
    text = " ".join(words)
    vocabulary = build_vocabulary([text, "abcdeé'ŋ"])
    assert vocabulary.decode(vocabulary.encode(text)) == text


@given(WORDS)
def test_frames_with_blanks_between_letters_collapse_to_the_text(words):
    text = " ".join(words)
    vocabulary = build_vocabulary([text, "abcdeé'ŋ"])
    frames = [i for label in vocabulary.encode(text) for i in (label, label, vocabulary.blank_id)]
    tokens = vocabulary.collapse(frames)
    assert vocabulary.decode(token.symbol_id for token in tokens) == text
    assert [token.start for token in tokens] == list(range(0, 3 * len(tokens), 3))
    assert all(token.end - token.start == 2 for token in tokens)


@pytest.mark.parametrize("old", [["ab"], ["|ab"], ["a b"]])
def test_a_click_that_is_typed_as_the_delimiter_is_a_letter(old):
    for vocabulary in (build_vocabulary(["|ai a|b", *old]), build_vocabulary(old).extended("|aib")):
        assert "|" in vocabulary.letters
        assert vocabulary.decode(vocabulary.encode("|ai a|b")) == "|ai a|b"
        assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_a_letter_that_was_never_seen_becomes_unknown():
    vocabulary = build_vocabulary(["ab"])
    assert vocabulary.encode("azb") == [3, vocabulary.unknown_id, 4]


def test_unknowns_vanish_or_are_replaced_as_the_manifest_says():
    vocabulary = build_vocabulary(["ab"])
    ids = vocabulary.encode("azb")
    assert vocabulary.decode(ids) == "ab"
    assert vocabulary.decode(ids, suppress_unknown=False, replacement="*") == "a*b"


def test_new_letters_go_behind_the_old_ones_so_that_trained_rows_keep_their_places():
    old = build_vocabulary(["abc"])
    new = old.extended("zaŋ ")
    assert new.symbols[: len(old)] == old.symbols
    assert new.symbols[len(old) :] == ("z", "ŋ")


def test_an_old_vocabulary_with_spaces_trained_as_unknown_reads_them_as_spaces():
    vocab = {" ": 0, "a": 1, "b": 2, "[UNK]": 3, "[PAD]": 4}
    old = Vocabulary.from_hugging_face(vocab, {"word_delimiter_token": "|"})
    assert old.spaces_are_unknown
    assert old.decode([1, 3, 2]) == "a b"
    assert old.decode(old.encode("ab ba")) == "ab ba"


def test_extending_an_old_vocabulary_gives_it_the_missing_delimiter():
    old = Vocabulary.from_hugging_face({" ": 0, "a": 1, "[UNK]": 2, "[PAD]": 3}, {})
    new = old.extended("ab")
    assert not new.spaces_are_unknown
    assert new.decode(new.encode("ab a")) == "ab a"
    assert new.symbols[:4] == old.symbols
    clicks = old.extended("|ab")
    assert clicks.decode(clicks.encode("|a b")) == "|a b"
    assert Vocabulary.from_json(clicks.to_json()) == clicks


def test_a_vocabulary_survives_its_json():
    vocabulary = build_vocabulary(["ŋa e'é"])
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


SOUND = {
    "symbols": ["a", "b", "c"],
    "blank_id": 0,
    "unknown_id": 1,
    "delimiter_id": 2,
    "spaces_are_unknown": False,
}


@pytest.mark.parametrize(
    "change",
    [
        {"symbols": []},
        {"symbols": ["a", "a", "c"]},
        {"symbols": ["a", 1, "c"]},
        {"blank_id": 7},
        {"blank_id": "0"},
        {"unknown_id": 0},
        {"delimiter_id": -1},
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(change):
    assert len(Vocabulary.from_json(json.dumps(SOUND))) == 3
    with pytest.raises(DataError, match="vocabulary"):
        Vocabulary.from_json(json.dumps(SOUND | change))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"symbols": []}'])
def test_what_is_no_vocabulary_is_refused(text):
    with pytest.raises(DataError, match="vocabulary"):
        Vocabulary.from_json(text)


@pytest.mark.parametrize("vocab", [None, [], {}, {"a": "x"}, {"a": 0, "b": 5}, {"a": 0, "b": 1, "c": 2}])
def test_a_foreign_vocabulary_without_what_ctc_needs_is_refused(vocab):
    with pytest.raises(DataError, match=r"vocab\.json"):
        Vocabulary.from_hugging_face(vocab, {})


@pytest.mark.parametrize(
    ("texts", "says"), [([], "no letters"), (["", "  "], "no letters"), (["a aa"], "one letter")]
)
def test_texts_that_nothing_can_be_learnt_from_are_refused_with_what_to_do(texts, says):
    with pytest.raises(UserError, match=says):
        build_vocabulary(texts)
