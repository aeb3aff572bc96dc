import pytest
import torch

from codex_worker.asr.networks.build import build_model, tiny_config
from codex_worker.asr.precision import fastest_precision, with_precision
from codex_worker.asr.vocabulary import build_vocabulary

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16"), (False, "fp32")])
def test_a_processor_reads_with_what_it_multiplies_fastest(monkeypatch, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert fastest_precision(CPU) == expected


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float32), ("fp32", torch.float32)]
)
def test_the_network_reads_in_the_numbers_that_were_chosen(precision, dtype):
    model = with_precision(build_model(tiny_config(build_vocabulary(["god made all"]))), precision, CPU)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert not model.training
