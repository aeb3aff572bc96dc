"""A language is learnt, bounded, written down and read again; as arrays it says what its counts say."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.asr.decoding import letters, tables, words
from codex_worker.asr.decoding.language import (
    MAX_LANGUAGE_BYTES,
    LanguageOf,
    LanguageWeights,
    ProjectLanguage,
)
from codex_worker.asr.decoding.letters import END, LetterModel
from codex_worker.asr.decoding.tables import LetterTable, WordTable
from codex_worker.asr.decoding.texts import as_written
from codex_worker.asr.decoding.words import TEXT_START, WordModel
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError
from tests.support.present import present

TEXTS = ["god made all", "all see him", "him god sees", "ก็มีพระเจ้า"]


@pytest.mark.parametrize("written_out", [1, 300, 4_000_000])
@settings(max_examples=15, deadline=None)
@given(
    text=st.text("abc é", max_size=12), texts=st.lists(st.text("abc é", max_size=9), min_size=1, max_size=5)
)
def test_arrays_weigh_letters_as_the_counts_do(written_out, text, texts):
    model = LetterModel.fit(texts, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_MOST_WRITTEN_OUT", written_out)
        table = LetterTable(model, {letter: place for place, letter in enumerate("xabc é")})
    history, state = model.start, np.array([table.start])
    for letter in [*text, END]:
        number = table.end if letter == END else "xabc é".index(letter)
        log_prob, state = table.step(state, np.array([number]))
        assert log_prob[0] == pytest.approx(model.log_prob(history, letter), abs=1e-5)
        history += letter


def test_what_words_are_worth_is_shared_out_completely():
    model = WordModel.fit(["a b a b c", "a c", "b"])
    for before in ["a", "b", TEXT_START, "unheard"]:
        known = math.exp(model.log_back_off(before)) * math.exp(model.log_unseen)
        for word in model.words:
            alone = model.log_back_off(before) + model.log_alone(word)
            known += math.exp(model.log_pair(before, word) if (before, word) in model.pairs else alone)
        assert known == pytest.approx(1.0)


def test_a_word_of_letters_that_the_transcriber_lacks_is_left_out():
    table = WordTable(WordModel.fit(["ab aß"]), {"a": 1, "b": 2})
    at_a = table.child(np.array([0]), np.array([1]))
    assert table.child(at_a, np.array([2]))[0] > 0
    assert table.child(at_a, np.array([0]))[0] == tables.NOWHERE


@pytest.mark.parametrize("text", ["ab" * 100_000, "".join(map(chr, range(0x4E00, 0x9000))) * 3])
def test_however_long_the_texts_are_no_more_than_so_much_is_kept(monkeypatch, text):
    monkeypatch.setattr(letters, "MAX_NGRAMS", 2000)
    monkeypatch.setattr(words, "MAX_WORDS", 10)
    monkeypatch.setattr(words, "MAX_PAIRS", 10)
    many = " ".join(text[start:end] for start, end in pairwise(range(0, 600, 7)))
    language = ProjectLanguage.fit([text, many], has_words=True, order=8)
    assert len(language.letters.counts) <= 2000
    assert len(present(language.words).words) <= 10
    assert len(present(language.words).pairs) <= 10
    assert all(
        ngram[:-1] in language.letters.counts for ngram in language.letters.counts if ngram[:-1].strip("\x02")
    )


@pytest.mark.parametrize("has_words", [True, False])
def test_a_language_is_the_same_after_it_was_written_down(has_words):
    weights = LanguageWeights(0.7, 0.3 * has_words, 1.5)
    language = ProjectLanguage.fit(TEXTS, has_words=has_words, order=6).weighed(weights)
    read = ProjectLanguage.from_json(language.to_json())
    assert read.weights == weights
    assert read.letters.counts == language.letters.counts
    assert (read.words is None) is not has_words
    symbols = LanguageOf(read, build_vocabulary(TEXTS)).tables()
    assert (symbols.words is None) is not has_words


GOOD = json.loads(ProjectLanguage.fit(TEXTS, has_words=True, order=3).to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"order": 0},
        {"order": 10**9},
        {"order": True},
        {"letters": {"abcd": 1}},
        {"letters": {"": 1}},
        {"letters": {"a": 0}},
        {"letters": {"a": -1}},
        {"letters": {"a": 1.5}},
        {"letters": {"a": 10**400}},
        {"letters": ["a"]},
        {"letters": {chr(256 + place): 1 for place in range(letters.MAX_NGRAMS + 1)}},
        {"words": {"a b": 1}},
        {"words": {"": 1}},
        {"words": {"a" * 1001: 1}},
        {"words": {f"{place:0>900}": 1 for place in range(2300)}},
        {"words": []},
        {"pairs": [["", "unheard", 1]]},
        {"pairs": [["", "god"]]},
        {"pairs": {"a": 1}},
        {"weights": {"letters": 1e400, "words": 0, "bonus": 0}},
        {"weights": {"letters": float("nan"), "words": 0, "bonus": 0}},
        {"weights": {"letters": -1, "words": 0, "bonus": 0}},
        {"weights": {"letters": "1", "words": 0, "bonus": 0}},
        {"weights": {}},
        {"weights": None},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_made_up_language_is_refused_with_a_sentence(change):
    with pytest.raises(DataError, match="language model cannot be read"):
        ProjectLanguage.from_json(json.dumps({**GOOD, **change}))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "[" * 100_000, " " * (MAX_LANGUAGE_BYTES + 1)], ids=range(5)
)
def test_what_is_no_language_at_all_is_refused_too(text):
    with pytest.raises(DataError, match="language model cannot be read"):
        ProjectLanguage.from_json(text)


def test_texts_are_written_in_the_letters_that_the_transcriber_learnt():
    texts = ["God, made ALL!", "ß", "q all"]
    known = as_written(
        texts, lambda text: text.lower().replace(",", "").replace("!", ""), set("godmaelq"), "q"
    )
    assert known == ["god made all", "all"]
