"""Training and synthesis at the published size with random weights, as shares of what the machine can do.

Speed on its own says little about code, so most figures are shares of the rate of 2048 x 2048 matrix
products, of the same type and on the same threads, measured in turn with the work; both are medians. The
operations counted are those of the straightforward network (every convolution in every step, guidance as
two passes), so saved work counts as speed.

    python -m bench.stabletts [--threads N] [--repeats N] [--profile FILE]

About a minute and a half on two quiet cores; progress goes to stderr.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from codex_worker.stabletts.configuration import FULL, MelSettings, VocosSettings
from codex_worker.stabletts.flow import solve
from codex_worker.stabletts.network import StableTTS
from codex_worker.stabletts.padding import Padding
from codex_worker.stabletts.vocos import Vocos

GEMM_SIZE = 2048
GEMM_GFLOP = 2 * GEMM_SIZE**3 / 1e9
FRAMES = 400
SYMBOLS = 161
TRAINING_ROWS = 8
CPU_ROWS, GPU_ROWS = 4, 64  # utterances spoken at once
GPU_TRAINING_ROWS = 64
FIGURE_LIMIT_S = 12.0  # no repetition of a figure begins later
EULER10_GUIDED_GFLOP = 286  # of one utterance of 400 frames
TRAIN_STEP_GFLOP = 410  # 8 x 400 frames and 161 symbols: forward, backward and AdamW
TARGETS = {
    "euler10_cfg_fp32_share": [">=", 0.90],
    "euler10_cfg_bf16_share": [">=", 0.40],
    "train_step_fp32_share": [">=", 0.60],
    "train_step_bf16_share": [">=", 0.18],
}
GPU_TARGETS = {"gpu_euler10_cfg_bf16_batched_share": [">=", 0.25], "gpu_audio_s_per_s_batched": [">=", 500]}

Work = Callable[[], object]


class Bench:
    """Times work on one device, each repetition between matrix products of the same type."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device = device
        self.repeats = repeats
        self.rates: dict[torch.dtype, list[float]] = {}
        # One product on a GPU is over before its launch is: many are timed together.
        self._products_at_once = 100 if device.type == "cuda" else 1

    def seconds(self, work: Work) -> float:
        """Time one call, to the end of what it started on the device."""
        self._wait()
        begin = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - begin

    def median(self, work: Work) -> float:
        """Median time of the work, after one call that does not count."""
        work()
        return statistics.median(self._repeated(work, lambda: None))

    def share(self, name: str, work: Work, gflop: float, dtype: torch.dtype) -> float:
        """The work's rate as a share of that of matrix products measured before and after each repetition."""
        matrices = [torch.randn(GEMM_SIZE, GEMM_SIZE, device=self.device).to(dtype) for _ in range(2)]

        def products() -> None:
            for _ in range(self._products_at_once):
                torch.mm(*matrices)

        work()
        products()
        pauses = [self.seconds(products)]
        works = self._repeated(work, lambda: pauses.extend(self.seconds(products) for _ in range(3)))
        work_s = statistics.median(works)
        rate = GEMM_GFLOP * self._products_at_once / statistics.median(pauses)
        self.rates.setdefault(dtype, []).append(rate)
        share = gflop / work_s / rate
        tell(f"{name}: {work_s:.3f} s ({len(works)} times), {share:.3f} of {rate:.0f} GFLOP/s")
        return share

    def gemm_gflops(self, dtype: torch.dtype) -> float:
        """Median rate of matrix products over all that was measured."""
        return statistics.median(self.rates[dtype])

    def _repeated(self, work: Work, between: Work) -> list[float]:
        """Times of the repetitions; fewer of them, but one at least, where the machine is slow or busy."""
        times: list[float] = []
        begin = time.perf_counter()
        while not times or (len(times) < self.repeats and time.perf_counter() - begin < FIGURE_LIMIT_S):
            times.append(self.seconds(work))
            between()
        return times

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def tell(line: str) -> None:
    """Say on stderr what was measured; stdout is for the result."""
    print(line, file=sys.stderr, flush=True)


def synthesis(network: StableTTS, rows: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """Ten guided Euler steps for `rows` utterances of 400 frames."""
    device = network.fake_speaker.device
    noise, mean = (torch.randn(rows, FRAMES, FULL.mel_channels, device=device) for _ in range(2))
    speaker = torch.randn(rows, FULL.gin_channels, device=device)
    padding = Padding.of([FRAMES] * rows, FRAMES, device)

    def work() -> Tensor:
        with autocast(device, dtype):
            return solve(
                network.decoder.estimator,
                noise,
                mean,
                speaker,
                padding,
                steps=10,
                solver="euler",
                guidance=3.0,
                unguided=(network.fake_content, network.fake_speaker),
            )

    return work


def training_step(network: StableTTS, rows: int, dtype: torch.dtype) -> Work:
    """One step on `rows` utterances of 400 frames and 161 symbols: losses, gradients and AdamW."""
    device = network.fake_speaker.device
    ids = torch.randint(1, FULL.n_vocab, (rows, SYMBOLS), device=device)
    mel = torch.randn(rows, FULL.mel_channels, FRAMES, device=device)
    reference = torch.randn(rows, FULL.mel_channels, FRAMES // 4, device=device)
    lengths = [torch.full([rows], length) for length in (SYMBOLS, FRAMES, FRAMES // 4)]
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, fused=True)
    network.train()

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, dtype):
            losses = network.losses(ids, lengths[0], mel, lengths[1], reference, lengths[2])
        losses["total"].backward()
        optimizer.step()

    return work


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast | nullcontext[None]:
    """Mixed precision for bfloat16, nothing for float32."""
    return torch.autocast(device.type, dtype) if dtype == torch.bfloat16 else nullcontext()


@torch.no_grad()
def speaking(network: StableTTS, vocoder: Vocos, rows: int, dtype: torch.dtype) -> Work:
    """Guided synthesis of `rows` utterances and their samples."""
    solved = synthesis(network, rows, dtype)

    def work() -> None:
        with torch.no_grad():
            vocoder(solved().transpose(1, 2), [FRAMES] * rows)

    return work


def measure(device: torch.device, repeats: int, rows: int, training_rows: int) -> dict[str, float]:
    """Everything on one device: one utterance and batches of `rows`, in both types."""
    torch.manual_seed(0)
    tell(f"on {device.type}")
    bench = Bench(device, repeats)
    network, vocoder = StableTTS(FULL).to(device), Vocos(VocosSettings()).to(device).eval()
    results: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        network.eval()
        for suffix, count in (("", 1), ("_batched", rows)):
            key = f"euler10_cfg_{name}{suffix}_share"
            results[key] = bench.share(
                key, synthesis(network, count, dtype), EULER10_GUIDED_GFLOP * count, dtype
            )
        for suffix, count in (("", training_rows), ("_of_one", 1)):
            key = f"train_step_{name}{suffix}_share"
            gflop = TRAIN_STEP_GFLOP * count / TRAINING_ROWS
            results[key] = bench.share(key, training_step(network, count, dtype), gflop, dtype)
        results[f"gemm_{name}_gflops"] = bench.gemm_gflops(dtype)
    network.eval()
    mel = torch.randn(1, FULL.mel_channels, FRAMES, device=device)
    with torch.no_grad():
        results["vocos_s"] = bench.median(lambda: vocoder(mel, [FRAMES]))
    speeds = {
        dtype: results[f"gemm_{name}_gflops"] * results[f"euler10_cfg_{name}_batched_share"]
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    faster = max(speeds, key=lambda dtype: speeds[dtype])
    audio_s = rows * FRAMES / MelSettings().frames_per_second
    results["audio_s_per_s_batched"] = audio_s / bench.median(speaking(network, vocoder, rows, faster))
    tell(
        f"{device.type} {rows} utterances at once: {results['audio_s_per_s_batched']:.2f} s of audio a second"
    )
    if device.type == "cuda":
        results["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return results


def profile(path: str) -> None:
    """Write where the time goes, by operation, for one guided synthesis and one training step."""
    network = StableTTS(FULL).eval()
    with open(path, "w", encoding="utf-8") as report:  # noqa: PTH123 - a path given on the command line
        for dtype in (torch.float32, torch.bfloat16):
            for title, work in (
                ("guided synthesis", synthesis(network.eval(), 1, dtype)),
                ("training step", training_step(network, TRAINING_ROWS, dtype)),
            ):
                network.train(title == "training step")
                work()
                with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as run:
                    work()
                table = run.key_averages().table(sort_by="self_cpu_time_total", row_limit=22)
                report.write(f"{title}, {dtype}\n{table}\n\n")


def machine(threads: int) -> dict[str, object]:
    """What the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": platform.machine(), "threads": threads, "torch": torch.__version__, "gpu": gpu}


def main() -> None:
    """Measure, and print one JSON object on the last line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.stabletts",
        description="Speed of StableTTS training and synthesis, in shares of the matrix-product rate.",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions behind each median")
    parser.add_argument("--profile", metavar="FILE", help="write profiles there instead of measuring")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.profile:
        profile(arguments.profile)
        return
    results = measure(torch.device("cpu"), arguments.repeats, CPU_ROWS, TRAINING_ROWS)
    targets = dict(TARGETS)
    if torch.cuda.is_available():
        on_gpu = measure(torch.device("cuda"), max(arguments.repeats, 10), GPU_ROWS, GPU_TRAINING_ROWS)
        results |= {f"gpu_{name}": value for name, value in on_gpu.items()}
        targets |= GPU_TARGETS
    rounded = {name: float(f"{value:.4g}") for name, value in results.items()}
    report = {
        "bench": "stabletts",
        "machine": machine(arguments.threads),
        "results": rounded,
        "targets": targets,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
