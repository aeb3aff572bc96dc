"""Layers that are compiled compute what they compute without it. What is gained by it, a GPU has to show."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from codex_worker.asr.features import pad_batch
from codex_worker.asr.networks.build import use_fast_layers
from codex_worker.asr.networks.compiled import FEWEST_LAYERS, MOST_GRAPHS, compiled_layers, gains

WITHOUT_DROPOUT = dict.fromkeys(
    ("hidden_dropout", "attention_dropout", "feat_proj_dropout", "conformer_conv_dropout",
     "activation_dropout", "final_dropout", "layerdrop"), 0.0
)  # fmt: skip


def network(layers=2):
    config = Wav2Vec2BertConfig(
        vocab_size=9,
        hidden_size=24,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=32,
        output_hidden_size=24,
        conv_depthwise_kernel_size=3,
        left_max_position_embeddings=12,
        right_max_position_embeddings=3,
        apply_spec_augment=False,
        **WITHOUT_DROPOUT,
    )
    torch.manual_seed(0)
    model = Wav2Vec2BertForCTC(config)
    use_fast_layers(model)
    return model.train()


def read(model, rows, length, masked=True):
    first = next(model.parameters())
    inputs = torch.randn(rows, length, 160, generator=torch.Generator().manual_seed(length)).to(first.dtype)
    mask = torch.ones(rows, length, dtype=torch.long)
    if masked:
        mask[1:, length // 2 :] = 0
    return model(inputs, attention_mask=mask).logits


def assert_equal_steps(compiled, plain, rows, length):
    logits = [read(model, rows, length) for model in (compiled, plain)]
    torch.testing.assert_close(logits[0], logits[1])
    for model, made in zip((compiled, plain), logits, strict=True):
        model.zero_grad()
        made.float().square().sum().backward()
    for (name, got), (_, expected) in zip(compiled.named_parameters(), plain.named_parameters(), strict=True):
        torch.testing.assert_close(got.grad, expected.grad, msg=name)


def test_graphs_of_dynamic_lengths_give_the_plain_outputs_and_gradients_and_are_few():
    plain = network()
    ours = copy.deepcopy(plain)
    names = list(ours.state_dict())
    counted = CompileCounterWithBackend("eager")
    with compiled_layers(ours, counted):
        for rows, length in [(2, 48), (3, 64), (5, 112)]:
            assert_equal_steps(ours, plain, rows, length)
        assert list(ours.state_dict()) == names
    assert counted.frame_count == 1, "one graph for both layers, and for all these lengths"
    assert MOST_GRAPHS < 20


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.acceptance)])
def test_layers_that_are_computed_twice_to_save_memory_have_the_plain_gradients(backend, caplog):
    plain = network()
    ours = copy.deepcopy(plain)
    for model in (plain, ours):
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with compiled_layers(ours, backend):
        assert_equal_steps(ours, plain, 2, 48)
    assert "compiled" not in caplog.text


def test_a_layer_may_be_left_out_and_a_frozen_body_trains_its_head():
    plain = network(layers=3)
    ours = copy.deepcopy(plain)
    for model in (plain, ours):
        model.config.layerdrop = 0.5
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith("lm_head.")
    with compiled_layers(ours, "eager"):
        made = []
        for model in (ours, plain):
            torch.manual_seed(5)
            logits = read(model, 2, 48)
            logits.square().sum().backward()
            made.append((logits, model.lm_head.weight.grad))
    torch.testing.assert_close(made[0], made[1])


def test_outside_of_training_and_after_it_the_layers_are_plain():
    ours = network()
    kind = type(ours.wav2vec2_bert.encoder.layers[0])
    counted = CompileCounterWithBackend("eager")
    with compiled_layers(ours, counted), torch.no_grad():
        read(ours.eval(), 2, 48)
        assert type(ours.wav2vec2_bert.encoder.layers[0]) is not kind
    assert counted.frame_count == 0
    assert {type(layer) for layer in ours.wav2vec2_bert.encoder.layers} == {kind}


def test_a_compiler_that_fails_is_named_once_and_the_plain_layers_train(caplog):
    def no_compiler(graph, examples):
        raise OSError("no C compiler was found")

    plain = network()
    ours = copy.deepcopy(plain)
    with compiled_layers(ours, no_compiler):
        for length in (48, 64):
            assert_equal_steps(ours, plain, 2, length)
    said = [record.getMessage() for record in caplog.records if "compiled" in record.getMessage()]
    assert len(said) == 1
    assert "no C compiler was found" in said[0] and "training goes on" in said[0]


def test_memory_that_ran_out_is_no_failure_of_the_compiler(monkeypatch):
    def full(graph, examples):
        def run(*args):
            raise torch.OutOfMemoryError("CUDA out of memory")

        return run

    with compiled_layers(ours := network(), full), pytest.raises(torch.OutOfMemoryError):
        read(ours, 2, 48)


@pytest.mark.parametrize(
    ("layers", "device", "gained"),
    [(FEWEST_LAYERS, "cuda", True), (FEWEST_LAYERS - 1, "cuda", False), (FEWEST_LAYERS, "cpu", False)],
)
def test_deep_networks_gain_on_a_gpu(layers, device, gained):
    assert gains(network(layers), torch.device(device)) is gained


def test_rows_are_padded_to_a_multiple_and_the_mask_says_which_are_real():
    import numpy as np

    inputs, mask = pad_batch([np.ones((17, 4), np.float32), np.ones((5, 4), np.float32)], 16)
    assert inputs.shape == (2, 32, 4)
    assert mask.sum(1).tolist() == [17, 5]
    assert inputs.sum().item() == 22 * 4
