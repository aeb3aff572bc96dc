"""Recordings that several steps of one job listen to: decoded once, then read from the disk of the job.

with KeptRecordings(folder, sample_rate=44_100, max_bytes=...) as kept:
    recording = kept.decode(path, sample_rate=16_000)  # decodes at 44,100 Hz, and keeps that
    recording = kept.decode(path, sample_rate=44_100)  # reads it from disk
"""

import logging
import shutil
import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_worker.audio.decode import MAX_DURATION_S, Recording, decode
from codex_worker.audio.resample import resample
from codex_worker.audio.stored import SUFFIX, read_array, write_array
from codex_worker.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kept:
    file: Path
    notes: tuple[str, ...]
    expected_duration_s: float | None
    duration_s: float


class KeptRecordings:
    """Decodes each clip once, at the job's own rate, and keeps at most `max_bytes` of samples in a folder.

    What does not fit is decoded anew each time. Threads may share one. The folder is gone afterwards.
    """

    def __init__(self, folder: Path, sample_rate: int, max_bytes: int) -> None:
        self._folder = folder
        self._sample_rate = sample_rate
        self._left_bytes = max_bytes
        self._kept: dict[tuple[Any, ...], _Kept] = {}
        self._errors: dict[tuple[Any, ...], DataError] = {}
        self._lock = threading.Lock()
        self._one_by_one: defaultdict[tuple[Any, ...], threading.Lock] = defaultdict(threading.Lock)
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "KeptRecordings":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def decode(
        self,
        path: Path,
        *,
        sample_rate: int,
        start_s: float | None = None,
        end_s: float | None = None,
        expected_duration_s: float | None = None,
        max_duration_s: float = MAX_DURATION_S,
    ) -> Recording:
        """What `audio.decode.decode` answers or raises; at another rate than the job's it is resampled."""
        clip = (path, start_s or 0.0, end_s)
        terms = (*clip, expected_duration_s, max_duration_s)
        with self._lock:
            turn = self._one_by_one[clip]
        with turn:
            found = self._read(clip, expected_duration_s, max_duration_s)
            if found is None:
                if terms in self._errors:
                    raise self._errors[terms]
                try:
                    found = decode(
                        path,
                        sample_rate=self._sample_rate,
                        start_s=start_s,
                        end_s=end_s,
                        expected_duration_s=expected_duration_s,
                        max_duration_s=max_duration_s,
                    )
                except DataError as error:
                    self._errors[terms] = error
                    raise
                self._keep(clip, found, expected_duration_s)
        samples = resample(found.samples, found.sample_rate, sample_rate)
        return Recording(samples, sample_rate, found.notes)

    def _read(
        self, clip: tuple[Any, ...], expected_duration_s: float | None, max_duration_s: float
    ) -> Recording | None:
        """What is kept of a clip, where it was held to the same terms, or stricter ones."""
        kept = self._kept.get(clip)
        if kept is None or kept.duration_s > max_duration_s:
            return None
        if expected_duration_s not in (None, kept.expected_duration_s):
            return None
        try:
            samples = read_array(kept.file)
        except (OSError, ValueError):
            return None  # a damaged file costs one decoding, not the job
        return Recording(samples, self._sample_rate, kept.notes)

    def _keep(self, clip: tuple[Any, ...], recording: Recording, expected_duration_s: float | None) -> None:
        size = recording.samples.nbytes
        with self._lock:
            if size > self._left_bytes:
                return
            self._left_bytes -= size
            file = self._folder / f"{len(self._one_by_one)}-{len(self._kept)}{SUFFIX}"
            self._kept[clip] = _Kept(file, recording.notes, expected_duration_s, recording.duration_s)
        try:
            write_array(file, recording.samples)
        except OSError as error:
            file.unlink(missing_ok=True)
            logger.warning("Decoded recordings are not kept on disk any more: %s.", error)
            with self._lock:
                self._left_bytes = 0
