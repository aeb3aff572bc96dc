import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.codex.cell import read_cell
from codex_worker.codex.text import html_escape, is_range_marker, plain_text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", ""),
        ("<span></span>", ""),
        ("  plain \n text ", "plain text"),
        ("<p>Ini <b>permulaan</b> kabar.</p>", "Ini permulaan kabar."),
        ("<p>one</p><p>two</p>", "one two"),
        ("one<br>two<br/>three<BR />four", "one two three four"),
        ("in<b>side</b>", "inside"),
        ('kata<sup class="footnote-marker" data-footnote="<p>a > b</p>">1</sup> lagi', "kata lagi"),
        ("<sup>a<sup>b</sup></sup>c", "c"),
        ("<sup>never closed", "never closed"),
        ("a&nbsp;b &amp; &lt;c&gt; &#8220;d&#8221; &eacute;", "a b & <c> “d” é"),
        ("2 < 3 and a<b", "2 < 3 and a<b"),
        ("x<!-- note -->y", "xy"),
        ("a<b title='open>c", "ac"),
        ('<span data-transcription="true" style="opacity:0.6" title="Transcription">kata</span>', "kata"),
    ],
)
def test_the_words_of_a_value(value, words):
    assert plain_text(value) == words


@pytest.mark.parametrize("value", ["<range>", " <p><range></p>", "&lt;range&gt;", "<RANGE/>"])
def test_a_continued_verse_is_recognised(value):
    assert is_range_marker(value)


def test_text_that_speaks_of_a_range_is_none():
    assert not is_range_marker("a range of hills")


@given(st.text())
def test_what_we_write_reads_back_as_the_same_words(text):
    escaped = html_escape(text)
    assert html.unescape(escaped) == " ".join(text.split())
    if "&" not in text:
        assert plain_text(escaped) == " ".join(text.split())


@given(st.text(alphabet="<>&/\"'! -sup?brp;x", max_size=200))
def test_no_markup_is_too_broken_to_read(value):
    assert isinstance(plain_text(value), str)


@pytest.mark.parametrize("piece", ["<", "<a", '<a b="', "<a '\">", "<!--", "<sup>", "</", "&#", "<?"])
def test_hostile_markup_is_read_to_its_end(piece):
    """A reader whose work grows with the square of the length would be busy for minutes here."""
    assert isinstance(plain_text((piece * 300_000)[:300_000] + ">"), str)


@pytest.mark.parametrize(
    "value",
    [
        " " * 1_000_000 + "x",
        "<p>" + " " * 1_000_000 + "x",
        "<p>" * 300_000 + "x",
        "<span> " * 200_000,
        "<range" + " " * 1_000_000,
        "\u3000" * 1_000_000,
    ],
)
def test_no_marker_is_looked_for_longer_than_the_text_is(value):
    assert not is_range_marker(value)
    assert is_range_marker(" " * 1_000_000 + "<p> <RANGE/>")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("half \ud800 a pair", "half \ufffd a pair"),
        ("<p>nul \0 and bell \x07</p>", "nul \ufffd and bell \ufffd"),
        ("&#xD800; &#0;", "\ufffd \ufffd"),
        ("whole \U0001f600", "whole \U0001f600"),
    ],
)
def test_what_no_file_can_hold_is_replaced_in_a_cells_words_and_label(value, text):
    cell = read_cell({"value": value, "metadata": {"id": "a", "cellLabel": html.unescape(value)}}, 0)
    assert cell.text == text and cell.value == value
    assert "\ud800" not in cell.label and "\0" not in cell.label
