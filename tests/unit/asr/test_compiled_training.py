"""A transcriber trained as on a GPU: its layers compiled, in bf16 with masters in fp32."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from codex_worker.asr import train as training
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.networks.compiled import compiled_layers
from codex_worker.training.loop import LAST, RESUME
from tests.support.any_reading import let_any_reading_count
from tests.support.made_plans import Remembers, plan_over_noise
from tests.support.networks import small_conformer


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """All of it but the compiler of a GPU."""
    monkeypatch.setattr(training, "gains", lambda model, device: True)
    monkeypatch.setattr(training, "compiled_layers", partial(compiled_layers, backend="eager"))
    let_any_reading_count(monkeypatch)


class StopsAt(Remembers):
    def __init__(self, update):
        super().__init__()
        self.left = update

    def should_stop(self):
        self.left -= 1
        return self.left < 0


def plan(folder):
    made = plan_over_noise(folder, make_config=small_conformer)
    return replace(made, recipe=replace(made.recipe, precision="bf16"))


def test_a_run_that_is_interrupted_ends_with_the_same_weights_in_full_numbers(tmp_path, as_on_a_gpu):
    whole = training.train(plan(tmp_path), tmp_path / "whole", Remembers())
    training.train(plan(tmp_path), tmp_path / "parts", StopsAt(3))
    resumed = torch.load(tmp_path / "parts" / RESUME, weights_only=True)
    assert resumed["settings"]["precision"] == "bf16_weights"
    assert {value.dtype for value in resumed["model"].values()} == {torch.float32}
    training.train(plan(tmp_path), tmp_path / "parts", Remembers())
    expected, got = load_file(tmp_path / "whole" / LAST), load_file(tmp_path / "parts" / LAST)
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert torch.equal(got[name], value), name
    assert any(not torch.equal(value, value.bfloat16().float()) for value in expected.values())
    kinds = {
        type(layer).__name__ for layer in load_checkpoint(whole.checkpoint).model.base_model.encoder.layers
    }
    assert kinds == {"Wav2Vec2BertEncoderLayer"}
