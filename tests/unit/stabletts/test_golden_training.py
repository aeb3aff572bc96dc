"""Losses and gradients are those of the published implementation."""

import pytest
import torch

from codex_worker.stabletts.flow import SIGMA_MIN, training_time
from codex_worker.stabletts.network import Draws


def golden_draws(golden):
    return Draws(
        keep=golden["train.u_cfg"][:, 0] > 0.2,
        time=training_time(golden["train.u_t"][:, 0, 0]),
        noise=golden["train.z"].transpose(1, 2),
    )


def golden_losses(network, golden):
    names = ("in.x", "in.x_lengths", "in.y", "in.y_lengths", "in.z", "in.z_lengths")
    return network.losses_for(*(golden[name] for name in names), golden_draws(golden))


def padded_target_energy(golden):
    """What the reference's flow loss counts behind the rows' ends, where its target is the bare noise."""
    total = 0.0
    for row, length in enumerate(golden["in.y_lengths"].tolist()):
        target = golden["in.y"][row] - (1 - SIGMA_MIN) * golden["train.z"][row]
        total += target[:, length:].square().sum()
    return total / (golden["in.y_lengths"].sum() * golden["in.y"].shape[1])


def test_losses(golden, leaky_network):
    losses = golden_losses(leaky_network, golden)
    torch.testing.assert_close(losses["duration"], golden["train.dur_loss"][0], rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["prior"], golden["train.prior_loss"][0], rtol=1e-4, atol=0)
    expected = golden["train.diff_loss"][0] - padded_target_energy(golden)
    torch.testing.assert_close(losses["flow"], expected, rtol=1e-4, atol=0)


def test_gradients(golden, leaky_network):
    golden_losses(leaky_network, golden)["total"].backward()
    gradients = {name: parameter.grad for name, parameter in leaky_network.named_parameters()}
    names = golden.names("train.grad_names")
    assert set(names) == set(gradients)
    norms = torch.stack([gradients[name].double().norm() for name in names])
    torch.testing.assert_close(norms, golden["train.grad_norms"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "encoder.emb.weight",
        "encoder.encoder.0.attn.conv_q.weight",
        "decoder.estimator.blocks.3.block.mlp.conv_1.weight",
        "decoder.estimator.lsc_layers.0.weight",
        "fake_speaker",
        "fake_content",
        "dp.conv1.weight",
        "ref_encoder.fc.weight",
        "ref_encoder.slf_attn.in_proj_weight",
    ],
)
def test_gradient_of(golden, leaky_network, name):
    golden_losses(leaky_network, golden)["total"].backward()
    gradient, expected = leaky_network.get_parameter(name).grad, golden[f"train.grad.{name}"]
    assert (gradient - expected).norm() <= 1e-4 * expected.norm()


def test_losses_stay_near_the_reference_without_its_leaks(golden, network):
    losses = golden_losses(network, golden)
    torch.testing.assert_close(losses["duration"], golden["train.dur_loss"][0], rtol=1e-2, atol=0)
    torch.testing.assert_close(losses["prior"], golden["train.prior_loss"][0], rtol=1e-2, atol=0)
    expected = golden["train.diff_loss"][0] - padded_target_energy(golden)
    torch.testing.assert_close(losses["flow"], expected, rtol=1e-2, atol=0)
