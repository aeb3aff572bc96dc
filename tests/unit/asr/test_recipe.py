from typing import Any

import pytest

from codex_worker.asr.recipe import choose_recipe
from codex_worker.contract.options import TrainingOptions, all_keys
from codex_worker.training.machine import Machine


def test_little_data_trains_the_new_layers_first_and_says_so():
    recipe = choose_recipe(1.0, 600)
    assert recipe.frozen_epochs > 0
    assert any("frozen" in reason for reason in recipe.reasons)
    assert choose_recipe(20.0, 11_000).frozen_epochs == 0


def test_layers_further_down_learn_more_slowly_where_data_is_little():
    assert choose_recipe(1.0, 600).layer_decay < choose_recipe(20.0, 11_000).layer_decay < 1.0


def test_small_projects_keep_everything_for_learning_unless_a_test_set_is_asked_for():
    assert choose_recipe(1.0, 600).test_split == 0.0
    assert choose_recipe(1.0, 600, options=TrainingOptions(test_split=0.1)).test_split == 0.1
    assert choose_recipe(20.0, 11_000).test_split > 0.0


def test_more_data_needs_fewer_epochs():
    epochs = [choose_recipe(hours, int(hours * 500)).epochs for hours in (0.5, 2.0, 10.0, 40.0)]
    assert epochs == sorted(epochs, reverse=True)


def test_what_a_job_asks_for_is_obeyed_and_named_as_a_reason():
    asked: dict[str, Any] = {
        "epochs": 7,
        "batch_size": 3,
        "learning_rate": 3e-5,
        "gradient_accumulation_steps": 4,
        "warmup_steps": 50,
        "max_duration_seconds": 12.5,
        "val_split": 0.2,
        "early_stopping_patience": 3,
    }
    recipe = choose_recipe(3.0, 1000, options=TrainingOptions(**asked))
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (7, 3, 3e-5)
    assert (recipe.accumulation, recipe.warmup_steps, recipe.patience_epochs) == (4, 50, 3)
    assert (recipe.max_duration_s, recipe.val_split) == (12.5, 0.2)
    for key in asked:
        assert any(key in reason for reason in recipe.reasons), key


def test_a_patience_of_zero_never_stops_early():
    assert choose_recipe(1.0, 600).patience_epochs is not None
    options = TrainingOptions(early_stopping_patience=0)
    assert choose_recipe(1.0, 600, options=options).patience_epochs is None


def test_a_short_run_is_not_spent_on_the_frozen_stage():
    assert choose_recipe(1.0, 600, options=TrainingOptions(epochs=2)).frozen_epochs == 0


def test_after_a_collapse_training_is_slower_and_unmasked():
    recipe = choose_recipe(1.0, 600, machine=Machine("cuda", 80 * 10**9, has_bf16=True))
    assert recipe.precision == "bf16"
    safer = recipe.safer()
    assert safer.learning_rate < recipe.learning_rate
    assert safer.precision == "fp32"
    assert safer.gradient_checkpointing and not recipe.gradient_checkpointing  # fp32 takes twice the memory
    assert safer.augmentation.time_mask_share == 0.0
    assert safer.warmup_share > recipe.warmup_share
    assert "collapse" in safer.reasons[-1]


@pytest.mark.parametrize(
    ("memory_gb", "parameters", "checkpointing"),
    [(24, 600_000_000, True), (80, 600_000_000, False), (80, 2_000_000_000, True), (24, 100_000_000, False)],
)
def test_activations_are_kept_where_the_gpu_has_room_for_them(memory_gb, parameters, checkpointing):
    machine = Machine("cuda", memory_gb * 10**9, has_bf16=True)
    recipe = choose_recipe(1.0, 600, parameters=parameters, machine=machine)
    assert recipe.gradient_checkpointing is checkpointing
    assert any("checkpointing" in reason for reason in recipe.reasons) is checkpointing


def test_a_gpu_that_only_emulates_bf16_trains_in_fp32():
    recipe = choose_recipe(1.0, 600, machine=Machine("cuda", 48 * 10**9))
    assert recipe.precision == "fp32"
    assert recipe.gradient_checkpointing  # 48 GB would do in bf16


@pytest.mark.parametrize(
    ("hours", "preset", "val_split", "test_split"),
    [(1.0, "full", 0.1, 0), (9.9, "full", 0.1, 0), (10.0, "full", 0.05, 0.05), (0.3, "tiny", 0.1, 0)],
)
def test_as_much_is_held_back_as_the_list_of_keys_says(hours, preset, val_split, test_split):
    recipe = choose_recipe(hours, 600, preset=preset)
    assert (recipe.val_split, recipe.test_split) == (val_split, test_split)
    said = {key.place: key.default for key in all_keys()}
    assert said["val_split"] == (
        "0.1, of a voice's recordings no more than 100; for a transcriber 0.05 from 10 hours on"
    )
    assert said["test_split"] == "0 below 10 hours and with `model.preset: tiny`, else 0.05"
