"""Every part of the network gives the numbers of the published implementation."""

import pytest
import torch

from codex_worker.stabletts.alignment import alignment_scores, durations
from codex_worker.stabletts.mel import LogMel, slaney_filterbank
from codex_worker.stabletts.padding import Padding

CPU = torch.device("cpu")


def close(actual, expected, atol=1e-5):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def valid(lengths, *tensors):
    """Cut each [B, C, T] tensor to the rows' real positions."""
    return [
        torch.cat([row[:, :length] for row, length in zip(t, lengths.tolist(), strict=True)], 1)
        for t in tensors
    ]


def channels_last(x):
    return x.transpose(1, 2)


def test_mel_filterbank(golden, mel_settings):
    assert torch.equal(slaney_filterbank(mel_settings), golden["mel.filterbank"])


def test_mel_of_a_recording(golden, mel_settings):
    close(LogMel(mel_settings)(golden["mel.in_wav"]), golden["mel.out"])


@torch.no_grad()
def test_reference_encoder_on_an_unpadded_row(golden, network):
    speaker = network.speaker(golden["in.z"][:1], golden["in.z_lengths"][:1])
    close(speaker, golden["ref_encoder.masked"][:1])
    close(speaker, golden["ref_encoder.unmasked_row0"])


@torch.no_grad()
def test_text_encoder_and_its_blocks(golden, network, outputs):
    padding = golden.padding("in.x_lengths", "in.x")
    blocks = [outputs(block) for block in network.encoder.encoder]
    hidden, mean = network.encoder(golden["in.x"], golden["ref_encoder.masked"], padding)
    lengths = golden["in.x_lengths"]
    for name, actual in (
        ("encoder.block0", blocks[0][0]),
        ("encoder.block1", blocks[1][0]),
        ("encoder.hidden", hidden),
        ("encoder.mu_x", mean),
    ):
        close(*valid(lengths, channels_last(actual), golden[name]))
    close(channels_last(padding.mask), golden["encoder.x_mask"])


@torch.no_grad()
def test_duration_predictor(golden, network):
    padding = golden.padding("in.x_lengths", "in.x")
    hidden = channels_last(golden["encoder.hidden"])
    close(network.dp(hidden, golden["ref_encoder.masked"], padding)[:, None], golden["dp.logw"])


@pytest.mark.parametrize(
    ("scores", "path"), [("mas.neg_cent", "mas.path"), ("mas.random_scores", "mas.random_path")]
)
def test_alignment_paths_are_equal(golden, scores, path):
    symbols = golden.padding("in.x_lengths", "in.x")
    frames = golden.padding("in.y_lengths", "in.y")
    found = durations(channels_last(golden[scores]), symbols, frames)
    assert torch.equal(found, golden[path].sum(1).long())


def test_alignment_of_mean_frames_without_terms_of_the_frame_alone(golden):
    symbols = golden.padding("in.x_lengths", "in.x")
    frames = golden.padding("in.y_lengths", "in.y")
    scores = alignment_scores(channels_last(golden["encoder.mu_x"]), channels_last(golden["in.y"]))
    assert torch.equal(durations(scores, symbols, frames), golden["mas.durations"].long())


@torch.no_grad()
def test_estimator_and_its_parts_on_an_unpadded_row(golden, network, outputs):
    estimator = network.decoder.estimator
    x, mean = (channels_last(golden[f"estimator.in_{name}"][:1]) for name in ("x", "mu"))
    time, speaker = golden["estimator.in_t"][:1], golden["estimator.in_c"][:1]
    padding = Padding.of([x.shape[1]], x.shape[1], CPU)
    parts = {f"block{index}": outputs(layer) for index, layer in enumerate(estimator.blocks)}
    parts |= {f"lsc{index}": outputs(layer) for index, layer in enumerate(estimator.lsc_layers)}
    velocity = estimator(time, x, mean, speaker, padding)
    for name, seen in parts.items():
        close(channels_last(seen[0]), golden[f"estimator.{name}"][:1])
    close(estimator.time_mlp(golden["estimator.in_t"]), golden["estimator.time_mlp"])
    close(channels_last(estimator.project_content(mean, padding)), golden["estimator.cond_proj"][:1])
    conditions = estimator.conditions(mean, speaker, padding)
    close(channels_last(estimator.project_input(x, conditions)), golden["estimator.in_proj"][:1])
    close(channels_last(velocity), golden["estimator.out"][:1])


@torch.no_grad()
def test_vocos(golden, vocos):
    mel = golden["vocos.in_mel"]
    padding = Padding.of([64, 64], 64, CPU)
    close(vocos.backbone(channels_last(mel), padding), golden["vocos.backbone"])
    close(vocos(mel, [64, 64]), golden["vocos.wav"])
