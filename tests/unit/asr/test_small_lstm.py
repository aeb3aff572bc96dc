"""The network of preset tiny reads each recording as if it were alone, from both ends."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from codex_worker.asr.networks.build import build_model, config_from, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.errors import DataError

VOCABULARY = build_vocabulary(["god made all"])


def network():
    torch.manual_seed(0)
    return build_model(tiny_config(VOCABULARY)).eval()


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(1, 2, 3), (40, 40), (75, 1, 30, 74), (625, 515)])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-3)])
def test_a_batch_says_what_each_recording_says_alone_whatever_lies_behind_its_end(lengths, dtype, close):
    model = network().to(dtype)
    rows = [torch.randn(length, 320) for length in lengths]
    inputs = torch.full((len(lengths), max(lengths), 320), 7.0)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for place, each in enumerate(rows):
        inputs[place, : len(each)], mask[place, : len(each)] = each, 1
    together = model(inputs.to(dtype), attention_mask=mask).logits
    for place, each in enumerate(rows):
        alone = model(each[None].to(dtype)).logits[0]
        torch.testing.assert_close(together[place, : len(each)], alone, atol=close, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("changed", [0, 39])
def test_what_is_said_at_one_end_can_change_how_the_other_end_is_read(changed):
    model, rows = network(), torch.randn(1, 40, 320)
    before = model(rows).logits
    rows[0, changed] += 1.0
    assert (model(rows).logits - before)[0, 39 - changed].abs().max() > 0


def test_its_configuration_is_read_back_as_it_is():
    config = tiny_config(VOCABULARY)
    assert config_from(config.to_dict()).to_dict() == config.to_dict()


def test_trying_a_configuration_out_does_not_go_through_it_row_by_row():
    """Without numbers torch takes an LSTM apart, into some dozens of operations for each row."""

    class Counts(TorchDispatchMode):
        operations = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.operations += 1
            return func(*args, **(kwargs or {}))

    fields = tiny_config(VOCABULARY).to_dict()
    with Counts() as counted:
        config_from(fields)
    assert counted.operations < 2000


@pytest.mark.parametrize(
    "change",
    [
        {"feature_projection_input_dim": 240},  # three frames cannot be halved to one
        {"num_hidden_layers": 10**6},
        {"hidden_size": -1},
        {"conv_width": 10**9},
        {"hidden_dropout": 2.0},
        {"hidden_size": "many"},
    ],
)
def test_a_configuration_that_no_network_has_is_refused(change):
    with pytest.raises(DataError, match="configuration"):
        config_from(tiny_config(VOCABULARY).to_dict() | change)
