"""The reading of older jobs, against texts, phones and ids that the reference made."""

import re
from pathlib import Path
from string import ascii_letters, ascii_lowercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.errors import UserError
from codex_worker.stabletts.frontend.choose import FrontendRequest
from codex_worker.stabletts.frontend.compat import CompatFrontend
from codex_worker.stabletts.frontend.spelling import spelt
from codex_worker.stabletts.symbols import BLANK_ID, intersperse, official_ids, official_symbols

TABLE = Path(__file__).parents[2] / "data" / "stabletts" / "frontend.tsv"
ROWS = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").split("\n")[1:] if line]


def test_the_golden_table_is_complete():
    assert len(ROWS) == 208


@pytest.mark.parametrize(("text", "phones", "ids", "dropped"), ROWS, ids=[row[0][:30] for row in ROWS])
def test_golden_stabletts_text_gives_the_phones_and_ids_of_the_reference(text, phones, ids, dropped):
    encoding = CompatFrontend(version=1).encode(text)
    assert encoding.phones == phones
    assert " ".join(map(str, encoding.ids)) == ids
    assert "".join(encoding.dropped) == dropped


def test_the_alphabet_is_the_one_of_the_official_weights():
    symbols = official_symbols()
    assert len(symbols) == 401
    assert len(set(symbols)) == 401
    assert (symbols[0], symbols[4], symbols[68], symbols[398], symbols[400]) == (
        "_",
        "?",
        " ",
        "iO05",
        "<asp>",
    )
    assert not {"c", "q", "r"} & set(symbols)


def test_a_blank_stands_between_any_two_symbols():
    assert intersperse([7, 9]) == [BLANK_ID, 7, BLANK_ID, 9, BLANK_ID]
    assert intersperse([]) == [BLANK_ID]


def test_text_is_romanised_first_when_the_voice_was_trained_so():
    seen = []

    def romanise(text, language):
        seen.append((text, language))
        return "nachalo"

    frontend = CompatFrontend(use_uroman=True, uroman_language="rus", romanise=romanise)
    assert frontend.encode("начало").phones == "natʃalo*"
    assert seen == [("начало", "rus")]


@pytest.mark.slow
def test_uroman_itself_writes_another_script_in_latin_letters():
    encoding = CompatFrontend(use_uroman=True, uroman_language="rus").encode("начало")
    assert encoding.phones == "natʃalo*"
    assert encoding.dropped == ()


@pytest.mark.parametrize(
    ("name", "phones"),
    [
        ("Nebuchadnezzar", "nebukadnezzaɹ*"),
        ("Melchizedek", "melkizedek*"),
        ("Zacchaeus", "zakkaeus*"),
        ("Quirinius", "kwiɹinius*"),
        ("Issachar", "issakaɹ*"),
        ("Tychicus", "tykikus*"),
        ("Cenchreae", "senkɹeae*"),
        ("Phicol", "phikoɫ*"),
        ("Chedorlaomer,", "kedoɹlaomeɹ*,"),
        ("Zacchaeus's", "zakkaeus's*"),
        ("Abel-beth-maacah", "abel-beth-maakah*"),
        ("Iraq-el-Emir", "iɹak-el-emiɹ*"),
        ("Capernaum", "kəˈpəɹniəm"),  # these are in the dictionary
        ("Xerxes", "ˈzəɹksiz"),
        ("Jacob", "ˈdʒeɪkəb"),
    ],
)
def test_a_name_keeps_all_its_letters(name, phones):
    encoding = CompatFrontend().encode(name)
    assert encoding.phones == phones
    assert encoding.dropped == encoding.unread == ()


@settings(deadline=None)  # the first reading loads libraries
@given(st.text(st.sampled_from(ascii_letters), min_size=1, max_size=12))
def test_no_letter_of_a_word_is_without_a_symbol(word):
    encoding = CompatFrontend().encode(word)
    assert encoding.dropped == encoding.unread == ()
    assert len(encoding.ids) == len(encoding.phones)


@given(st.text(st.sampled_from(ascii_lowercase), max_size=12), st.booleans())
def test_a_spelt_word_loses_only_the_letters_that_have_no_symbol(word, romanised):
    written = spelt(word, romanised=romanised)
    assert not set("cq") & set(written)
    kept = list(re.sub("ch|qu|c|q", "", word))
    rest = iter(written)
    assert all(letter in rest for letter in kept)  # in their order
    assert len(written) >= len(kept) + len(re.findall("ch|qu|c|q", word))


def test_a_checkpoint_of_an_older_job_is_read_as_it_learnt():
    encoding = CompatFrontend(version=1).encode("Nebuchadnezzar")
    assert (encoding.phones, encoding.dropped) == ("nebuchadnezzaɹ*", ("c",))


def test_what_vanishes_before_pronunciation_is_accounted_for():
    encoding = CompatFrontend().encode("kɔ̀ — ŋo 😀")
    assert "\N{COMBINING GRAVE ACCENT}" in encoding.unread
    assert "😀" in encoding.unread
    assert encoding.unread.count("-") == 2
    assert encoding.substituted == ("ɔ", "ŋ")


@pytest.mark.parametrize("text", ["", "   ", "…", "!?", "\n", "\n\t"])
def test_a_text_with_nothing_to_speak_has_no_ids(text):
    assert CompatFrontend().encode(text).ids == ()


def test_a_number_longer_than_any_name_is_read_digit_by_digit():
    ids = official_ids()
    encoding = CompatFrontend().encode("7" * 60)
    assert encoding.phones.count("ˈsɛvən") == 60
    assert encoding.ids[0] == ids["ˈ"]


@pytest.mark.parametrize("language", ["chinese", "japanese"])
def test_languages_without_their_tables_are_refused_with_a_sentence(language):
    with pytest.raises(UserError, match=f"model.language: {language} is not supported"):
        FrontendRequest(language=language)


def test_an_unknown_language_says_what_the_key_means():
    with pytest.raises(UserError, match="chooses pronunciation rules, not the project's language"):
        FrontendRequest(language="swahili")


def test_an_unknown_frontend_lists_the_known_ones():
    with pytest.raises(UserError, match="auto, compat, characters"):
        FrontendRequest(name="phonemes")
