"""A tiny reference model: its weights, and what the published implementation made of its inputs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codex_worker.stabletts.configuration import MelSettings, ModelSettings, VocosSettings
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.vocos import Vocos

FOLDER = Path(__file__).parents[2] / "data" / "stabletts"
MANIFEST = json.loads((FOLDER / "reference_manifest.json").read_text())


class Golden:
    """The arrays by name as tensors; `rows` describes a batch of them."""

    def __init__(self):
        self._arrays = np.load(FOLDER / "reference_arrays.npz")

    def __getitem__(self, name):
        return torch.from_numpy(self._arrays[name])

    def names(self, name):
        return [str(item) for item in self._arrays[name]]

    def padding(self, lengths_name, size_of):
        return Padding.of(self[lengths_name], self[size_of].shape[-1], torch.device("cpu"))


@pytest.fixture(scope="session")
def golden():
    return Golden()


@pytest.fixture(scope="session")
def manifest():
    return MANIFEST


@pytest.fixture(scope="session")
def reference_settings():
    config = MANIFEST["config"]
    return ModelSettings(n_vocab=config["n_vocab"], mel_channels=config["mel"]["n_mels"], **config["model"])


@pytest.fixture
def network(reference_settings):
    model = StableTTS(reference_settings).eval()
    model.load_state_dict(torch.load(FOLDER / "reference_tts.pt", weights_only=True), strict=True)
    return model


@pytest.fixture
def vocos():
    model = Vocos(VocosSettings(**MANIFEST["config"]["vocos"])).eval()
    model.load_state_dict(torch.load(FOLDER / "reference_vocos.pt", weights_only=True), strict=True)
    return model


@pytest.fixture(scope="session")
def mel_settings():
    return MelSettings(n_mels=MANIFEST["config"]["mel"]["n_mels"])


def published_table(name):
    """Key -> shape, as the tables of the published checkpoints list them."""
    lines = (FOLDER / name).read_text().splitlines()[1:]
    return {key: tuple(json.loads(shape)) for key, shape, *_ in (line.split("\t") for line in lines)}


@pytest.fixture(scope="session")
def published_network():
    return published_table("published_network.tsv")


@pytest.fixture(scope="session")
def published_vocos():
    return published_table("published_vocos.tsv")


@pytest.fixture
def leaky_network(network, monkeypatch):
    """The network with the reference's leaks: some of its convolutions see what lies behind a row's end."""
    estimator = network.decoder.estimator

    def unpadded(padding):
        return Padding((padding.size,) * len(padding.lengths), padding.size, None, None)

    project_content, project_input, join = estimator.project_content, estimator.project_input, estimator.join
    monkeypatch.setattr(estimator, "project_content", lambda mean, p: project_content(mean, unpadded(p)))
    monkeypatch.setattr(
        estimator, "project_input", lambda x, c: project_input(x, replace(c, padding=unpadded(c.padding)))
    )
    monkeypatch.setattr(estimator, "join", lambda index, x, skip, p: join(index, x, skip, unpadded(p)))
    for layer in network.ref_encoder.temporal:
        forward = layer.forward
        monkeypatch.setattr(layer, "forward", lambda x, p, forward=forward: forward(x, unpadded(p)))
    return network


@pytest.fixture
def outputs():
    """Record what modules answer: outputs(module) returns a list that fills as the module is called."""
    hooks = []

    def record(module):
        seen = []
        hooks.append(module.register_forward_hook(lambda _, __, output: seen.append(output)))
        return seen

    yield record
    for hook in hooks:
        hook.remove()
