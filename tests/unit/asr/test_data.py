import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codex_worker.asr.corpus import (
    Corpus,
    Example,
    Sounds,
    TranscribedClip,
    ctc_frames_needed,
    prepare,
    split,
)
from codex_worker.asr.features import FeatureCache, FeatureExtractor
from codex_worker.errors import UserError
from codex_worker.text.normalise import TextRecipe


def recording(path, seconds=1.0, level=0.2, seed=0):
    """A wav of hissed syllables as loud as speech."""
    syllables = np.sin(np.pi * 4 * np.arange(int(16_000 * seconds)) / 16_000) ** 2
    samples = np.random.default_rng(seed).standard_normal(syllables.size) * syllables * level * 32767
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    return path


def prepared(tmp_path, utterances, max_duration_s=30.0):
    sounds = Sounds(FeatureExtractor(), FeatureCache(tmp_path / "features", 10**8))
    return prepare(
        utterances,
        normalise=TextRecipe().apply,
        written=TextRecipe().written,
        sounds=sounds,
        frames=lambda rows: rows,
        max_duration_s=max_duration_s,
        workers=2,
    )


def good(tmp_path, count=2):
    return [
        TranscribedClip(f"good{i}", recording(tmp_path / f"good{i}.wav", seed=i), "God made all")
        for i in range(count)
    ]


def test_usable_recordings_become_examples_with_normalised_text(tmp_path):
    corpus = prepared(tmp_path, good(tmp_path))
    assert [example.text for example in corpus.examples] == ["god made all"] * 2
    assert corpus.examples[0].duration_s == pytest.approx(1.0, abs=0.05)
    assert not corpus.left_out


@pytest.mark.parametrize(
    ("make", "text", "says"),
    [
        (lambda p: recording(p, level=0.0), "god", "silence"),
        (lambda p: recording(p, seconds=0.01), "god", "silent"),
        (lambda p: recording(p, seconds=40.0), "god", "max_duration_seconds"),
        (lambda p: recording(p, seconds=0.3), "in the beginning god made all", "longer than"),
        (lambda p: p.write_bytes(b"no sound at all"), "god", "its recording is no recording"),
        (lambda p: p.write_bytes(b""), "god", "its recording is empty"),
        (lambda p: p, "god", "its recording cannot be read"),
        (recording, "?!", "no letters"),
        (recording, "", "no letters"),
    ],
    ids=[
        "silent",
        "too short",
        "too long",
        "text longer than audio",
        "junk",
        "empty",
        "absent",
        "signs",
        "no text",
    ],
)
def test_what_cannot_be_learnt_from_is_left_out_with_its_reason(tmp_path, make, text, says):
    make(tmp_path / "bad.wav")
    corpus = prepared(tmp_path, [*good(tmp_path), TranscribedClip("bad", tmp_path / "bad.wav", text)])
    assert len(corpus.examples) == 2
    assert says in corpus.left_out["bad"]


def test_a_badly_overdriven_recording_is_left_out(tmp_path):
    loud = TranscribedClip("loud", recording(tmp_path / "loud.wav", level=5.0), "god made all")
    assert "overdriven" in prepared(tmp_path, [*good(tmp_path), loud]).left_out["loud"]


def test_a_recording_that_arrived_in_part_is_left_out(tmp_path):
    cut = TranscribedClip("cut", recording(tmp_path / "cut.wav", 4.0), "god", expected_duration_s=8.0)
    assert (
        "4.0 of 8.0 s are there (as its project states)"
        in prepared(tmp_path, [*good(tmp_path), cut]).left_out["cut"]
    )


def test_texts_in_several_scripts_are_learnt_together(tmp_path):
    mixed = [replace(u, text=text) for u, text in zip(good(tmp_path), ["Ἐν ἀρχῇ", "начало ŋa"], strict=True)]
    assert [example.text for example in prepared(tmp_path, mixed).examples] == ["ἐν ἀρχῇ", "начало ŋa"]


@pytest.mark.parametrize("count", [0, 1])
def test_one_recording_is_not_enough_and_the_message_says_what_is(tmp_path, count):
    with pytest.raises(UserError, match="at least 2"):
        prepared(tmp_path, good(tmp_path, count))


def test_nothing_usable_names_the_reasons(tmp_path):
    silent = [TranscribedClip(f"s{i}", recording(tmp_path / f"s{i}.wav", level=0.0), "god") for i in range(3)]
    with pytest.raises(UserError, match=r"3 x .*silence"):
        prepared(tmp_path, silent)


def test_letters_that_are_too_rare_are_listed_and_dropped_only_in_large_texts(tmp_path):
    few = [replace(u, text="god made all q") for u in good(tmp_path)]
    assert prepared(tmp_path, few).rare_letters == {}
    many = [*few, TranscribedClip("more", recording(tmp_path / "more.wav", 25.0), "abcdefgh " * 20)]
    many = [replace(u, key=f"{u.key}-{i}") for i in range(40) for u in many[2:]] + few
    corpus = prepared(tmp_path, many)
    assert corpus.rare_letters["q"] == 2
    assert any("q(2)" in note for note in corpus.notes)
    assert all("q" not in example.text for example in corpus.examples)
    assert corpus.examples[-1].reference == "god made all q"


def test_readings_are_compared_with_what_people_wrote(tmp_path):
    one = [replace(u, text="God ma·de, all") for u in good(tmp_path)]
    example = prepared(tmp_path, one).examples[0]
    assert (example.text, example.reference) == ("god ma de all", "god ma·de all")


UNREAD = Path("unread.wav")


def corpus_of(chapters):
    examples = [
        Example(TranscribedClip(f"{chapter}:{verse}", UNREAD, "", chapter), "god", f"{chapter}-{verse}", 5.0)
        for chapter, verses in chapters.items()
        for verse in range(verses)
    ]
    return Corpus(tuple(examples))


def test_no_chapter_is_on_both_sides_of_the_split():
    parts = split(corpus_of({f"MRK {i}": 10 for i in range(20)}), val_split=0.1, test_split=0.05)
    sides = [{e.utterance.chapter for e in side} for side in (parts.train, parts.validation, parts.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 200
    assert len(parts.validation) == pytest.approx(20, abs=10)


def test_the_split_is_the_same_each_time_and_a_new_chapter_moves_few():
    chapters = {f"MRK {i}": 10 for i in range(20)}
    first = split(corpus_of(chapters), val_split=0.1, test_split=0.0)
    assert first == split(corpus_of(chapters), val_split=0.1, test_split=0.0)
    second = split(corpus_of(chapters | {"MRK 99": 10}), val_split=0.1, test_split=0.0)
    before = {e.utterance.chapter for e in first.validation}
    after = {e.utterance.chapter for e in second.validation}
    assert before & after


def test_a_single_chapter_is_split_by_recordings_and_that_is_said():
    parts = split(corpus_of({"MRK 1": 50}), val_split=0.1, test_split=0.0)
    assert 3 <= len(parts.validation) <= 8
    assert "single recordings" in parts.notes[0]


def test_no_test_set_is_taken_unless_it_is_asked_for():
    assert split(corpus_of({"MRK 1": 50}), val_split=0.1, test_split=0.0).test == ()


def test_too_few_recordings_are_all_trained_on_and_the_error_rate_is_called_what_it_is():
    parts = split(corpus_of({"MRK 1": 5}), val_split=0.1, test_split=0.1)
    assert parts.train == parts.validation
    assert "training recordings" in parts.notes[0]


def test_equal_neighbours_need_a_blank_between_them():
    assert ctc_frames_needed([1, 2, 3]) == 3
    assert ctc_frames_needed([1, 1, 2, 2, 2]) == 8
