"""A transcriber's updates as a GPU makes them: layers compiled, weights in bf16 with masters in fp32."""

import logging
import math

import pytest
import torch

from bench.gpu_transcriber import TINY_SIZE, SameRecordings, network
from codex_worker.asr.networks.compiled import compiled_layers
from codex_worker.training.task import TrainingSettings
from codex_worker.training.turns import turns_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


def losses_of(precision, *, is_compiled, updates=6):
    task = SameRecordings(network(tiny=True, fast=True).cuda(), TINY_SIZE)
    task.model.train()
    for module in task.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    settings = TrainingSettings(epochs=1, learning_rate=1e-3, precision=precision)
    (turn,) = turns_of(task, settings, torch.device("cuda"))

    def updated():
        return [float(turn.take([None]).losses["total"]) for _ in range(updates)]

    if not is_compiled:
        return updated()
    with compiled_layers(task.model):
        return updated()


def test_compiled_layers_with_masters_learn_what_plain_layers_in_fp32_learn(caplog):
    with caplog.at_level(logging.WARNING):
        compiled = losses_of("bf16_weights", is_compiled=True)
    assert "cannot be compiled" not in caplog.text
    plain = losses_of("fp32", is_compiled=False)
    assert all(math.isfinite(loss) for loss in compiled)
    assert compiled == pytest.approx(plain, rel=0.02)
    assert compiled[-1] < compiled[0]
