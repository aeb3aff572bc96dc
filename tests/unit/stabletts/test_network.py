"""The network in use: batches, lengths, types, devices of memory, and what may not be left behind."""

import copy

import pytest
import torch

from codex_worker.errors import DataError, ModelError
from codex_worker.stabletts import attention
from codex_worker.stabletts.alignment import alignment_scores, durations, expand
from codex_worker.stabletts.attention import attend
from codex_worker.stabletts.configuration import FULL, TINY, VocosSettings
from codex_worker.stabletts.dropout import dropout
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.vocos import Vocos

CPU = torch.device("cpu")
LENGTHS = torch.tensor([9, 1, 5])


def close(actual, expected, atol=1e-5):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


@pytest.fixture
def tiny():
    """A tiny network whose every parameter matters: none of the zeros that it starts from."""
    torch.manual_seed(3)
    network = StableTTS(TINY).eval()
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def text(rows, length):
    return torch.randint(1, 400, (rows, length), generator=torch.Generator().manual_seed(5))


def seeds(*numbers):
    return [torch.Generator().manual_seed(number) for number in numbers]


def batch(rows=3, symbols=9, frames=40, generator_seed=1):
    generator = torch.Generator().manual_seed(generator_seed)
    mel = torch.randn(rows, 128, frames, generator=generator)
    return text(rows, symbols), mel, torch.randn(rows, 128, 12, generator=generator)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4"])
def test_an_utterance_sounds_the_same_alone_and_in_a_batch(tiny, solver):
    ids, _, reference = batch()
    speakers = tiny.speaker(reference, torch.tensor([12, 7, 4]))
    settings = {"steps": 3, "solver": solver, "guidance": 2.0}
    together = tiny.synthesise(ids, LENGTHS, speakers, generator=seeds(1, 2, 3), **settings)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = tiny.synthesise(
            ids[row : row + 1, :length],
            LENGTHS[row : row + 1],
            speakers[row : row + 1],
            generator=seeds(row + 1),
            **settings,
        )
        frames = int(alone.mel_lengths)
        assert int(together.mel_lengths[row]) == frames
        close(together.mel[row, :, :frames], alone.mel[0])
        assert not together.mel[row, :, frames:].any()


@pytest.mark.slow
def test_dopri5_solves_the_rows_of_a_batch_apart(tiny):
    ids, _, reference = batch(rows=2, symbols=2)
    speakers = tiny.speaker(reference, torch.tensor([12, 12]))
    lengths = torch.tensor([2, 1])
    together = tiny.synthesise(ids, lengths, speakers, solver="dopri5", guidance=1.0, generator=seeds(1, 2))
    alone = tiny.synthesise(
        ids[1:, :1], lengths[1:], speakers[1:], solver="dopri5", guidance=1.0, generator=seeds(2)
    )
    close(together.mel[1, :, : int(alone.mel_lengths)], alone.mel[0], atol=5e-3)  # rounding chooses the steps


def test_a_voice_is_the_same_alone_and_in_a_batch(tiny):
    _, _, reference = batch()
    together = tiny.speaker(reference, torch.tensor([12, 7, 4]))
    for row, length in enumerate([12, 7, 4]):
        close(
            together[row : row + 1],
            tiny.speaker(reference[row : row + 1, :, :length], torch.tensor([length])),
        )


def test_padding_changes_neither_losses_nor_gradients(tiny):
    ids, mel, reference = batch(rows=1)
    lengths = (torch.tensor([9]), torch.tensor([40]), torch.tensor([12]))

    def gradients(extra):
        def padded(x):
            return torch.nn.functional.pad(x, (0, extra), value=3)

        tiny.zero_grad()
        draws = _draws(mel, extra)
        losses = tiny.losses_for(
            padded(ids), lengths[0], padded(mel), lengths[1], padded(reference), lengths[2], draws
        )
        losses["total"].backward()
        return losses, torch.cat([parameter.grad.flatten() for parameter in tiny.parameters()])

    plain, plain_gradient = gradients(0)
    padded, padded_gradient = gradients(6)
    for name, value in plain.items():
        torch.testing.assert_close(padded[name], value, rtol=1e-4, atol=0)
    assert (plain_gradient - padded_gradient).norm() <= 1e-4 * plain_gradient.norm()


def _draws(mel, extra):
    from codex_worker.stabletts.network import Draws

    noise = torch.randn(mel.shape[0], mel.shape[2], mel.shape[1], generator=torch.Generator().manual_seed(2))
    return Draws(
        torch.tensor([True]), torch.tensor([0.4]), torch.nn.functional.pad(noise, (0, 0, 0, extra), value=5)
    )


def test_losses_follow_from_the_generator(tiny):
    ids, mel, reference = batch()
    lengths = (LENGTHS, torch.tensor([40, 30, 20]), torch.tensor([12, 7, 4]))

    def total(seed):
        (generator,) = seeds(seed)
        return tiny.losses(ids, lengths[0], mel, lengths[1], reference, lengths[2], generator)["total"]

    assert torch.equal(total(1), total(1))
    assert not torch.equal(total(1), total(2))


def test_a_recording_shorter_than_its_text_is_refused_with_both_numbers(tiny):
    ids, mel, reference = batch(rows=1, frames=8)
    with pytest.raises(DataError, match=r"8 mel frames for 9 symbols"):
        tiny.losses(ids, torch.tensor([9]), mel, torch.tensor([8]), reference, torch.tensor([12]))


def test_a_voice_that_would_never_end_is_refused(tiny):
    torch.nn.init.constant_(tiny.dp.proj.bias, 50.0)
    with pytest.raises(ModelError, match="another checkpoint"):
        tiny.synthesise(text(1, 3), torch.tensor([3]), tiny.fake_speaker)


def test_training_goes_on_after_speaking(tiny):
    ids, mel, reference = batch()
    with torch.inference_mode():
        tiny.synthesise(ids, LENGTHS, tiny.fake_speaker, steps=2)
    tiny.train()
    lengths = (LENGTHS, torch.tensor([40, 40, 40]), torch.tensor([12, 12, 12]))
    tiny.losses(ids, lengths[0], mel, lengths[1], reference, lengths[2])["total"].backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in tiny.parameters()
    )


@pytest.mark.parametrize("change", ["in place", "through data", "loaded"])
def test_changed_weights_are_heard(tiny, change):
    def speak():
        return tiny.synthesise(
            text(1, 4), torch.tensor([4]), tiny.fake_speaker, steps=2, generator=seeds(1)[0]
        ).mel

    before = speak()
    weight = tiny.decoder.estimator.blocks[0].block.attn.conv_v.weight
    if change == "in place":
        with torch.no_grad():
            weight.mul_(2)
    elif change == "through data":
        weight.data.mul_(2)
        tiny.train().eval()
    else:
        state = {name: value.clone() for name, value in tiny.state_dict().items()}
        state["decoder.estimator.blocks.0.block.attn.conv_v.weight"] *= 2
        tiny.load_state_dict(state)
    assert (speak() - before).abs().max() > 1e-4
    torch.testing.assert_close(copy.deepcopy(tiny).state_dict(), tiny.state_dict())


HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@HALVES
def test_speaking_in_halved_numbers_is_near_float32(tiny, dtype):
    ids, _, reference = batch()
    speakers = tiny.speaker(reference, torch.tensor([12, 7, 4]))

    def speak():
        return tiny.synthesise(ids, LENGTHS, speakers, steps=4, guidance=2.0, generator=seeds(1, 2, 3))

    exact = speak()
    with torch.autocast("cpu", dtype):
        rough = speak()
    if torch.equal(exact.mel_lengths, rough.mel_lengths):
        assert (rough.mel - exact.mel).norm() < 0.05 * exact.mel.norm()
    assert rough.mel.dtype == torch.float32 and rough.mel.isfinite().all()


@HALVES
def test_training_in_halved_numbers_gives_finite_gradients_of_the_parameters_own_type(tiny, dtype):
    ids, mel, reference = batch()
    lengths = (LENGTHS, torch.tensor([40, 30, 20]), torch.tensor([12, 7, 4]))
    with torch.autocast("cpu", dtype):
        losses = tiny.train().losses(ids, lengths[0], mel, lengths[1], reference, lengths[2])
    losses["total"].backward()
    for parameter in tiny.parameters():
        assert parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


def test_sliced_attention_is_the_same_with_its_gradients(monkeypatch):
    query, key, value = (torch.randn(2, 2, 10, 8, requires_grad=True) for _ in range(3))
    keys = torch.arange(10)[None, None, None, :] < torch.tensor([10, 6])[:, None, None, None]

    def run(limit):
        monkeypatch.setattr(attention, "MAX_SCORES", limit)
        out = attend(query, key, value, keys, 1e-12)
        return out, *torch.autograd.grad(out.square().sum(), (query, key, value))

    for whole, sliced in zip(run(10**9), run(120), strict=True):
        close(sliced, whole)
    close(run(120)[0], attend(query, key, value, keys, 0.0))


def test_a_long_utterance_trains_without_holding_all_its_attention_scores(tiny, monkeypatch):
    frames, limit, largest = 1500, 2**17, 0
    softmax = torch.Tensor.softmax

    def watched(scores, *arguments):
        nonlocal largest
        largest = max(largest, scores.numel())
        return softmax(scores, *arguments)

    monkeypatch.setattr(torch.Tensor, "softmax", watched)
    monkeypatch.setattr(attention, "MAX_SCORES", limit)
    ids, mel, reference = text(2, 9), torch.randn(2, 128, frames), torch.randn(2, 128, 12)
    lengths = (torch.tensor([9, 4]), torch.tensor([frames, 30]), torch.tensor([12, 12]))
    tiny.train().losses(ids, lengths[0], mel, lengths[1], reference, lengths[2])["total"].backward()
    assert 0 < largest <= limit < frames**2
    assert tiny.fake_content.grad is not None


@pytest.mark.parametrize("p_dropout", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_its_share_keeps_the_mean_and_passes_gradients_where_it_kept(p_dropout, dtype):
    torch.manual_seed(4)
    x = torch.full((301, 333), 2.0, dtype=dtype, requires_grad=True)
    dropped = dropout(x, p_dropout)
    deviation = (p_dropout * (1 - p_dropout) / x.numel()) ** 0.5
    assert abs(float((dropped == 0).double().mean()) - p_dropout) < 5 * deviation
    scale = torch.tensor(1 / (1 - p_dropout), dtype=dtype)
    torch.testing.assert_close(dropped[dropped != 0].unique(), (2 * scale)[None], rtol=1e-4, atol=0)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach() / 2, rtol=1e-4, atol=0)
    torch.testing.assert_close(dropout(x, p_dropout, training=False), x)


def test_dropout_decides_each_element_apart():
    torch.manual_seed(4)
    kept = (dropout(torch.ones(100_003), 0.5) != 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8, 64):
        assert abs(float((kept[distance:] * kept[:-distance]).mean())) < 5 * 0.25 / 100_003**0.5


def test_dropout_follows_from_torchs_own_state():
    x = torch.ones(1000)
    state = torch.get_rng_state()
    first, second = dropout(x, 0.1), dropout(x, 0.1)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x, 0.1), first) and not torch.equal(first, second)


@pytest.mark.parametrize(
    ("build", "table"),
    [(lambda: StableTTS(FULL), "published_network"), (lambda: Vocos(VocosSettings()), "published_vocos")],
)
def test_a_state_dict_with_the_published_keys_and_shapes_loads_strictly(build, table, request):
    shapes = request.getfixturevalue(table)
    with torch.device("meta"):
        model = build()
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    model.load_state_dict(state, strict=True, assign=True)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == shapes


def test_the_tiny_preset_is_tiny():
    assert 100_000 < sum(parameter.numel() for parameter in StableTTS(TINY).parameters()) < 900_000


def brute_force(scores):
    """The best path by trying every one, earlier beginnings of later symbols first."""
    n_symbols, n_frames = scores.shape
    from itertools import combinations

    def total(cuts):
        bounds = (0, *cuts, n_frames)
        return sum(float(scores[s, bounds[s] : bounds[s + 1]].sum()) for s in range(n_symbols))

    paths = list(combinations(range(1, n_frames), n_symbols - 1))
    best = max(map(total, paths))
    # Walking back, a symbol is left as late as possible: the last symbol begins first of all, then the one
    # before it.
    cuts = min((p for p in paths if total(p) == best), key=lambda p: tuple(reversed(p)))
    return [b - a for a, b in zip((0, *cuts), (*cuts, n_frames), strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_alignment_finds_the_best_path_and_ties_stay(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 2, (3, 4, 8), generator=generator).float()
    symbols, frames = Padding.of([4, 2, 1], 4, CPU), Padding.of([8, 7, 3], 8, CPU)
    found = durations(scores, symbols, frames)
    for row, (n_symbols, n_frames) in enumerate(zip(symbols.lengths, frames.lengths, strict=True)):
        assert found[row, :n_symbols].tolist() == brute_force(scores[row, :n_symbols, :n_frames])
        assert not found[row, n_symbols:].any()


def test_symbols_are_spread_over_their_frames():
    values = torch.tensor([[[1.0], [2.0], [3.0]]])
    spread = expand(values, torch.tensor([[2, 0, 1]]), 5)
    assert spread[0, :, 0].tolist() == [1, 1, 3, 0, 0]


def test_scores_prefer_the_nearest_mean():
    mean = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    assert alignment_scores(mean, mean).argmax(1).tolist() == [[0, 1]]
