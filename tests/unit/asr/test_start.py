"""The seam for more models: other starts and other ways of fine-tuning behind the same training."""

import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.start import FromCheckpoint, FromNothing
from codex_worker.asr.trainable import WholeNetwork
from codex_worker.asr.vocabulary import build_vocabulary
from tests.support.networks import small_conformer

TEXTS = ["god made all", "all is well"]


@pytest.fixture(scope="module")
def checkpoint():
    vocabulary = build_vocabulary(TEXTS)
    torch.manual_seed(0)
    return TranscriberCheckpoint(build_model(tiny_config(vocabulary)).eval(), vocabulary, TINY_FRONTEND)


def names_that_train(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_each_network_of_a_start_is_a_new_one(checkpoint):
    start = FromCheckpoint(checkpoint, "gpu_jobs/job_a/checkpoint/x.safetensors")
    vocabulary = start.vocabulary(["zebra"])
    first, second = start.network(vocabulary), start.network(vocabulary)
    assert first is not second and first.lm_head.out_features == len(vocabulary)
    with torch.no_grad():
        first.lm_head.weight.zero_()
    assert second.lm_head.weight.any() and checkpoint.model.lm_head.weight.any()


def test_a_checkpoints_letters_only_grow(checkpoint):
    start = FromCheckpoint(checkpoint, "x")
    grown = start.vocabulary(["zebra"])
    assert checkpoint.vocabulary.letters | {"z", "b", "r"} <= grown.letters
    assert grown.encode("god made") == checkpoint.vocabulary.encode("god made")
    assert FromNothing().vocabulary(["zebra"]).letters != grown.letters


def test_whoever_listens_gets_a_network_of_its_own(checkpoint):
    listener = FromCheckpoint(checkpoint, "x").listener()
    assert listener is not None
    listener.model.to(torch.bfloat16)
    assert checkpoint.model.dtype is torch.float32
    assert FromNothing().listener() is None


def test_in_the_first_stage_only_the_head_trains(checkpoint):
    model, way = build_model(tiny_config(checkpoint.vocabulary)), WholeNetwork()
    way.begin_epoch(model, is_first_stage=True)
    assert names_that_train(model) == {"lm_head.weight", "lm_head.bias"}
    way.begin_epoch(model, is_first_stage=False)
    assert names_that_train(model) == {name for name, _ in model.named_parameters()}


def test_lower_layers_learn_more_slowly(checkpoint):
    model = build_model(small_conformer(checkpoint.vocabulary))
    rates = {}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in WholeNetwork().groups(model, 1e-3, 0.5):
        rates.update({names[id(parameter)]: group["lr"] for parameter in group["params"]})
    assert set(rates) == set(names.values())
    assert rates["lm_head.weight"] == 1e-3
    upper = next(name for name in rates if ".encoder.layers.1." in name)
    lower = next(name for name in rates if ".encoder.layers.0." in name)
    below = next(name for name in rates if ".feature_projection." in name)
    assert (rates[upper], rates[lower], rates[below]) == (5e-4, 2.5e-4, 1.25e-4)
