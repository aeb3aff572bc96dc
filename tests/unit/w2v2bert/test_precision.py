import pytest
import torch

from codex_worker.errors import UserError
from codex_worker.w2v2bert.model import build_model, full_config, tiny_config
from codex_worker.w2v2bert.precision import fastest_precision, with_precision
from codex_worker.w2v2bert.vocabulary import build_vocabulary

LETTERS = build_vocabulary(["god made all"])
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("amx", "vnni", "expected"),
    [(True, True, "bf16"), (False, True, "int8"), (False, False, "fp32")],
)
def test_a_processor_reads_with_what_it_multiplies_fastest(monkeypatch, amx, vnni, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    with torch.device("meta"):
        wide = build_model(full_config(LETTERS, layers=1))
    assert fastest_precision(wide, CPU) == expected
    assert fastest_precision(wide, torch.device("cuda")) == "bf16"


def test_a_small_network_gains_nothing_from_int8(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert fastest_precision(build_model(tiny_config(LETTERS)), CPU) == "fp32"


@pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="this processor has no int8 products")
def test_int8_is_near_and_leaves_the_network_that_it_came_from():
    torch.manual_seed(0)
    model = build_model(tiny_config(LETTERS)).eval()
    features = torch.randn(1, 60, 160)
    with torch.inference_mode():
        exact = model(features).logits
        rounded = with_precision(model, "int8", CPU)(features).logits
        assert torch.equal(model(features).logits, exact)
    assert not torch.equal(rounded, exact)
    assert (rounded - exact).norm() < 0.1 * exact.norm()


def test_int8_on_a_gpu_is_refused():
    with pytest.raises(UserError, match="processors only"):
        with_precision(build_model(tiny_config(LETTERS)), "int8", torch.device("cuda"))
