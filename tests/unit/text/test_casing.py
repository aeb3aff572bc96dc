"""Lower case by language."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.casing import Casing, casing_for, lower
from codex_worker.text.normalise import recipe_for


@pytest.mark.parametrize(
    ("text", "languages", "expected"),
    [
        ("İsa geldi", (), "isa geldi"),
        ("I\u0307sa i\u0307sa", (), "isa isa"),
        ("IRMAK", (), "irmak"),
        ("İsa IRMAK ışık", ("tr",), "isa ırmak ışık"),
        ("İSA IRMAK", ("az-Latn-AZ",), "isa ırmak"),
        ("IRMAK", ("tur",), "ırmak"),
        ("IRMAK", ("Turkish",), "ırmak"),
        ("IRMAK", ("eng", "aze_Latn"), "ırmak"),
        ("IŞIQ", ("crh",), "ışıq"),
        ("IRMAK", ("trk", "turkmen", "tk", "uz"), "irmak"),
        ("Kâ ÎLE ÇÖĞÜŞ", ("tr",), "kâ île çöğüş"),
        ("ΛΟΓΟΣ ΣΟΦΙΑΣ Σ", (), "λογος σοφιας σ"),
        ("STRAẞE Straße", (), "straße straße"),
        ("ᏣᎳᎩ ꮳꮃꭹ Ᏸᏸ", (), "ᏣᎳᎩ ᏣᎳᎩ ᏰᏰ"),
        ("ᲥᲐᲠᲗᲣᲚᲘ ქართული", (), "ქართული ქართული"),
        (
            "Ꟊ \ua7cb\ua7cc \ua7da\ua7dc \U00010d50\U00010d65",
            (),
            "ꟊ \u0264\ua7cd \ua7db\u019b \U00010d70\U00010d85",
        ),
        ("ǅ ÅNGSTRÖM \u212b \u212a", (), "ǆ ångström å k"),
        ("Mĩ Ì Í", ("lt",), "mĩ ì í"),
        ("i\u0307\u0301 Í Į\u0301", ("lit",), "i\u0307\u0301 i\u0307\u0301 į\u0307\u0301"),
        ("i\u0307\u0301 Í", (), "í í"),
    ],
)
def test_letters_become_small_as_their_language_has_it(text, languages, expected):
    recipe = recipe_for([text], languages=languages)
    assert recipe.apply(text) == unicodedata.normalize("NFC", expected).replace("ꟊ", "ꟊ".lower())
    assert recipe.apply(recipe.apply(text)) == recipe.apply(text)


def test_the_casing_is_said_where_it_is_not_the_usual_one():
    assert "lower case (dotted i)" in recipe_for([], languages=["tr"]).describe()
    assert "lower case," in recipe_for([], languages=["en"]).describe()


@given(st.text(max_size=30), st.sampled_from(Casing))
def test_lower_case_brings_no_sign_that_nobody_wrote_and_is_final(text, casing):
    once = lower(text, casing)
    assert lower(once, casing) == once
    dots = [unicodedata.normalize("NFD", each).count("\u0307") for each in (once, text)]
    assert casing is Casing.LITHUANIAN or dots[0] <= dots[1]


def test_a_casing_is_chosen_by_the_first_language_that_has_one():
    assert casing_for([]) is Casing.USUAL
    assert casing_for(["", " TR "]) is Casing.DOTTED_I
    assert casing_for(["lt"], ["be taškų"]) is Casing.USUAL
