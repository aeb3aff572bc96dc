"""Which of what a machine read or spoke is learnt from, how much of it, and where it may be."""

from pathlib import Path

import pytest

from codex_worker.asr.corpus import Example, Split, TranscribedClip
from codex_worker.asr.teaching import (
    MOST_ALIKE,
    choose_readings,
    choose_texts,
    held_out_chapters,
    held_out_texts,
    with_made,
)
from codex_worker.asr.transcribe import Transcript


def heard(key, text="in the beginning", confidence=0.9, seconds=2.0, **more):
    return Transcript(key, text, confidence, duration_s=seconds, **more)


def example(key, chapter, text="a word", is_made=False):
    clip = TranscribedClip(key, Path(f"{key}.wav"), text, chapter, is_made=is_made)
    return Example(clip, text, key, 2.0)


def people(**chapters):
    """A split by chapter of its training, validation and test part, one example for each."""
    parts = {
        part: tuple(example(f"{part} {c}", c, f"text of {part} {c}") for c in chapters.get(part, ()))
        for part in ("train", "validation", "test")
    }
    return Split(**parts)


def test_the_surest_readings_are_taken_first_up_to_the_limit():
    readings = [heard(f"r{i}", f"text {i}", confidence=i / 10) for i in range(1, 8)]
    choice = choose_readings(readings, limit_s=6.0, longest_s=30.0)
    assert choice.keys == ("r7", "r6", "r5")
    assert all("outweigh" in choice.left_out[f"r{i}"] for i in range(1, 5))


@pytest.mark.parametrize(
    ("reading", "says"),
    [
        (heard("x", confidence=0.4, is_uncertain=True), "not sure enough"),
        (heard("x", text="", is_uncertain=True), "nothing was heard"),
        (heard("x", error="The recording is damaged."), "damaged"),
        (heard("x", text="what is held out"), "held out has the same text"),
        (heard("x", seconds=31.0), "max_duration_seconds"),
        (heard("x", seconds=11.0), "outweigh"),
    ],
    ids=["unsure", "nothing heard", "unreadable", "gives the held-out text away", "too long", "too much"],
)
def test_what_is_not_learnt_from_has_its_reason(reading, says):
    others = [heard("good", "another text")]
    choice = choose_readings([reading, *others], limit_s=10.0, longest_s=30.0, taken={"what is held out"})
    assert choice.keys == ("good",)
    assert says in choice.left_out["x"]


def test_a_teacher_that_writes_the_same_for_everything_teaches_it_only_twice():
    choice = choose_readings([heard(f"r{i}") for i in range(50)], limit_s=1e9, longest_s=30.0)
    assert len(choice.keys) == MOST_ALIKE
    assert len(choice.left_out) == 50 - MOST_ALIKE


def test_no_reading_gives_nothing():
    assert choose_readings([], limit_s=10.0, longest_s=30.0).keys == ()


def test_texts_to_be_spoken_come_from_everywhere_up_to_the_limit():
    texts = {f"cell {i:03}": f"number {i} of many" for i in range(100)}
    choice = choose_texts(texts, letter_s=0.1, limit_s=30.0, longest_s=30.0)
    assert sum(0.1 * len(texts[key].replace(" ", "")) for key in choice.keys) <= 30.0
    assert 20 < len(choice.keys) < 30
    places = [int(key[-3:]) for key in choice.keys]
    assert min(places) < 20 and max(places) > 80
    assert choose_texts(dict(reversed(texts.items())), letter_s=0.1, limit_s=30.0, longest_s=30.0) == choice


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no letters"), ("held out", "held out has the same text"), ("long " * 100, "max_duration_seconds")],
)
def test_a_text_that_is_not_spoken_has_its_reason(text, says):
    texts = {"x": text, "good": "a good text"}
    choice = choose_texts(texts, letter_s=0.1, limit_s=1e9, longest_s=30.0, taken={"held out"})
    assert choice.keys == ("good",)
    assert says in choice.left_out["x"]


def test_chapters_are_held_out_only_where_nothing_of_them_is_trained_on():
    data = people(train=("A", "B"), validation=("B", "C"), test=("D",))
    assert held_out_chapters(data) == {"C", "D"}
    assert held_out_texts(data) == {"text of validation B", "text of validation C", "text of test D"}


def test_made_examples_are_trained_on_and_in_no_other_part():
    data = people(train=("A",), validation=("B",), test=("C",))
    made = [example(f"made {i}", "E", is_made=True) for i in range(3)]
    taught = with_made(data, made)
    assert taught.train == (*data.train, *made)
    assert (taught.validation, taught.test) == (data.validation, data.test)
    assert taught.held_out == data.held_out == 1


def test_an_example_that_is_not_marked_as_made_cannot_be_added():
    with pytest.raises(ValueError, match="marked as made"):
        with_made(people(train=("A",), validation=("B",)), [example("a person's", "E")])


def test_nothing_is_added_where_nothing_is_held_out():
    train = people(train=("A", "B")).train
    with pytest.raises(ValueError, match="held-out"):
        with_made(Split(train, train), [example("made", "E", is_made=True)])
