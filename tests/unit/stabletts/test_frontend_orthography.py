"""What a voice takes for a letter: what a transcriber does, and what it took for one when it learnt."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.errors import DataError
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from codex_worker.stabletts.frontend.choose import FrontendRequest, choose_frontend, restore_frontend
from codex_worker.stabletts.frontend.encoding import lost_letters, report_losses
from codex_worker.stabletts.frontend.orthography import PAUSES
from codex_worker.text.casing import lower
from codex_worker.text.cutting import Border, border_behind
from codex_worker.text.normalise import recipe_for
from codex_worker.text.signs import CLINGING, kind_of, tidied

SIX = 6  # verses that say the same


@pytest.mark.parametrize(
    "text",
    [
        "ka:na to:ki",
        "col·la pa·ma",
        "bo=la ka+ti zi*mo",
        '"kwa =bha kwa',
        "n!ai g!a !kung",
        "|gai //gau ≠an",
        "צ׳יפס צה״ל",
        "བོད་ཡིག་གསལ་བ",
        "ሰላም፡ዓለም ቃል፡ነበረ",
        "ka\uf171so \uf175mena",
        "a\ua7cdo ma\ua7dba",
        "كـتـاب می\u200cخواهم",
        "si¹to² ma˥",
    ],
)
def test_both_models_keep_the_same_letters(text):
    voice = CharactersFrontend.learn([text] * SIX)
    spoken = voice.encode(text)
    assert spoken.dropped == spoken.unread == spoken.substituted == ()
    assert spoken.phones == recipe_for([text] * SIX).apply(text)


@pytest.mark.parametrize(
    ("text", "languages", "spelt"),
    [
        ("İsa geldi", (), "isa geldi"),
        ("İsa IRMAK", ("tur",), "isa ırmak"),
        ("IRMAK", ("eng",), "irmak"),
        ("ᏣᎳᎩ", (), "ᏣᎳᎩ"),
        ("ΛΟΓΟΣ", (), "λογος"),
    ],
)
def test_small_letters_are_those_of_the_language(text, languages, spelt):
    voice = CharactersFrontend.learn([text] * 30, languages=languages)
    assert voice.encode(text).phones == spelt
    assert "\u0307" not in voice.letters
    assert restore_frontend("characters", 2, voice.state()) == voice


def test_the_manifest_says_the_language_before_the_project_does():
    request = FrontendRequest("characters", language="turkish", project_languages=("eng",))
    assert choose_frontend(["IRMAK"], request).frontend.encode("IRMAK").phones == "ırmak"
    request = FrontendRequest("characters", project_languages=("az-Latn",))
    assert choose_frontend(["IRMAK"], request).frontend.encode("IRMAK").phones == "ırmak"


def test_quotation_marks_and_stops_are_no_letters():
    texts = ["'Ni', alisema: “Nuru” 3:16!", "Ni nuru 'yake', alisema."] * SIX
    spoken = CharactersFrontend.learn(texts).encode(texts[0])
    assert spoken.phones == "ni, alisema, nuru 3,16!"
    assert report_losses([spoken]) == ["not spoken, as punctuation: ' (2) “ (1) ” (1)"]
    assert lost_letters(spoken) == set()


def test_a_mark_between_letters_that_is_too_rare_is_counted_and_named():
    encoding = CharactersFrontend.learn(["na nuru"] * SIX).encode("na·nuru")
    assert report_losses([encoding]) == ["'·' (U+00B7 MIDDLE DOT) is not spoken: 1 time in 1 text"]
    assert lost_letters(encoding) == {"·"}


def test_a_voice_that_learnt_by_categories_reads_as_it_did():
    trained = ["'", "=", "a", "b", "i", "k", "m"]
    state = {"letters": [":", "\u0307"], "trained": trained, "composed": True}
    voice = restore_frontend("characters", 1, state)
    encoding = voice.encode("ka:ma İ a=b 'a' · \u200b")
    assert encoding.phones == "ka:ma i\u0307 a=b 'a' "[:-1]
    assert encoding.unread == ("·", "\u200b")
    assert voice.version == 1
    assert voice.state() == state


def test_a_voice_that_learns_on_reads_by_the_texts_and_moves_no_letter():
    old = CharactersFrontend.from_state({"letters": ["c"], "trained": ["a"], "composed": True}, 1)
    new = CharactersFrontend.learn(["col·la pa·ma"] * SIX, base=old)
    assert (new.version, new.letters) == (2, ("c", "·"))
    once_more = CharactersFrontend.learn(["na nuru"] * SIX, base=new)
    assert once_more.encode("col·la").phones == "col·la"


@pytest.mark.parametrize("change", [{"within": 1}, {"initial": None}, {"casing": "other"}])
def test_marks_that_nobody_wrote_are_refused(change):
    with pytest.raises(DataError, match="which marks are letters"):
        restore_frontend("characters", 2, CharactersFrontend.learn(["mama"]).state() | change)


STOPS = {*",.!?", *"".join(variants for stop, variants in PAUSES.items() if stop in ",.!?")}
WRITTEN = st.text(st.characters(exclude_categories=()), max_size=20)
MARKED = st.text("aA9 :;=·'\"-,.!?/*@^~|׳་፡\uf171\ua7cd\u200d\u0301“”İ❤\ufe0f", max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(WRITTEN | MARKED, max_size=4), WRITTEN | MARKED)
def test_every_sign_of_any_script_is_spoken_or_counted(heard, text):
    voice = CharactersFrontend.learn(heard * 3)
    for each in (text, *heard):
        encoding = voice.encode(each)
        assert "".join(voice.symbols[number] for number in encoding.ids) == encoding.phones
        counted = len(encoding.phones.replace(" ", "")) + len(encoding.dropped) + len(encoding.unread)
        read = lower(tidied(each.replace("...", "…")))
        read = read if voice.composed else unicodedata.normalize("NFD", read)
        seen = [sign for sign in read if not sign.isspace()]
        clinging = sum(kind_of(sign) == CLINGING for sign in seen)
        stops = sum(sign in STOPS for sign in seen)  # of which those that repeat count once
        spaces = sum(border_behind(sign) is Border.WORD for sign in seen)  # as the Ethiopic word space
        assert len(seen) - clinging - stops - spaces <= counted <= len(seen)
        if each is not text:
            assert not encoding.dropped and not encoding.substituted
