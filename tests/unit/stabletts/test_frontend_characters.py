"""A project's own letters as symbols."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.errors import DataError
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.choose import restore_frontend
from codex_worker.stabletts.frontend.encoding import report_losses
from codex_worker.stabletts.symbols import official_ids, official_symbols


def learn(*texts, times=30):
    return CharactersFrontend.learn(list(texts) * times)


def test_known_letters_keep_the_ids_of_the_official_weights():
    frontend = learn("Mama na baba, pamoja!")
    assert frontend.letters == ()
    assert frontend.encode("Mama!").ids == tuple(official_ids()[letter] for letter in "mama!")


def test_letters_the_official_alphabet_lacks_get_rows_behind_it():
    frontend = learn("chaque quartier")
    assert frontend.letters == ("c", "q", "r")
    assert frontend.symbols[401:] == ("c", "q", "r")
    assert frontend.encode("Cri").ids == (401, 403, official_ids()["i"])


@pytest.mark.parametrize(
    "text",
    ["В начале было Слово", "በመጀመሪያ ቃል ነበረ", "ආරම්භයේ දී", "आदि में वचन था", "太初有道", "في البدء كان الكلمة"],
)
def test_any_script_is_spelt_and_nothing_is_lost(text):
    frontend = learn(text)
    encoding = frontend.encode(text)
    assert encoding.dropped == encoding.unread == encoding.substituted == ()
    spelt = unicodedata.normalize("NFC" if frontend.composed else "NFD", text.lower())
    assert "".join(frontend.symbols[number] for number in encoding.ids) == spelt


def test_tone_marks_are_letters_of_their_own_when_their_combinations_are_rare():
    rare = CharactersFrontend.learn(["á à ǎ é è ě í ì ǐ ó ò ǒ"])
    assert not rare.composed
    assert {"\N{COMBINING ACUTE ACCENT}", "\N{COMBINING GRAVE ACCENT}"} <= set(rare.letters)
    assert "á" not in rare.letters
    frequent = learn("ö ö ö ä ä ä")
    assert frequent.composed
    assert set(frequent.letters) == {"ä", "ö"}


def test_composed_and_decomposed_spellings_read_the_same():
    frontend = learn("é à")
    assert frontend.encode("\u00e9").ids == frontend.encode("e\u0301").ids


def test_digits_of_any_script_are_the_same_ten_symbols():
    frontend = learn("012 ٣٤ ५६")
    assert frontend.encode("١٢").ids == frontend.encode("12").ids
    assert frontend.encode("12,500").phones == "12500"


def test_a_digit_that_was_never_heard_is_reported():
    encoding = learn("mama 3").encode("mama 7")
    assert encoding.phones == "mama "
    assert encoding.dropped == ("7",)


def test_punctuation_of_any_script_becomes_the_official_marks():
    frontend = learn("a")
    assert frontend.encode("a؟ a। a、 a؛ a — a").phones == "a? a. a, a, a - a"
    assert frontend.encode("«a» “a” ‘a, a’ (a)").phones == "a a a, a ,a,"


def test_an_apostrophe_is_a_letter_however_it_is_typed():
    frontend = learn("ng'ombe")
    for typed in ("ng'ombe", "ng’ombe", "ngʼombe", "ngʻombe", "ngꞌombe"):
        assert frontend.encode(typed).phones == "ng'ombe"


def test_a_sign_inside_a_word_is_part_of_the_spelling():
    frontend = learn("a=ba ka:ma")
    assert set(frontend.letters) == {"=", ":"} - set(official_symbols())
    assert frontend.encode("a=ba ka:ma").unread == ()


def test_a_letter_that_was_never_heard_is_read_without_its_marks_and_said():
    encoding = learn("mama eee").encode("mamé ŋ")
    assert encoding.substituted == ("é",)
    assert encoding.dropped == ("ŋ",)
    assert report_losses([encoding, encoding]) == [
        "'ŋ' (U+014B LATIN SMALL LETTER ENG) has no symbol in the voice's alphabet: 2 times in 2 texts",
        "'é' (U+00E9 LATIN SMALL LETTER E WITH ACUTE) is read as a plain Latin letter or without its marks: "
        "2 times in 2 texts",
    ]


def test_training_on_adds_letters_and_moves_none():
    first = learn("chai")
    grown = CharactersFrontend.learn(["query"], base=first)
    assert grown.letters == ("c", "q", "r")
    assert grown.encode("chai").ids == first.encode("chai").ids


def test_the_frontend_comes_back_from_its_checkpoint():
    frontend = learn("в начале, 3:16 – ng'ombe")
    state = json.loads(json.dumps(frontend.state()))
    assert restore_frontend("characters", 2, state) == frontend


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"letters": ["ab"], "trained": [], "composed": True},
        {"letters": ["r", "r"], "trained": [], "composed": True},
        {"letters": ["a"], "trained": [], "composed": True},
        {"letters": "r", "trained": [], "composed": True},
        {"letters": [], "trained": [], "composed": 1},
    ],
)
def test_a_state_nobody_wrote_is_refused(state):
    with pytest.raises(DataError, match="characters"):
        restore_frontend("characters", 1, state)


def test_a_frontend_from_the_future_is_refused():
    with pytest.raises(DataError, match="a newer worker made it"):
        restore_frontend("characters", 3, {})


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("កខគ។ កខ", "កខគ. កខ"),
        ("བོད། ཡོད༎", "བོད. ཡོད."),
        ("ꦏꦤ꧈ꦏꦤ꧉", "ꦏꦤ.ꦏꦤ."),
        ("ߞߊ߹ ߞߊ߸ ߞߊ", "ߞߊ! ߞߊ, ߞߊ"),
        ("ꛀꛁ꛷", "ꛀꛁ?"),
        ("ꕪꕇ꘏", "ꕪꕇ?"),
        ("ꓐꓬ꓾ ꓐꓬ꓿", "ꓐꓬ, ꓐꓬ."),
        ("กข ๚", "กข ,"),
        ("ᚠᚢ᛫ᚠᚢ", "ᚠᚢ ᚠᚢ"),
    ],
)
def test_marks_of_any_script_are_the_pauses_that_unicode_says(text, phones):
    encoding = CharactersFrontend.learn([text] * 30).encode(text)
    assert (encoding.phones, encoding.unread) == (phones, ())


@pytest.mark.parametrize("text", ["", " ", "\u200b", "()"])
def test_text_without_letters_has_no_letters(text):
    assert not any(symbol.isalpha() for symbol in learn("a").encode(text).phones)


@pytest.mark.slow
@given(st.text(max_size=60), st.text(max_size=60))
def test_every_character_is_spoken_or_accounted_for(heard, text):
    frontend = CharactersFrontend.learn([heard])
    encoding = frontend.encode(text)
    assert all(0 < number < len(frontend.symbols) for number in encoding.ids)
    assert len(encoding.ids) == len(encoding.phones)
    again = frontend.encode(heard)
    assert not again.dropped and not again.substituted
