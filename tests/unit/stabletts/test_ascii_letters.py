"""Every letter as ASCII, as the text of older voices was spelt."""

import sys

import pytest

from codex_worker.stabletts.frontend.ascii_letters import to_ascii


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Ŋgɔ̀ɖé", "nggode"),
        ("đợi ħaġġ łódź ß", "doi hagg lodz ss"),
        ("“Ah” — ‘so’… ‹no›, 5−3 ⸺ ≤", "\"ah\" -- 'so'... <no>, 5-3 ---- <="),
        ("ɓ ɗ ƙ ʼ ʻ ʔ ə", "b d k ' ` ? @"),
        ("ⱥ Ɽ ᵽ ᶑ ᴀ ᵐ ᴂ", "a r p  a m ae"),
        ("начало объект Єва", "nachalo ob'ekt ieva"),
        ("ἀγάπη Ω", "agape o"),
        ("3½ 2² ①", "3 1/2 22 1"),
        ("し チ", "shi chi"),
        ("𝐀𝒷", "ab"),
    ],
)
def test_letters_are_spelt_as_older_voices_learnt_them(text, spelt):
    assert to_ascii(text).lower() == spelt


def test_nothing_but_ascii_comes_out_and_no_sign_for_the_unknown():
    for code in (*range(0x10000), *range(0x10000, sys.maxunicode + 1, 11)):
        spelt = to_ascii(chr(code))
        assert spelt.isascii()
        assert "[?]" not in spelt, hex(code)


def test_ascii_is_left_as_it_is():
    text = "".join(map(chr, range(128)))
    assert to_ascii(text) == text


@pytest.mark.parametrize("text", ["😀", "\u0300", "\u034f", "\ue000", "\ud800", "\U000e0001"])
def test_what_has_no_spelling_vanishes(text):
    assert to_ascii(f"a{text}b") == "ab"
