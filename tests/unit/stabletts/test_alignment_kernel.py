"""The kernel that aligns on a GPU finds what the plain code finds; here in triton's interpreter."""

import importlib
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_worker.stabletts import alignment
from codex_worker.stabletts.alignment import durations, durations_by_symbol
from codex_worker.stabletts.padding import Padding

CPU = torch.device("cpu")
MODULE = "codex_worker.stabletts.alignment_kernel"


@pytest.fixture(scope="module")
def by_kernel():
    """The kernel as the interpreter runs it: triton decides when a kernel is declared."""
    pytest.importorskip("triton")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        patch.delitem(sys.modules, MODULE, raising=False)
        module = importlib.import_module(MODULE)
        yield module.durations_by_kernel
        sys.modules.pop(MODULE)


def both(by_kernel, scores, n_symbols, n_frames):
    paddings = Padding.of(n_symbols, scores.shape[1], CPU), Padding.of(n_frames, scores.shape[2], CPU)
    plain = durations_by_symbol(scores, *paddings)
    assert plain.sum(1).tolist() == list(n_frames)
    return by_kernel(scores, torch.tensor(n_symbols), torch.tensor(n_frames)), plain


@pytest.mark.parametrize(
    ("n_symbols", "n_frames"),
    [
        ([1], [1]),
        ([1], [7]),
        ([5], [5]),
        ([2], [3]),
        ([1, 3, 6], [6, 6, 6]),
        ([17, 16, 1], [40, 16, 33]),
        ([33], [70]),
        ([4, 9, 2, 9], [20, 9, 13, 10]),
    ],
)
@pytest.mark.parametrize("kind", ["likelihoods", "ties", "all equal", "far apart"])
def test_the_kernel_finds_the_durations_of_the_plain_code(by_kernel, n_symbols, n_frames, kind):
    generator = torch.Generator().manual_seed(len(n_symbols) + max(n_frames))
    shape = (len(n_symbols), max(n_symbols) + 2, max(n_frames) + 3)
    scores = {
        "likelihoods": lambda: torch.randn(shape, generator=generator) * 30 - 200,
        "ties": lambda: torch.randint(0, 2, shape, generator=generator).float(),
        "all equal": lambda: torch.full(shape, -3.25),
        "far apart": lambda: torch.randint(-(2**20), 2**20, shape, generator=generator) / 8.0,
    }[kind]()
    found, plain = both(by_kernel, scores, n_symbols, n_frames)
    assert torch.equal(found, plain)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whatever_the_shapes_paths_and_ties_the_durations_are_equal(by_kernel, data):
    rows = data.draw(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 9)), min_size=1, max_size=3))
    n_symbols, n_frames = [one for one, _ in rows], [one + more for one, more in rows]
    width, height = (
        max(n_symbols) + data.draw(st.integers(0, 3)),
        max(n_frames) + data.draw(st.integers(0, 3)),
    )
    size = len(rows) * width * height
    values = data.draw(st.lists(st.integers(-9, 9), min_size=size, max_size=size))
    scores = torch.tensor(values, dtype=torch.float32).view(len(rows), width, height) / 4
    found, plain = both(by_kernel, scores, n_symbols, n_frames)
    assert torch.equal(found, plain)


def test_sums_of_many_frames_lose_no_digits(by_kernel):
    """In float32 sums what an early beginning costs would be rounded away."""
    scores = torch.full((1, 2, 60), 2.0**20)
    scores[0, 1, :30] -= 0.125
    found, plain = both(by_kernel, scores, [2], [60])
    assert found.tolist() == plain.tolist() == [[30, 30]]


def test_a_row_that_only_fills_the_batch_has_no_durations_and_disturbs_none(by_kernel):
    scores = torch.randn(3, 5, 9, generator=torch.Generator().manual_seed(1))
    n_symbols, n_frames = torch.tensor([4, 0, 5]), torch.tensor([9, 0, 6])
    found = by_kernel(scores, n_symbols, n_frames)
    plain = durations_by_symbol(scores, Padding.on_device(n_symbols, 5), Padding.on_device(n_frames, 9))
    assert torch.equal(found, plain)
    assert found[1].tolist() == [0] * 5 and found.sum(1).tolist() == [9, 0, 6]


def test_scores_that_are_no_numbers_stay_within_the_tables(by_kernel):
    """A network that has diverged: its update is left out, but the search must not leave its memory."""
    found = by_kernel(torch.full((1, 4, 8), float("nan")), torch.tensor([4]), torch.tensor([8]))
    assert found.min() >= 0 and found.sum() <= 8


def test_without_a_gpu_nothing_asks_for_triton(monkeypatch):
    monkeypatch.setattr(alignment, "proven_kernel", lambda device: pytest.fail("asked for the kernel"))
    scores = torch.randn(1, 2, 4)
    assert durations(scores, Padding.of([2], 2, CPU), Padding.of([4], 4, CPU)).sum() == 4


def no_compiler(*_):
    raise RuntimeError("Failed to find C compiler.")


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (None, None),
        (no_compiler, "more slowly: Failed to find C compiler"),
        (lambda scores, symbols, frames: torch.ones(2, 5, dtype=torch.int64), "computes wrongly here"),
    ],
    ids=["right", "not compiled", "wrong"],
)
def test_a_kernel_is_used_only_after_it_has_proven_itself(by_kernel, monkeypatch, caplog, kernel, said):
    alignment.proven_kernel.cache_clear()
    if kernel is not None:
        monkeypatch.setattr(sys.modules[MODULE], "durations_by_kernel", kernel)
    found = alignment.proven_kernel(CPU)
    alignment.proven_kernel.cache_clear()
    if said is None:
        assert found is by_kernel and not caplog.records
    else:
        assert found is None and said in caplog.text


def test_without_triton_the_slower_way_is_used_and_said(monkeypatch, caplog):
    alignment.proven_kernel.cache_clear()
    monkeypatch.setitem(sys.modules, MODULE, None)
    assert alignment.proven_kernel(CPU) is None
    alignment.proven_kernel.cache_clear()
    assert "more slowly" in caplog.text


@pytest.mark.parametrize("capability", [75, 90])
def test_the_compiler_for_gpus_takes_the_kernel(capability, tmp_path, monkeypatch):
    """The interpreter lets more pass than the compiler does."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    search = importlib.import_module(MODULE)._search
    kinds = ["*fp32", "*i64", "*i64", "*fp64", "*i8", "*i64", "i32", "i32", "constexpr"]
    source = ASTSource(search, dict(zip(search.arg_names, kinds, strict=True)), {"BLOCK": 256})
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    assert made.asm["cubin"]
    assert made.asm["ptx"].count("bar.sync") >= 2, "neighbours meet, and the way back waits for the way there"
