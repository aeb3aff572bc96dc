"""A transcriber's updates and readings on a GPU: `python -m bench.gpu_transcriber [--seconds 110]`

Seconds of audio a second in training (16 recordings of about 10 s, 24 layers, updates as the loop makes them)
in several ways, and in transcription (16 of about 25 s), beside transformers' own network with its sdpa
attention in the same run. Parts that would begin too late are left out by name, one that fails does not cost
the others. Without a GPU, or with `--tiny`, a small network shows that the benchmark runs. One JSON object on
the last line.
"""

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, pad

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from bench.flex_attention import use_flex_attention
from bench.gpu_report import Report, run
from codex_worker.asr.evaluate import ctc_loss
from codex_worker.asr.networks.build import output_frames, use_fast_layers
from codex_worker.asr.networks.compiled import compiled_layers
from codex_worker.asr.networks.hearing import logits_of
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.training.parameters import groups_by_decay
from codex_worker.training.task import TrainingPrecision, TrainingSettings
from codex_worker.training.turns import turns_of
from tests.support.networks import full_config

VOCABULARY = build_vocabulary(["the quick brown fox jumps over the lazy dog"])
ROWS_A_SECOND, LETTERS_A_SECOND = 50, 12
TRAINED_ON, READ = (16, 512), (16, 1264)  # recordings, input rows of the longest
TINY_SIZE = (2, 32)
TRAINING: dict[str, tuple[TrainingPrecision, frozenset[str]]] = {
    "autocast": ("bf16", frozenset({"fast"})),
    "masters": ("bf16_weights", frozenset({"fast"})),
    "compiled": ("bf16_weights", frozenset({"fast", "compiled"})),
    "compiled autocast": ("bf16", frozenset({"fast", "compiled"})),
    "transformers sdpa": ("bf16", frozenset()),
    "flex": ("bf16_weights", frozenset({"fast", "flex"})),
}
"""Ways of training: the loop's precision, and what of ours the network has."""


class SameRecordings:
    """A task whose every batch is the same noise; recordings are up to a twelfth shorter than the longest."""

    def __init__(self, model: transformers.PreTrainedModel, size: tuple[int, int]) -> None:
        rows, longest = size
        self.model = model
        draws = torch.Generator().manual_seed(0)
        lengths = longest - torch.randint(0, longest // 12 + 1, (rows,), generator=draws)
        lengths[0] = longest
        self.mask = (torch.arange(longest) < lengths[:, None]).long()
        width = model.config.feature_projection_input_dim
        self.inputs = torch.randn(rows, longest, width, generator=draws) * self.mask[..., None]
        self.audio_s = float(lengths.sum()) / ROWS_A_SECOND
        self.frames = [output_frames(model, int(length)) for length in lengths]
        self.labels = [
            torch.randint(3, len(VOCABULARY), (max(1, frames // 4),), generator=draws).tolist()
            for frames in self.frames
        ]

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """All that there is."""
        return groups_by_decay(self.model)

    def batches(self, epoch: int) -> Sequence[Any]:
        """One."""
        return [None]

    def logits(self) -> Tensor:
        """What the network makes of the recordings."""
        return logits_of(self.model, self.inputs, self.mask)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """As for a transcriber."""
        return {"total": ctc_loss(self.logits(), self.frames, self.labels, VOCABULARY.blank_id)}

    def validate(self) -> dict[str, float]:
        """Nobody asks."""
        raise NotImplementedError

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Nobody asks."""
        raise NotImplementedError


def network(*, tiny: bool, fast: bool) -> transformers.PreTrainedModel:
    """Random weights of the published size, with our layers or transformers' own."""
    if tiny:
        config = transformers.Wav2Vec2BertConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            output_hidden_size=32,
            conv_depthwise_kernel_size=3,
            apply_spec_augment=False,
            layerdrop=0.0,
        )
    else:
        config = full_config(VOCABULARY)
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    model = transformers.Wav2Vec2BertForCTC(config)
    if fast:
        use_fast_layers(model)
    return model


def training(way: str, *, tiny: bool, device: str) -> dict[str, float]:
    """Milliseconds of an update among many, seconds of audio a second, and the most memory."""
    precision, ours = TRAINING[way]
    task = SameRecordings(
        network(tiny=tiny, fast="fast" in ours).to(device), TINY_SIZE if tiny else TRAINED_ON
    )
    if "flex" in ours:
        use_flex_attention(task.model, is_compiled=device == "cuda")
    task.model.train()
    settings = TrainingSettings(epochs=1, learning_rate=1e-7, precision=precision)
    (turn,) = turns_of(task, settings, torch.device(device))

    def update() -> None:
        taken = turn.take([None])
        torch.stack([taken.left_out, *taken.losses.values()]).tolist()

    with compiled_layers(task.model) if "compiled" in ours else nullcontext():
        return _timed(update, task.audio_s, device, count=1 if tiny else 10)


def reading(*, fast: bool, tiny: bool, device: str) -> dict[str, float]:
    """The same of a batch that is read, in bf16 on a GPU."""
    model = network(tiny=tiny, fast=fast).to(device).eval()
    task = SameRecordings(model, TINY_SIZE if tiny else READ)
    if device == "cuda":
        model.bfloat16()

    @torch.no_grad()
    def read() -> None:
        task.logits().argmax(-1).cpu()

    return _timed(read, task.audio_s, device, count=1 if tiny else 10)


def convolution(way: str, *, tiny: bool, device: str) -> dict[str, float]:
    """Milliseconds of a depthwise convolution of the published size in bf16, forward and backward."""
    rows, length = TINY_SIZE if tiny else TRAINED_ON
    channels, width = (32, 3) if tiny else (1024, 31)
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    frames = torch.randn(rows, length, channels, device=device, dtype=kind, requires_grad=True)
    weight = torch.randn(channels, 1, width, device=device, dtype=kind, requires_grad=True)

    def work() -> None:
        frames.grad = weight.grad = None
        CONVOLUTIONS[way](frames, weight).sum().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    return _timed(work, rows * length / ROWS_A_SECOND, device, count=1 if tiny else 20)


def _per_channel(frames: Tensor, weight: Tensor) -> Tensor:
    padded = pad(frames, (0, 0, weight.shape[-1] - 1, 0)).transpose(1, 2)
    return conv1d(padded, weight, groups=weight.shape[0]).transpose(1, 2)


def _channels_last(frames: Tensor, weight: Tensor) -> Tensor:
    padded = pad(frames, (0, 0, weight.shape[-1] - 1, 0)).transpose(1, 2).unsqueeze(2)
    return conv2d(padded, weight.unsqueeze(2), groups=weight.shape[0]).squeeze(2).transpose(1, 2)


def _shifted_sum(frames: Tensor, weight: Tensor) -> Tensor:
    length, width = frames.shape[1], weight.shape[-1]
    padded = pad(frames, (0, 0, width - 1, 0))
    products = [padded[:, k : k + length] * weight[:, 0, k] for k in range(width)]
    return torch.stack(products).sum(0)


CONVOLUTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "per channel": _per_channel,  # the one that trains a wide network
    "channels last": _channels_last,  # the one that reads
    "shifted sum": _shifted_sum,
}


def _timed(work: Callable[[], None], audio_s: float, device: str, count: int) -> dict[str, float]:
    """Of work that waits for the device itself; the first two times do not count."""
    began = time.perf_counter()
    work()
    first_s = time.perf_counter() - began
    work()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for _ in range(count):
        work()
    each = (time.perf_counter() - began) / count
    found = {"ms": each * 1e3, "audio_s_per_s": audio_s / each, "first_s": first_s}
    if device == "cuda":
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return {name: round(value, 2) for name, value in found.items()}


def measure(seconds: float, *, tiny: bool, device: str) -> Report:
    """All parts, within so many seconds; the ones that decide come first."""
    report = Report(time.monotonic() + seconds)
    # A processor's compiler is another one and takes minutes, and flex attention has no gradient there.
    ways = [way for way, (_, ours) in TRAINING.items() if device == "cuda" or not ours & {"compiled", "flex"}]

    def part(name: str, work: Callable[[], Any]) -> None:
        report.part(name, work)
        if device == "cuda":
            torch.cuda.empty_cache()

    for way in ways:
        part(f"training, {way}", functools.partial(training, way, tiny=tiny, device=device))
    for name, fast in (("ours", True), ("transformers sdpa", False)):
        part(f"reading, {name}", functools.partial(reading, fast=fast, tiny=tiny, device=device))
    for way in CONVOLUTIONS:
        part(f"convolution, {way}", functools.partial(convolution, way, tiny=tiny, device=device))
    return report


def main() -> None:
    """As the command line asks."""
    run(
        "gpu_transcriber",
        "Updates and readings of a transcriber on a GPU.",
        lambda seconds, tiny, device: measure(seconds, tiny=tiny, device=device),
    )


if __name__ == "__main__":
    main()
