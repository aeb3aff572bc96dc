"""Training and transcription with Wav2Vec2-BERT against the plain way: `python -m bench.w2v2bert`.

The plain way is Transformers' own: `Trainer` with batches at random, padded to their longest recording, and
the ASR `pipeline` on one recording after another, in fp32. Both sides have the same random weights and the
same recordings: noise with the lengths of Bible verses, 2 to 25 s, most of them short. The sides take turns,
so that what else the machine does falls on both.
"""

import argparse
import copy
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

import codex_worker.asr  # noqa: F401 - patches torchaudio before transformers looks for it
from codex_worker.asr.checkpoint import TranscriberCheckpoint
from codex_worker.asr.corpus import Example, Sounds, Split, TranscribedClip
from codex_worker.asr.ctc_task import CtcTask
from codex_worker.asr.features import SAMPLE_RATE, FeatureCache, FeatureExtractor
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config, use_fast_layers
from codex_worker.asr.plan import TrainingPlan
from codex_worker.asr.precision import fastest_precision
from codex_worker.asr.recipe import choose_recipe
from codex_worker.asr.transcribe import DecodingSettings, Transcriber
from codex_worker.asr.vocabulary import Vocabulary, build_vocabulary
from codex_worker.training.machine import Precision, this_machine
from tests.support.networks import full_config

logger = logging.getLogger(__name__)

LETTERS_PER_SECOND = 12
PLAIN_BATCH = 4
TARGETS = {"transcribe_speedup": [">=", 3.0], "train_speedup": [">=", 1.5]}
GPU_TARGETS = {**TARGETS, "transcribe_rtfx": [">=", 1000.0]}  # of an H200
FULL_LAYERS = 24
# Recordings to transcribe, to train on, and to train the full network on, that take about two minutes.
COUNTS = {"cpu": (4, 8, 2), "cuda": (256, 96, 96)}
VOCABULARY = build_vocabulary(["abcdefghijklmnopqrstuvwxyz"])


def main() -> None:
    """Run all comparisons and print one JSON object on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transcribe-count", type=int, help="recordings to transcribe")
    parser.add_argument("--train-count", type=int, help="recordings to train on")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each side; medians are reported")
    parser.add_argument("--layers", type=int, default=FULL_LAYERS, help="layers of the one that transcribes")
    parser.add_argument("--precision", choices=["bf16", "fp32"], help="ours; default: as it chooses")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    transcribed, trained_on, fully_trained_on = COUNTS[device]
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        results |= compare_transcription(
            options.transcribe_count or transcribed, options.rounds, options.layers, device, options.precision
        )
        results |= compare_training(options.train_count or trained_on, options.rounds, device, Path(folder))
        results |= measure_full_training(fully_trained_on, device, Path(folder))
        results |= measure_tiny(device, Path(folder))
    machine = {
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else platform.processor() or platform.machine(),
        "precision": options.precision or fastest_precision(torch.device(device)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    rounded = {name: round(value, 3) for name, value in results.items()}
    targets = GPU_TARGETS if device == "cuda" else TARGETS
    print(json.dumps({"bench": "w2v2bert", "machine": machine, "results": rounded, "targets": targets}))


def compare_transcription(
    count: int, rounds: int, layers: int, device: str, precision: Precision | None
) -> dict[str, float]:
    """Our transcriber (batches by seconds) and the pipeline, one file at a time in fp32; names -> figures."""
    recordings = [_noise(duration, seed) for seed, duration in enumerate(verse_lengths(count))]
    audio_s = sum(len(samples) for samples in recordings) / SAMPLE_RATE
    torch.manual_seed(0)
    plain_model = transformers.Wav2Vec2BertForCTC(full_config(VOCABULARY, layers=layers)).eval().to(device)
    our_model = transformers.Wav2Vec2BertForCTC(plain_model.config).eval()
    our_model.load_state_dict(plain_model.state_dict())
    use_fast_layers(our_model)
    settings = DecodingSettings(precision=precision)
    transcriber = Transcriber(
        TranscriberCheckpoint(our_model, VOCABULARY, FeatureExtractor()), settings, device
    )
    print(f"Transcribing {audio_s:.0f} s with {layers} layers in {transcriber.precision}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = transformers.pipeline(
            "automatic-speech-recognition",
            model=plain_model,
            tokenizer=_tokenizer(VOCABULARY, Path(folder)),
            feature_extractor=transformers.SeamlessM4TFeatureExtractor(),
            device=device,
        )

        def plain() -> None:
            for samples in recordings:
                pipeline({"raw": samples, "sampling_rate": SAMPLE_RATE})

        def ours() -> None:
            transcriber.transcribe_samples(recordings)

        plain_s, ours_s = _take_turns(plain, ours, rounds, device)
    return {
        "transcribe_speedup": plain_s / ours_s,
        "transcribe_rtfx": audio_s / ours_s,
        "transcribe_plain_rtfx": audio_s / plain_s,
    }


def compare_training(count: int, rounds: int, device: str, folder: Path, layers: int = 4) -> dict[str, float]:
    """One epoch of ours (batches by seconds) and of the `Trainer` (random padded batches) over full width."""
    examples, sounds = _examples(verse_lengths(count), folder / "train", FeatureExtractor())
    audio_s = sum(example.duration_s for example in examples)
    print(f"Training on {audio_s:.0f} s with {layers} layers of full width", file=sys.stderr)
    torch.manual_seed(0)
    plain_model = transformers.Wav2Vec2BertForCTC(full_config(VOCABULARY, layers=layers)).to(device)
    our_model = transformers.Wav2Vec2BertForCTC(plain_model.config)
    our_model.load_state_dict(plain_model.state_dict())
    use_fast_layers(our_model)
    our_epoch = _our_epoch(our_model.to(device), examples, sounds, preset="full", device=device)
    plain_epoch = _plain_epoch(plain_model, examples, sounds, folder)
    plain_s, ours_s = _take_turns(plain_epoch, our_epoch, rounds, device)
    return {
        "train_speedup": plain_s / ours_s,
        "train_audio_s_per_s": audio_s / ours_s,
        "train_plain_audio_s_per_s": audio_s / plain_s,
    }


def measure_full_training(count: int, device: str, folder: Path) -> dict[str, float]:
    """Our own figure for training the full network: its second epoch where a GPU first finds its kernels."""
    examples, sounds = _examples(verse_lengths(count), folder / "full", FeatureExtractor())
    audio_s = sum(example.duration_s for example in examples)
    print(f"Training on {audio_s:.0f} s with {FULL_LAYERS} layers", file=sys.stderr)
    model = transformers.Wav2Vec2BertForCTC(full_config(VOCABULARY)).to(device)
    use_fast_layers(model)
    epoch = _our_epoch(model, examples, sounds, preset="full", device=device)
    if device == "cuda":
        epoch()
    return {"train_audio_s_per_s_24_layers": audio_s / _seconds(epoch, device)}


def measure_tiny(device: str, folder: Path) -> dict[str, float]:
    """Our own figures for the tiny preset."""
    durations = verse_lengths(16)
    examples, sounds = _examples(durations, folder / "tiny", TINY_FRONTEND)
    model = build_model(tiny_config(VOCABULARY)).to(device)
    epoch = _our_epoch(model, examples, sounds, preset="tiny", device=device)
    reader = copy.deepcopy(model)  # a transcriber changes its network's numbers
    transcriber = Transcriber(
        TranscriberCheckpoint(reader, VOCABULARY, TINY_FRONTEND), DecodingSettings(), device
    )
    recordings = [_noise(duration, seed) for seed, duration in enumerate(durations)]
    train_s, read_s = _take_turns(epoch, lambda: transcriber.transcribe_samples(recordings), 1, device)
    return {
        "train_audio_s_per_s_tiny": sum(durations) / train_s,
        "transcribe_rtfx_tiny": sum(durations) / read_s,
    }


def verse_lengths(count: int) -> list[float]:
    """Durations in seconds between 2 and 25 as verses have them: the quantiles of a skewed distribution."""
    places = (np.arange(count) + 0.5) / count
    normal = statistics.NormalDist()
    lengths = [7.0 * np.exp(0.6 * normal.inv_cdf(place)) for place in places]
    durations = [float(np.clip(length, 2.0, 25.0)) for length in lengths]
    durations[-1] = 25.0
    return [durations[place] for place in np.random.default_rng(0).permutation(count)]


def _our_epoch(
    model: Any, examples: Sequence[Example], sounds: Sounds, *, preset: Any, device: str
) -> Callable[[], None]:
    hours = sum(example.duration_s for example in examples) / 3600
    recipe = choose_recipe(hours, len(examples), preset=preset, machine=this_machine())
    recipe = replace(recipe, frozen_epochs=0, layer_drop=0.0)  # as the plain way: everything, from the start
    data = Split(tuple(examples), tuple(examples))
    task = CtcTask(model, TrainingPlan(lambda: model, VOCABULARY, sounds, data, recipe))
    optimizer = torch.optim.AdamW(task.parameter_groups(1e-5), lr=1e-5, fused=True)

    def epoch() -> None:
        model.train()
        for batch in task.batches(0):
            with torch.autocast(device, dtype=torch.bfloat16, enabled=recipe.precision == "bf16"):
                loss = task.losses(batch)["total"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def _plain_epoch(model: Any, examples: Sequence[Example], sounds: Sounds, folder: Path) -> Callable[[], None]:
    rows = [
        {"input_features": sounds.features(example), "labels": VOCABULARY.encode(example.text)}
        for example in examples
    ]
    extractor = transformers.SeamlessM4TFeatureExtractor()

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        inputs = extractor.pad(
            [{"input_features": row["input_features"]} for row in batch], padding=True, return_tensors="pt"
        )
        longest = max(len(row["labels"]) for row in batch)
        labels = [row["labels"] + [-100] * (longest - len(row["labels"])) for row in batch]
        return {**inputs, "labels": torch.tensor(labels)}

    def epoch() -> None:
        arguments = transformers.TrainingArguments(
            output_dir=str(folder / "plain"),
            per_device_train_batch_size=PLAIN_BATCH,
            num_train_epochs=1,
            learning_rate=1e-5,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            remove_unused_columns=False,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
        )
        transformers.Trainer(model, arguments, train_dataset=rows, data_collator=collate).train()

    return epoch


def _examples(
    durations: Sequence[float], folder: Path, frontend: FeatureExtractor
) -> tuple[list[Example], Sounds]:
    """Noise as examples whose features lie in the cache already, as they do from the second epoch on."""
    sounds = Sounds(frontend, FeatureCache(folder, 10**10))
    letters = np.random.default_rng(1)
    examples = []
    for place, duration in enumerate(durations):
        text = "".join(letters.choice(list("abcdefghij "), int(LETTERS_PER_SECOND * duration)))
        example = Example(
            TranscribedClip(str(place), folder, text), " ".join(text.split()), f"noise{place}", duration
        )
        features = frontend(_noise(duration, place))
        for speed in (0.9, 0.95, 1.0, 1.05, 1.06, 1.12):
            key = example.sound if speed == 1.0 else f"{example.sound}-x{speed:g}"
            sounds.cache.get(key, sounds.frontend, features.copy)
        examples.append(example)
    return examples, sounds


def _noise(duration_s: float, seed: int) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(int(duration_s * SAMPLE_RATE))
    return (0.1 * samples).astype(np.float32)


def _tokenizer(vocabulary: Vocabulary, folder: Path) -> Any:
    path = folder / "vocab.json"
    path.write_text(json.dumps({symbol: place for place, symbol in enumerate(vocabulary.symbols)}))
    return transformers.Wav2Vec2CTCTokenizer(str(path), unk_token="[UNK]", pad_token="[PAD]")


def _take_turns(
    plain: Callable[[], object], ours: Callable[[], object], rounds: int, device: str
) -> tuple[float, float]:
    """Median seconds of each side, the sides alternating."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, run in enumerate((plain, ours)):
            seconds[side].append(_seconds(run, device))
            print(f"  {('plain', 'ours')[side]}: {seconds[side][-1]:.1f} s", file=sys.stderr)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
