"""The benchmark of a transcriber's updates runs before anybody pays for a GPU's minutes."""

import copy

import pytest
import torch

from bench.flex_attention import use_flex_attention
from bench.gpu_transcriber import CONVOLUTIONS, TINY_SIZE, SameRecordings, measure, network
from codex_worker.asr.networks.w2v2bert_convolution import WIDE, causal_depthwise


def test_every_part_runs_on_a_processor():
    report = measure(60.0, tiny=True, device="cpu")
    assert (report.failed, report.left_out) == ({}, [])
    assert list(report.figures) == [
        "training, autocast",
        "training, masters",
        "training, transformers sdpa",
        "reading, ours",
        "reading, transformers sdpa",
        "convolution, per channel",
        "convolution, channels last",
        "convolution, shifted sum",
    ]
    assert all(part["audio_s_per_s"] > 0 for part in report.figures.values())


def test_parts_that_would_begin_too_late_are_named_and_not_begun():
    report = measure(0.0, tiny=True, device="cpu")
    assert report.figures == {}
    assert len(report.left_out) == 8


def test_flex_attention_reads_the_distance_bias_as_our_attention_does():
    ours = network(tiny=True, fast=True).eval()
    flexible = copy.deepcopy(ours)
    assert use_flex_attention(flexible, is_compiled=False) == 2
    with torch.no_grad():
        expected, got = (SameRecordings(model, TINY_SIZE).logits() for model in (ours, flexible))
    heard = SameRecordings(ours, TINY_SIZE).mask.bool()
    torch.testing.assert_close(got[heard], expected[heard], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [8, WIDE])
@pytest.mark.parametrize("way", list(CONVOLUTIONS))
def test_every_way_to_convolve_gives_the_networks_numbers_and_gradients(way, channels):
    draws = torch.Generator().manual_seed(1)
    found = []
    for convolve in (causal_depthwise, CONVOLUTIONS[way]):
        frames = torch.randn(2, 40, channels, generator=draws.manual_seed(1)).requires_grad_()
        weight = torch.randn(channels, 1, 5, generator=draws).requires_grad_()
        made = convolve(frames, weight)
        made.square().sum().backward()
        found.append((made, frames.grad, weight.grad))
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=1e-4)
