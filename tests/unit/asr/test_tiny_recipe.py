"""How long the tiny network trains, and that no recording is too quick for its frames."""

import math

import pytest

from codex_worker.asr.corpus import ctc_frames_needed, needs_of
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, output_frames, tiny_config
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.vocabulary import build_vocabulary


@pytest.mark.parametrize(
    ("minutes", "recordings", "updates"),
    [
        (0.5, 5, (1_200, 1_300)),
        (2.0, 60, (1_200, 1_300)),  # the sample
        (3.0, 40, (1_200, 1_300)),
        (16.3, 450, (2_600, 3_200)),  # the Russian prompts
        (18.2, 456, (2_600, 3_200)),  # the English ones
        (60.0, 2_000, (3_500, 4_000)),
        (60.0, 400, (1_200, 1_300)),  # of nine seconds each: more to hear in each update
        (600.0, 4_000, (1_200, 1_600)),
    ],
)
def test_more_speech_means_more_updates_as_far_as_ten_minutes_go(minutes, recordings, updates):
    recipe = choose_recipe(minutes / 60, recordings, preset="tiny")
    made = recipe.epochs * math.ceil(recordings / recipe.batch_size)
    assert updates[0] <= made <= updates[1]
    assert any(f"{recipe.epochs} epochs" in reason for reason in recipe.reasons)


@pytest.mark.parametrize("letters_a_second", [8, 12, 16, 20])
@pytest.mark.parametrize("seconds", [1.0, 4.0, 15.0])
def test_nobody_speaks_too_quickly_for_frames_of_40_ms(letters_a_second, seconds):
    text = ("abcdefgh " * 40)[: round(letters_a_second * seconds)].strip()
    network = build_model(tiny_config(build_vocabulary([text])))
    needs = needs_of(str, TINY_FRONTEND, lambda rows: output_frames(network, rows), 40.0)
    least_s = needs.least_s(text)
    assert least_s is not None and least_s <= seconds


def test_repeated_letters_need_a_frame_between_them():
    vocabulary = build_vocabulary(["all see"])
    assert ctc_frames_needed(vocabulary.encode("all see")) == len("all see") + 2
