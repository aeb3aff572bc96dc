import copy

import pytest
import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from codex_worker.asr.networks import w2v2bert_attention as attention
from codex_worker.asr.networks.w2v2bert_attention import RelativeKeyAttention, use_fast_attention
from codex_worker.asr.networks.w2v2bert_convolution import use_fast_convolution


def network(implementation="sdpa", position_embeddings_type="relative_key"):
    config = Wav2Vec2BertConfig(
        vocab_size=9,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        output_hidden_size=32,
        conv_depthwise_kernel_size=3,
        position_embeddings_type=position_embeddings_type,
        left_max_position_embeddings=12,
        right_max_position_embeddings=3,
    )
    config._attn_implementation = implementation
    torch.manual_seed(0)
    return Wav2Vec2BertForCTC(config).eval()


# Shorter and longer than both clamped distances, and a single frame.
@pytest.mark.parametrize("length", [1, 3, 9, 50])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_answers_are_those_of_transformers(length, implementation):
    slow = network(implementation)
    fast = copy.deepcopy(slow)
    assert use_fast_attention(fast) == 2
    assert use_fast_convolution(fast) == 2
    features = torch.randn(2, length, 160)
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, (length + 1) // 2 :] = 0
    with torch.no_grad():
        expected, got = slow(features, attention_mask=mask).logits, fast(features, attention_mask=mask).logits
    heard = mask.bool()
    torch.testing.assert_close(got[heard], expected[heard], atol=1e-5, rtol=1e-4)


def test_the_gradients_are_those_of_transformers():
    slow = network()
    fast = copy.deepcopy(slow)
    use_fast_attention(fast)
    use_fast_convolution(fast)
    features = torch.randn(2, 30, 160)
    for model in (slow, fast):
        model(features).logits.square().sum().backward()
    for (name, expected), (_, got) in zip(slow.named_parameters(), fast.named_parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(got.grad, expected.grad, atol=1e-4, rtol=1e-3, msg=name)


def test_long_recordings_are_attended_to_in_parts_with_the_same_answers_and_gradients(monkeypatch):
    monkeypatch.setattr(attention, "_CPU_BIAS_NUMBERS", 0)
    monkeypatch.setattr(attention, "_FEWEST_ROWS", 7)
    slow = network()
    fast = copy.deepcopy(slow)
    use_fast_attention(fast)
    features = torch.randn(2, 40, 160)
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[1, 25:] = 0
    with torch.no_grad():
        expected, got = slow(features, attention_mask=mask).logits, fast(features, attention_mask=mask).logits
    torch.testing.assert_close(got[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-4)
    for model in (slow, fast):
        model(features).logits.square().sum().backward()
    for (name, expected), (_, got) in zip(slow.named_parameters(), fast.named_parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(got.grad, expected.grad, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize(
    ("start", "count", "length"), [(0, 9, 9), (0, 3, 9), (4, 5, 9), (6, 2, 9), (0, 1, 1)]
)
def test_a_gpu_puts_each_product_where_a_processor_puts_it(start, count, length):
    left, right = min(4, start + count - 1), min(2, length - 1 - start)
    near = torch.randn(2, 3, count, left + right + 1)
    laid_out = attention._laid_out(near, start, length, left, right)
    assert laid_out.shape == (2, 3, count, length)
    torch.testing.assert_close(attention._gathered(near, start, length, left, right), laid_out)


def test_other_position_embeddings_keep_their_own_attention():
    model = network(position_embeddings_type="rotary")
    assert use_fast_attention(model) == 0
    assert not any(isinstance(module, RelativeKeyAttention) for module in model.modules())


def test_padding_does_not_change_what_is_read():
    model = network()
    use_fast_attention(model)
    features = torch.randn(1, 20, 160)
    padded = torch.cat([features, torch.randn(1, 13, 160)], dim=1)
    mask = torch.tensor([[1] * 20 + [0] * 13])
    with torch.no_grad():
        alone = model(features, attention_mask=mask[:, :20]).logits
        among = model(padded, attention_mask=mask).logits[:, :20]
    torch.testing.assert_close(among, alone, atol=1e-5, rtol=1e-4)
