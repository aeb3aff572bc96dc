"""From a recording to what the network reads: log-mel frames (Wav2Vec2-BERT) or the waveform (Wav2Vec2)."""

import hashlib
import logging
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from codex_worker.audio.level import is_silent
from codex_worker.audio.stored import SUFFIX, read_array, write_array
from codex_worker.errors import DataError

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
FFT_SAMPLES = 512
MEL_BINS = 80
LOWEST_HZ = 20.0
STACKED_FRAMES = 2  # two 10 ms frames make one input frame of 20 ms, as w2v-bert-2.0 reads them
FEWEST_FRAMES = 4  # of 10 ms; the least of a recording that can be normalised
MOST_STACKED = FEWEST_FRAMES  # so that every recording has a row
PREEMPHASIS = 0.97
MEL_FLOOR = 1.192092955078125e-07

FrontendKind = Literal["log_mel", "waveform"]


@dataclass(frozen=True)
class FeatureExtractor:
    """How recordings become input; recorded in the checkpoint so that inference does what training did."""

    kind: FrontendKind = "log_mel"
    sample_rate: int = SAMPLE_RATE
    version: int = 1
    stacked_frames: int = STACKED_FRAMES  # log-mel frames of 10 ms to an input row

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """Input of one recording: `[rows, stacked_frames * 80]` log-mel or `[samples]` waveform, float32."""
        return (
            log_mel(samples, self.stacked_frames) if self.kind == "log_mel" else normalised_waveform(samples)
        )

    def input_seconds(self, length: int) -> float:
        """Duration in seconds of an input with this many rows."""
        per_row = HOP_SAMPLES * self.stacked_frames if self.kind == "log_mel" else 1
        return length * per_row / self.sample_rate


def log_mel(samples: np.ndarray, stacked_frames: int = STACKED_FRAMES) -> np.ndarray:
    """Kaldi-like log-mel features of a 16 kHz waveform in [-1, 1], normalised per mel bin.

    `[rows, stacked_frames * 80]`: so many frames of 10 ms lie one after the other in a row.

    The same numbers as transformers' SeamlessM4TFeatureExtractor (which loops over frames), computed for all
    frames at once. Raises DataError for less than 50 ms of audio or for silence.
    """
    needed = WINDOW_SAMPLES + (FEWEST_FRAMES - 1) * HOP_SAMPLES
    _check_samples(samples, needed)
    window, mel_filters = _window_and_filters()
    waveform = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)) * 2.0**15
    frames = waveform.unfold(0, WINDOW_SAMPLES, HOP_SAMPLES)
    frames = frames - frames.mean(dim=1, keepdim=True)
    previous = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - PREEMPHASIS * previous) * window
    power = torch.view_as_real(torch.fft.rfft(frames, n=FFT_SAMPLES)).square().sum(-1)
    mel = (power @ mel_filters).clamp_min(MEL_FLOOR).log()
    mel = (mel - mel.mean(0)) / (mel.var(0, unbiased=True) + 1e-7).sqrt()
    usable = mel.shape[0] - mel.shape[0] % stacked_frames
    return mel[:usable].reshape(-1, MEL_BINS * stacked_frames).numpy()


def normalised_waveform(samples: np.ndarray) -> np.ndarray:
    """A waveform `[samples]` with zero mean and unit variance, as Wav2Vec2 reads it."""
    _check_samples(samples, WINDOW_SAMPLES)
    centred = samples.astype(np.float32) - np.float32(samples.mean())
    return centred / np.sqrt(centred.var() + 1e-7)


def pad_batch(features: Sequence[np.ndarray], multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs `[B, longest, ...]` padded with zeros and their mask `[B, longest]`.

    `longest` is a multiple of `multiple`.
    """
    longest = multiple * math.ceil(max(len(rows) for rows in features) / multiple)
    inputs = np.zeros((len(features), longest, *features[0].shape[1:]), dtype=np.float32)
    mask = np.zeros((len(features), longest), dtype=np.int64)
    for index, rows in enumerate(features):
        inputs[index, : len(rows)] = rows
        mask[index, : len(rows)] = 1
    return torch.from_numpy(inputs), torch.from_numpy(mask)


def content_key(path: Path) -> str:
    """sha256 of a file's bytes: the same recording has the same features wherever it lies."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class FeatureCache:
    """Features on disk by content, at most `max_bytes` of them; the ones longest unused leave first.

    Threads may share one.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._bytes = sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}"))

    def get(self, key: str, frontend: FeatureExtractor, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The stored features, or `compute()` which are then stored as float16."""
        path = self.folder / f"{key}-{frontend.kind}-{frontend.version}-{frontend.stacked_frames}{SUFFIX}"
        try:
            features = read_array(path)
            os.utime(path)
        except FileNotFoundError:
            features = compute().astype(np.float16)
            self._store(path, features)
        except (ValueError, OSError):
            # A half-written or damaged entry costs one computation, not the job.
            with self._lock:
                path.unlink(missing_ok=True)
            features = compute().astype(np.float16)
        return features.astype(np.float32)

    def has_room(self, numbers: int) -> bool:
        """Whether features of so many numbers fit in beside all that is there."""
        return self._bytes + numbers * np.dtype(np.float16).itemsize < self.max_bytes

    def _store(self, path: Path, features: np.ndarray) -> None:
        size = features.nbytes + 128
        if size > self.max_bytes:
            return
        with self._lock:
            self._make_room(size)
            self._bytes += size
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{id(features)}.tmp")
        try:
            write_array(temporary, features)
            temporary.replace(path)
        except OSError as error:
            # A full disk slows training down; it doesn't stop it.
            temporary.unlink(missing_ok=True)
            logger.warning(
                "Features cannot be kept on disk (%s); they are computed again when needed.", error
            )
            self.max_bytes = 0

    def _make_room(self, size: int) -> None:
        if self._bytes + size <= self.max_bytes:
            return
        entries = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in self.folder.glob(f"*{SUFFIX}"))
        self._bytes = sum(entry_size for _, entry_size, _ in entries)
        for _, entry_size, path in entries:
            if self._bytes + size <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            self._bytes -= entry_size


@cache
def _window_and_filters() -> tuple[torch.Tensor, torch.Tensor]:
    """Kaldi's Povey window `[400]` and its 80 triangular filters from 20 Hz up `[257, 80]`."""
    window = np.hanning(WINDOW_SAMPLES) ** 0.85
    bins = _mel(np.arange(FFT_SAMPLES // 2 + 1) * SAMPLE_RATE / FFT_SAMPLES)
    edges = np.linspace(_mel(LOWEST_HZ), _mel(SAMPLE_RATE / 2), MEL_BINS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy(window).float(), torch.from_numpy(filters).float()


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)


def _check_samples(samples: np.ndarray, needed: int) -> None:
    if samples.ndim != 1:
        raise DataError(f"A recording must be one channel of samples, not an array of shape {samples.shape}.")
    if len(samples) < needed:
        raise DataError(
            f"The recording is {len(samples) / SAMPLE_RATE:.3f} s long, too short for speech: record again."
        )
    if not np.isfinite(samples).all():
        raise DataError("The recording holds values that are not numbers; encode it again.")
    if is_silent(samples, SAMPLE_RATE):
        raise DataError("The recording is silence: nothing can be heard in it; record it again.")
