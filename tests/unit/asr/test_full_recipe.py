"""The recipe for networks of full size: its budget, its schedule, what trains when, and a run of it."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from codex_worker.asr import train as training
from codex_worker.asr.augment import mask_features
from codex_worker.asr.corpus import Sounds, Split
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.build import build_model, config_from
from codex_worker.asr.networks.hearing import logits_of
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.start import FromCheckpoint, FromNothing
from codex_worker.asr.trainable import AdapterAndHead, WholeNetwork, is_body
from codex_worker.asr.updates import updates_an_epoch
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.contract.options import TrainingOptions
from codex_worker.errors import UserError
from codex_worker.training.machine import Machine
from tests.support.any_reading import let_any_reading_count
from tests.support.made_plans import Remembers, plan_over_noise
from tests.support.networks import full_config
from tests.support.spoken import Unwatched

GPU = Machine("cuda", 80 * 2**30, has_bf16=True)
VOCABULARY = build_vocabulary(["god made all", "all see him", "him god sees"])
HOURS = [0.05, 0.1, 0.3, 0.9, 1.0, 2.0, 4.9, 5.0, 10.0, 30.0, 100.0]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def recipe_for(hours, **known):
    return choose_recipe(hours, max(12, int(hours * 600)), **{"machine": GPU, **known})


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("machine", [GPU, Machine()], ids=["gpu", "processor"])
def test_thousands_of_updates_are_made_however_little_there_is_to_learn_from(hours, machine):
    recipe = recipe_for(hours, machine=machine)
    share = 1 - recipe.val_split - recipe.test_split
    per_epoch = updates_an_epoch(recipe, share * hours, math.ceil(share * max(12, int(hours * 600))))
    assert recipe.epochs * per_epoch >= 4000
    assert recipe.epochs >= 10
    assert recipe.epochs == 10 or (recipe.epochs - 1) * per_epoch < 4000, "no more than that"
    assert recipe.patience_epochs * per_epoch >= 1000
    assert recipe.validate_every_epochs == 1 or 80 <= recipe.validate_every_epochs * per_epoch <= 150
    assert recipe.batch_seconds * recipe.accumulation == (80 if hours < 1 else 160)
    assert recipe.sort_by_length


@pytest.mark.parametrize("asked", [{"batch_size": 1}, {"batch_size": 4, "gradient_accumulation_steps": 3}])
def test_smaller_batches_are_not_more_updates(asked):
    recipe = recipe_for(0.3, options=TrainingOptions(**asked))
    assert 4000 <= recipe.epochs * updates_an_epoch(recipe, 0.27, 162) < 4400


def test_most_is_masked_and_left_out_where_data_is_least():
    little, much = recipe_for(1.0), recipe_for(10.0)
    assert 0.3 <= little.augmentation.time_mask_share <= 0.5
    assert 0.1 <= much.augmentation.time_mask_share <= 0.2
    assert 0.05 <= much.layer_drop < little.layer_drop <= 0.1
    assert (little.safer().layer_drop, little.safer().augmentation.time_mask_share) == (0.0, 0.0)


def test_masks_are_spans_of_ten_to_twenty_frames():
    augmentation = replace(recipe_for(1.0).augmentation, band_masks=0)
    shares = []
    for seed in range(20):
        masked = mask_features(
            np.ones((500, 160), np.float32), augmentation, 0.02, np.random.default_rng(seed)
        )
        edges = np.flatnonzero(np.diff(np.concatenate([[1], masked[:, 0], [1]])))
        widths = edges[1::2] - edges[::2]
        assert np.sum(widths < 10) <= 1  # the last one gets what is left of the share
        shares.append(1 - masked[:, 0].mean())
    assert 0.25 < np.mean(shares) <= 0.4


@pytest.mark.parametrize(
    ("machine", "parameters", "said"),
    [
        (GPU, 600_000_000, r"about \d\d minutes of a GPU .* estimated .* H200 .*performance\.md"),
        (GPU, 2_400_000_000, r"about \d\.\d hours of a GPU|about \d\d minutes of a GPU"),
        (Machine(), 600_000_000, r"about \d+ days on a processor.* not practical.*model\.preset: tiny"),
        (Machine(), 800_000, r"about \d\.\d hours on a processor"),
    ],
)
def test_what_a_training_costs_is_said_beforehand(machine, parameters, said):
    recipe = choose_recipe(0.3, 460, machine=machine, parameters=parameters)
    assert any(re.search(said, reason) for reason in recipe.reasons), recipe.reasons


@pytest.mark.parametrize("preset", ["full", "tiny"])
def test_only_one_number_of_epochs_is_told(preset):
    recipe = choose_recipe(0.3, 460, preset=preset, options=TrainingOptions(epochs=7))
    told = [reason for reason in recipe.reasons if re.match(r"\d+ epochs|epochs \d", reason)]
    assert told == ["epochs 7: the manifest's epochs"]
    decided = choose_recipe(0.3, 460, preset=preset)
    assert sum(f"{decided.epochs} epochs" in reason for reason in decided.reasons) == 1


@pytest.mark.parametrize(
    "choice", ["SpecAugment", "new layers", "LayerDrop", "further down", "epochs at most"]
)
def test_a_choice_names_where_it_comes_from(choice):
    (reason,) = [
        reason for reason in recipe_for(0.3).reasons if choice in reason and not reason.startswith("the body")
    ]
    assert re.search(r"wav2vec 2\.0|Omnilingual ASR|MMS|Howard and Ruder", reason)


def small_bert(vocabulary, layers=3):
    config = full_config(vocabulary, layers=layers)
    config.update(
        {"hidden_size": 32, "output_hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2,
         "feature_projection_input_dim": 320}
    )  # fmt: skip
    return config


WAVEFORM = {
    "model_type": "wav2vec2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "vocab_size": len(VOCABULARY),
}  # fmt: skip


def small_wav2vec2(**more):
    config = config_from(WAVEFORM | more)
    config.pad_token_id = VOCABULARY.blank_id
    return config


def task_of(tmp_path, make_config, recipe, trainable=None):
    plan = plan_over_noise(tmp_path, make_config=make_config)
    recipe = replace(recipe, batch_size=2)
    return CtcTask(plan.make_model(), replace(plan, recipe=recipe, trainable=trainable or WholeNetwork()))


def test_new_layers_learn_fast_the_lowest_not_too_slowly_and_the_body_when_it_thaws(tmp_path):
    recipe = replace(recipe_for(0.3), frozen_epochs=6)
    task = task_of(tmp_path, lambda vocabulary: small_bert(vocabulary, layers=17), recipe)
    group_of = {id(p): group for group in task.parameter_groups(5e-5) for p in group["params"]}
    model = task.model
    for new in (model.lm_head.weight, *model.wav2vec2_bert.adapter.parameters()):
        assert group_of[id(new)]["lr"] == pytest.approx(5e-4)
        assert "begins" not in group_of[id(new)]
    rates = [
        group_of[id(layer.ffn1.output_dense.weight)]["lr"] for layer in model.wav2vec2_bert.encoder.layers
    ]
    assert rates == sorted(rates)
    assert (rates[-1], rates[0]) == (pytest.approx(4.5e-5), 1e-5)
    for name, parameter in model.named_parameters():
        if is_body(name):
            assert group_of[id(parameter)]["begins"] == 6 * task.updates_per_epoch


@pytest.mark.parametrize(
    "known",
    [
        {"reads": True},
        {"hours": 20.0},
        {"pretrained": False},
        {"options": TrainingOptions(trainable="adapter")},
    ],
    ids=lambda known: next(iter(known)),
)
def test_nothing_is_frozen_first_where_no_new_layers_would_shake_the_body(known):
    recipe = recipe_for(known.pop("hours", 0.3), **known)
    assert recipe.frozen_epochs == 0
    if "reads" in known or "options" in known or "pretrained" in known:
        assert recipe.head_factor == 1.0


def test_a_projects_own_checkpoint_is_known_to_read(tmp_path, monkeypatch):
    let_any_reading_count(monkeypatch)
    plan = plan_over_noise(tmp_path, manifest={"epochs": 1})
    trained = training.train(plan, tmp_path / "run", Unwatched())
    start = FromCheckpoint(load_checkpoint(trained.checkpoint), "ours")
    assert (start.reads, start.has_adapters, FromNothing().reads) == (True, False, False)


@pytest.mark.parametrize(
    ("hours", "has_adapters", "asked", "trains"),
    [
        (0.3, True, None, "adapter"),
        (4.9, True, None, "adapter"),
        (5.0, True, None, "all"),
        (0.3, False, None, "all"),
        (0.3, True, "all", "all"),
        (50.0, False, "adapter", "adapter"),
    ],
)
def test_adapters_train_alone_where_a_network_has_them_and_data_is_little(hours, has_adapters, asked, trains):
    options = TrainingOptions(trainable=asked)
    recipe = recipe_for(hours, has_adapters=has_adapters, options=options)
    assert recipe.trains == trains
    assert (recipe.learning_rate == 1e-3) == (trains == "adapter")
    if asked:
        assert f"trains {asked}: the manifest's training.trainable" in recipe.reasons


@pytest.mark.parametrize(
    ("config", "learning"),
    [
        (small_bert(VOCABULARY), {"lm_head", "wav2vec2_bert.adapter"}),
        (small_wav2vec2(adapter_attn_dim=4, do_stable_layer_norm=True), {"lm_head", "adapter_layer"}),
    ],
    ids=["w2v-bert", "mms"],
)
def test_of_adapters_and_head_nothing_else_learns(config, learning):
    model, way = build_model(config), AdapterAndHead()
    begun = {name: value.clone() for name, value in model.state_dict().items()}
    way.begin_epoch(model, is_first_stage=False)
    groups = way.groups(model, 1e-3, 0.9)
    for group in groups:
        del group["part"]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
    inputs = torch.randn(2, 8000) if config.model_type == "wav2vec2" else torch.randn(2, 40, 320)
    model.train()(inputs).logits.square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, begun[name])}
    assert changed
    assert all(any(part in name for part in learning) for name in changed)
    assert {part for part in learning if any(part in name for name in changed)} == learning


def test_adapters_alone_are_refused_where_there_are_none():
    with pytest.raises(UserError, match=r"has no adapters.*Leave the key out"):
        AdapterAndHead().groups(build_model(small_wav2vec2()), 1e-3, 1.0)


def test_mms_adapters_are_new_layers_and_not_a_body(tmp_path):
    model = build_model(small_wav2vec2(adapter_attn_dim=4, do_stable_layer_norm=True))
    way = WholeNetwork()
    way.begin_epoch(model, is_first_stage=True)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("adapter_layer" in name for name in learning)
    assert all("adapter_layer" in name or name.startswith("lm_head.") for name in learning)


@pytest.mark.parametrize("is_first_stage", [True, False])
def test_the_convolutions_in_front_of_a_wav2vec2_never_learn(tmp_path, is_first_stage):
    task = task_of(tmp_path, lambda vocabulary: small_wav2vec2(), replace(recipe_for(0.3), frozen_epochs=1))
    groups = task.parameter_groups(5e-5)
    front = {id(parameter) for parameter in task.model.wav2vec2.feature_extractor.parameters()}
    assert front
    assert not front & {id(parameter) for group in groups for parameter in group["params"]}
    task.batches(0 if is_first_stage else 1)
    task.model.train()(torch.randn(2, 8000)).logits.sum().backward()
    assert all(parameter.grad is None for parameter in task.model.wav2vec2.feature_extractor.parameters())


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_base_model_that_normalises_whole_recordings_gets_no_mask(norm):
    torch.manual_seed(0)
    model = build_model(small_wav2vec2(feat_extract_norm=norm)).eval()
    inputs, mask = torch.randn(2, 8000), torch.ones(2, 8000, dtype=torch.long)
    inputs[1, 5000:], mask[1, 5000:] = 0, 0
    with torch.no_grad():
        heard = logits_of(model, inputs, mask)
        assert torch.equal(heard, model(inputs).logits) == (norm == "group")
        assert torch.equal(heard, model(inputs, attention_mask=mask).logits) == (norm == "layer")


def test_a_faster_recording_must_have_room_for_blanks_between_repeated_letters(tmp_path, monkeypatch):
    plan = plan_over_noise(tmp_path, texts=("aaaa bbbb",) * 3)
    task = CtcTask(plan.make_model(), plan)
    asked = []
    rows = np.zeros((16, 320), np.float32)  # as many frames as labels and their blanks at the usual speed

    def features(sounds, example, speed=1.0):
        asked.append(speed)
        return rows[: int(16 / speed)]

    monkeypatch.setattr(Sounds, "features", features)
    for epoch in range(20):
        assert len(task._features(epoch, 0)) >= 15
    assert any(speed > 1.06 for speed in asked)


def test_masks_and_left_out_layers_wait_for_the_body(tmp_path):
    recipe = replace(recipe_for(0.3), frozen_epochs=2)
    task = task_of(tmp_path, small_bert, recipe)
    left_out = []
    for epoch in (0, 1, 2):
        task.batches(epoch)
        left_out.append(task.model.config.layerdrop)
    assert left_out == [0.0, 0.0, recipe.layer_drop]
    rows = [[(task._features(epoch, item) == 0).all(axis=1).mean() for item in range(10)] for epoch in (1, 2)]
    assert max(rows[0]) == 0.0
    assert 0.1 < np.mean(rows[1]) <= 0.4


def test_a_full_size_recipe_starts_to_learn_from_random_weights(tmp_path, monkeypatch):
    """Frozen first and thawed later, with masks and layers left out."""
    let_any_reading_count(monkeypatch)
    options = TrainingOptions(epochs=14, learning_rate=1e-3)
    recipe = replace(recipe_for(0.01, options=options), layer_drop=0.5, precision="fp32", batch_size=5)
    recipe = replace(recipe, gradient_checkpointing=False, validate_every_epochs=6)
    assert recipe.frozen_epochs == 2
    plan = plan_over_noise(tmp_path, make_config=lambda vocabulary: small_bert(vocabulary, layers=2))
    torch.manual_seed(3)
    first = plan.make_model()
    plan = replace(plan, recipe=recipe, data=Split(plan.data.train, plan.data.train))
    progress = Remembers()
    plan = replace(plan, make_model=lambda: build_model(first.config))
    trained = training.train(plan, tmp_path / "run", progress)
    losses = [row["train_total_loss"] for row in progress.rows]
    assert len(losses) == 14
    assert losses[-1] < 0.75 * losses[0]
    assert load_checkpoint(trained.checkpoint).model.config.layerdrop == 0.0
