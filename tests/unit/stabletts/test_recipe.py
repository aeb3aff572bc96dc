"""Defaults that scale with the data, and a manifest that is obeyed."""

import pytest

from codex_worker.contract.options import TrainingOptions
from codex_worker.errors import UserError
from codex_worker.stabletts.recipe import FRAMES_PER_GIB, TINY_BATCH_FRAMES, TINY_UPDATES, ema_decay, plan
from codex_worker.training.machine import Machine

HOUR = [500] * 620  # recordings of 5.8 s
CLIPS = [180] * 60


def test_what_the_manifest_says_is_obeyed():
    request = TrainingOptions(
        epochs=7, batch_size=12, learning_rate=3e-4, val_split=0.2, warmup_steps=9, seed=5
    )
    recipe = plan(request, HOUR, start="official", machine=Machine("cuda", 80 * 2**30, True))
    assert recipe.training.epochs == 7
    assert recipe.training.learning_rate == 3e-4
    assert recipe.training.warmup_steps == 9
    assert recipe.training.seed == 5
    assert recipe.training.precision == "bf16"
    assert recipe.batch_items == 12
    assert recipe.validated == 124
    assert sum("as the manifest says" in reason for reason in recipe.reasons) >= 4


def test_more_data_gets_more_updates_but_fewer_epochs():
    machine = Machine("cuda", 80 * 2**30, True)
    few = plan(TrainingOptions(), CLIPS, start="official", machine=machine)
    many = plan(TrainingOptions(), HOUR * 20, start="official", machine=machine)
    assert few.training.epochs > 4 * many.training.epochs
    assert many.training.epochs * 20 * len(HOUR) * 0.9 / many.batch_items > 4_000
    assert few.batch_items < many.batch_items == 32


def test_training_from_scratch_takes_longer():
    fine = plan(TrainingOptions(), HOUR, start="official")
    scratch = plan(TrainingOptions(), HOUR, start="scratch")
    assert scratch.training.epochs == pytest.approx(4 * fine.training.epochs, rel=0.01)


def test_batches_that_do_not_fit_the_memory_are_taken_in_parts():
    recipe = plan(TrainingOptions(), HOUR, start="official", machine=Machine("cuda", 8 * 2**30))
    assert recipe.training.accumulation > 1
    assert recipe.batch_frames <= 8 * FRAMES_PER_GIB
    assert any("do not fit the memory at once" in reason for reason in recipe.reasons)


def test_a_small_project_is_validated_on_a_few_recordings_and_never_on_all():
    assert plan(TrainingOptions(), CLIPS, start="official").validated == 6
    assert plan(TrainingOptions(), [300] * 2, start="official").validated == 1
    assert plan(TrainingOptions(), HOUR * 30, start="official").validated == 100
    assert plan(TrainingOptions(val_split=0.5), [300] * 9, start="official").validated == 4


def test_no_validation_means_no_early_stop_and_no_choice():
    recipe = plan(TrainingOptions(val_split=0, epochs=500), CLIPS, start="official", judged_by="val_choice")
    assert recipe.validated == 0
    assert recipe.training.patience_epochs is None and recipe.training.best_metric is None


@pytest.mark.parametrize(("asked", "patience"), [(None, 166), (30, 30), (0, None), (500, None)])
def test_training_ends_early_only_where_a_judge_listens(asked, patience):
    options = TrainingOptions(epochs=500, early_stopping_patience=asked)
    heard = plan(options, CLIPS, start="official", judged_by="val_choice")
    assert (heard.training.patience_epochs, heard.training.best_metric) == (patience, "val_choice")
    unheard = plan(options, CLIPS, start="official")
    assert (unheard.training.patience_epochs, unheard.training.best_metric) == (None, None)
    assert any(reason.startswith("the last checkpoint is delivered") for reason in unheard.reasons)
    ignored = any("early_stopping_patience has no effect" in reason for reason in unheard.reasons)
    assert ignored is bool(asked)


@pytest.mark.parametrize("start", ["scratch", "checkpoint"])
@pytest.mark.parametrize(
    "frames", [CLIPS, HOUR, [2_500] * 200, [180] * 3], ids=["few", "hour", "long", "three"]
)
def test_the_tiny_network_is_trained_for_minutes(start, frames):
    recipe = plan(TrainingOptions(), frames, start=start, tiny=True)
    per_epoch = -(-(len(frames) - recipe.validated) // recipe.batch_items)
    assert 0.9 * TINY_UPDATES <= recipe.training.epochs * per_epoch <= 1.1 * TINY_UPDATES
    assert recipe.batch_frames <= TINY_BATCH_FRAMES
    assert any(f"{TINY_UPDATES} updates" in reason for reason in recipe.reasons)


def test_of_many_hours_the_tiny_network_hears_all_once():
    assert plan(TrainingOptions(), HOUR * 20, start="scratch", tiny=True).training.epochs == 1


def test_too_few_recordings_are_refused_with_advice():
    with pytest.raises(UserError, match="Record more verses"):
        plan(TrainingOptions(), [], start="official")


def test_weights_are_averaged_over_the_end_of_a_run():
    assert ema_decay(1) == 0.9
    assert ema_decay(4_000) == pytest.approx(0.995)
    assert ema_decay(10**6) == 0.9995


@pytest.mark.parametrize(("recordings", "validated"), [(60, 6), (300, 30), (10_000, 100)])
def test_a_tenth_of_the_recordings_is_held_out_up_to_a_bound(recordings, validated):
    assert plan(TrainingOptions(), [180] * recordings, start="official").validated == validated


@pytest.mark.parametrize(
    ("keys", "judged_by", "tiny", "every"),
    [
        ({}, None, False, 14),  # 625 epochs of 7 updates: a hundredth of them would be 42 updates
        ({"epochs": 1000}, None, False, 14),
        ({"epochs": 2000}, None, False, 20),
        ({"epochs": 50}, None, False, 5),
        ({"epochs": 5}, None, False, 1),
        ({"early_stopping_patience": 30}, "val_choice", False, 6),
        ({"epochs": 100, "early_stopping_patience": 3}, "val_choice", False, 1),
        ({"epochs": 80}, None, True, 1),
    ],
)
def test_validations_are_a_small_part_of_a_training_and_often_enough_to_choose(keys, judged_by, tiny, every):
    frames = [300] * 260
    recipe = plan(TrainingOptions(**keys), frames, start="official", judged_by=judged_by, tiny=tiny)
    assert recipe.training.validate_every_epochs == every
