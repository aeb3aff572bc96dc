"""Batches of a few shapes, whose lengths only the device knows: the losses are those of plain batches."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codex_worker.errors import SystemFault
from codex_worker.stabletts import network as network_module
from codex_worker.stabletts.configuration import TINY, MelSettings
from codex_worker.stabletts.dataset import Dataset, EncodedUtterance
from codex_worker.stabletts.network import Draws, StableTTS
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.shapes import FRAME_STEP, SYMBOL_STEP, BatchShape, BatchShapes
from codex_worker.training.batches import batches_by_length

SIZES = [(5, 40), (9, 63), (3, 30)]  # symbols and frames


@pytest.fixture
def kept_there(monkeypatch):
    """Lengths are treated as if they lay on a GPU: nobody looks at them."""

    def of(lengths, size, device, dtype=torch.float32):
        return Padding.on_device(lengths, size, dtype)

    monkeypatch.setattr(network_module.Padding, "of", of)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("mels") / "mels.f16"
    rng = np.random.default_rng(3)
    total = sum(frames for _, frames in SIZES)
    (rng.standard_normal((total, 128)) * 2 - 5).astype(np.float16).tofile(path)
    utterances, at = [], 0
    for number, (symbols, frames) in enumerate(SIZES):
        ids = tuple(int(each) for each in rng.integers(1, 60, symbols))
        utterances.append(EncodedUtterance(f"v{number}", f"GEN 1:{number}", "text", ids, at, frames))
        at += frames
    return Dataset(tuple(utterances), path, MelSettings(), (), ())


@pytest.fixture(scope="module")
def voice():
    torch.manual_seed(4)
    network = StableTTS(TINY)
    for parameter in network.parameters():  # those that begin at zero would hide what flows through them
        if not parameter.any():
            torch.nn.init.normal_(parameter, 0.0, 0.05)
    return network.eval()  # dropout would draw other places in other shapes


def draws(rows, frames):
    generator = torch.Generator().manual_seed(6)
    drawn = Draws.from_generator(torch.empty(len(SIZES), 63, 128), generator)
    noise = torch.full((rows, frames, 128), 7.0)  # must not be heard behind a row's end
    noise[: len(SIZES), :63] = drawn.noise
    more = rows - len(SIZES)
    return Draws(
        torch.cat([drawn.keep, torch.ones(more, dtype=torch.bool)]),
        torch.cat([drawn.time, torch.full((more,), 0.5)]),
        noise,
    )


def losses_and_gradients(voice, batch):
    network = copy.deepcopy(voice)
    found = network.losses_for(
        batch.ids, batch.id_lengths, batch.mel, batch.mel_lengths, batch.reference, batch.reference_lengths,
        draws(*batch.stored_mel.shape[:2]),
    )  # fmt: skip
    found["total"].backward()
    return found, {name: each.grad for name, each in network.named_parameters()}


def loaded(data, shape=None):
    return data.collate(data.utterances, torch.Generator().manual_seed(8), shape)


def assert_equal_results(one, other, loss_bound, gradient_bound):
    for name, value in one[0].items():
        assert abs(value.item() - other[0][name].item()) <= loss_bound, name
    for name, gradient in one[1].items():
        bound = gradient_bound * max(1.0, gradient.norm().item())
        assert (gradient - other[1][name]).norm().item() <= bound, name


def test_lengths_that_nobody_looks_at_give_the_same_losses_and_gradients(data, voice, request):
    plain = losses_and_gradients(voice, loaded(data))
    request.getfixturevalue("kept_there")
    assert_equal_results(plain, losses_and_gradients(voice, loaded(data)), 1e-6, 1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        BatchShape(3, 32, 64, 32),
        BatchShape(3, 9, 128, 21),
        BatchShape(5, 32, 64, 32),
        BatchShape(4, 64, 192, 64),
    ],
)
def test_padding_to_a_fixed_shape_changes_no_loss_and_no_gradient(data, voice, kept_there, shape):
    plain = losses_and_gradients(voice, loaded(data))
    padded = losses_and_gradients(voice, loaded(data, shape))
    assert_equal_results(plain, padded, 1e-5, 1e-5)


def test_a_batch_of_a_fixed_shape_holds_the_plain_one_and_nothing_else(data):
    plain, padded = loaded(data), loaded(data, BatchShape(5, 32, 128, 64))
    assert [tuple(each.shape) for each in padded] == [(5, 32), (5,), (5, 128, 128), (5,), (5, 64, 128), (5,)]
    for mine, wide in zip(plain, padded, strict=True):
        room = tuple(slice(0, size) for size in mine.shape)
        assert torch.equal(wide[room], mine)
        rest = wide.clone()
        rest[room] = 0
        assert not rest.any()
    assert padded.mel.dtype == torch.float32 and padded.mel.shape == (5, 128, 128)


def test_a_file_that_lost_its_end_is_told_with_the_recordings_name(data, tmp_path):
    short = tmp_path / "short.f16"
    short.write_bytes(data.path.read_bytes()[:-1])
    cut = replace(data, path=short)
    cut.mel_of(cut.utterances[1])
    for read in (lambda: cut.mel_of(cut.utterances[2]), lambda: cut.collate(cut.utterances)):
        with pytest.raises(SystemFault, match="lost the end of GEN 1:2"):
            read()


@given(
    st.lists(st.tuples(st.integers(1, 2500), st.floats(0.05, 1.0)), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(100, 20_000),
    st.integers(1, 24),
    st.integers(0, 3),
)
def test_every_batch_fits_its_shape_and_shapes_are_few(utterances, most_items, most_frames, most, seed):
    sizes = [(frames, max(1, int(frames * share))) for frames, share in utterances]
    shapes = BatchShapes(sizes, most_items, most_frames, most=most)
    lengths = [frames for frames, _ in sizes]
    batches = batches_by_length(lengths, max_total=most_frames, max_items=most_items, seed=seed, shuffle=True)
    found = set()
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        shape = shapes.holding(longest)
        found.add(shape)
        assert len(batch) <= shape.rows <= most_items
        assert longest <= shape.frames and shape.frames % FRAME_STEP == 0
        assert max(sizes[index][1] for index in batch) <= shape.symbols and shape.symbols % SYMBOL_STEP == 0
        assert all(
            max(length // 3, min(length, 11)) <= shape.reference for length in lengths if length <= longest
        )
    assert len(found) <= most
