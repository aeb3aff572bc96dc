"""A transcriber trains and reads with less memory than its batches take, to the same end."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codex_worker.asr import train as training
from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.transcribe import DecodingSettings, Transcriber
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import ResourceError
from tests.support.any_reading import let_any_reading_count
from tests.support.made_plans import Remembers, plan_over_noise

VOCABULARY = build_vocabulary(["god made all"])


def short_of_memory(model, most):
    """The network, which runs out of memory with more than so many recordings at once; how often it did."""
    failures = []

    def full(module, arguments, others):
        inputs = arguments[0] if arguments else next(iter(others.values()))
        if len(inputs) > most:
            failures.append(len(inputs))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model.register_forward_pre_hook(full, with_kwargs=True)
    return failures


def noise(seconds, seed):
    return (np.random.default_rng(seed).standard_normal(int(seconds * 16_000)) * 0.1).astype(np.float32)


@pytest.mark.parametrize("count", [2, 3, 4, 100])
def test_the_parts_of_a_batch_have_its_loss_and_its_gradient(tmp_path, count):
    plan = plan_over_noise(tmp_path)
    task = CtcTask(plan.make_model().eval(), plan)

    def gradient():
        found = torch.cat([each.grad.flatten() for each in task.model.parameters() if each.grad is not None])
        task.model.zero_grad()
        return found

    for batch in task.batches(0):
        whole = task.losses(batch)["total"]
        whole.backward()
        expected, loss = gradient(), 0.0
        for part, share in task.parts(batch, count):
            found = task.losses(part)["total"] * share
            found.backward()
            loss += float(found.detach())
        assert loss == pytest.approx(float(whole.detach()), rel=1e-4)
        assert (gradient() - expected).norm() < 1e-3 * expected.norm()


def test_a_training_goes_on_in_parts_and_its_notes_say_so(tmp_path, monkeypatch):
    let_any_reading_count(monkeypatch)
    plan, failures = plan_over_noise(tmp_path), []

    def make_model():
        model = build_model(tiny_config(plan.vocabulary))
        failures.append(short_of_memory(model, 2))
        return model

    progress = Remembers()
    trained = training.train(replace(plan, make_model=make_model), tmp_path / "run", progress)
    assert [count > 2 for count in failures[0]][:2] == [True, True]
    assert any("batches in 4 parts" in note for note in trained.notes)
    assert sum("ran out of memory" in message for message in progress.messages) == 2
    assert [row["epoch"] for row in progress.rows] == [1, 2]


def test_reading_with_little_memory_gives_the_same_texts():
    torch.manual_seed(0)
    checkpoint = TranscriberCheckpoint(build_model(tiny_config(VOCABULARY)), VOCABULARY, TINY_FRONTEND)
    reader = Transcriber(checkpoint, DecodingSettings(batch_seconds=60.0, workers=1), device="cpu")
    samples = [noise(0.5 + 0.2 * seed, seed) for seed in range(7)]
    roomy = reader.transcribe_samples(samples)
    failures = short_of_memory(checkpoint.model, 1)
    small = reader.transcribe_samples(samples)
    assert failures[:3] == [7, 3, 2] or len(failures) > 2
    assert [each.text for each in small] == [each.text for each in roomy]
    short_of_memory(checkpoint.model, 0)
    with pytest.raises(ResourceError, match="too little memory for one recording"):
        reader.transcribe_samples(samples[:1])
