"""Timed words as files: subtitles that fit a screen, and nothing of a text that becomes markup."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.text.timings import (
    LONGEST_S,
    MOST_LETTERS,
    WRITERS,
    TimedText,
    as_labels,
    as_srt,
    as_vtt,
    cues,
)


def timed(*texts, each_s=0.5, gap_s=0.0):
    return [
        TimedText(text, place * (each_s + gap_s), place * (each_s + gap_s) + each_s)
        for place, text in enumerate(texts)
    ]


def test_a_subtitle_of_srt_has_a_number_commas_and_a_blank_line_behind_it():
    assert as_srt([TimedText("In the beginning", 0.0, 1.25), TimedText("God", 3661.5, 3662)]) == (
        "1\n00:00:00,000 --> 00:00:01,250\nIn the beginning\n\n2\n01:01:01,500 --> 01:01:02,000\nGod\n\n"
    )


def test_webvtt_writes_markup_as_text():
    written = as_vtt([TimedText("<b>&--> 'hello'", 0.0, 1.0)])
    assert written == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n&lt;b&gt;&amp;--&gt; 'hello'\n"


def test_labels_of_audacity_have_tabs_and_no_line_break_of_a_text():
    assert as_labels([TimedText("a\tb\nc", 0.1, 0.25)]) == "0.100000\t0.250000\ta b c\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (timed("In", "the", "beginning.", "God"), ["In the beginning.", "God"]),
        (timed("He", "said:", "“Go!”", "So", "he"), ["He said: “Go!”", "So he"]),
        (timed("one", "two", gap_s=1.0), ["one", "two"]),
        (timed("起初", "神创造", "天地。", "地"), ["起初 神创造 天地。", "地"]),
        ([TimedText("起", 0, 1, goes_on=True), TimedText("初", 1, 2)], ["起初"]),
        (timed("अ", "था।", "वह"), ["अ था।", "वह"]),
        ([], []),
    ],
)
def test_a_subtitle_ends_with_a_sentence_or_a_pause(words, expected):
    assert [cue.text for cue in cues(words)] == expected


@given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.floats(0.01, 3.0)), max_size=60))
def test_subtitles_have_all_words_in_order_and_fit_the_screen(spoken):
    words, at = [], 0.0
    for text, lasts in spoken:
        words.append(TimedText(text, at, at + lasts))
        at += lasts
    made = cues(words)
    assert "".join("".join(cue.text.split()) for cue in made) == "".join(
        "".join(w.text.split()) for w in words
    )
    for cue in made:
        alone = any(cue.start_s == word.start_s and cue.end_s == word.end_s for word in words)
        assert alone or (len(cue.text) <= MOST_LETTERS and cue.end_s - cue.start_s <= LONGEST_S + 1e-9)
    for name, write in WRITERS.items():
        written = write(words)
        if name == "json":
            assert [row["text"] for row in json.loads(written)] == [word.text for word in words]
        elif name == "srt":  # one blank line behind each
            assert len([block for block in written.split("\n\n") if block.strip()]) == len(made)
