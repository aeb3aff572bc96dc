"""Recordings of any kind into mono samples, in bounded memory, without trusting the file.

Files come from strangers: only formats that hold audio themselves are opened (a playlist could name
other files), lengths are bounded, and a file that ends too early is an error and not a short recording.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.ahead import map_ahead
from codex_worker.audio.opened import AudioInfo, check_head, opened
from codex_worker.audio.parts import parts_of
from codex_worker.audio.reader import Reader, Way
from codex_worker.audio.refusals import CutOff, TooLong
from codex_worker.errors import DataError

__all__ = ["AudioInfo", "Clip", "CutOff", "Recording", "TooLong", "decode", "decode_many", "probe"]

logger = logging.getLogger(__name__)

LATEST_START_S = 24 * 3600.0
MAX_DURATION_S = 7200.0


@dataclass(frozen=True)
class Recording:
    """Mono float32 samples [N] in [-1, 1] at `sample_rate` Hz, with remarks for the data report."""

    samples: NDArray[np.float32]
    sample_rate: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.size / self.sample_rate


@dataclass(frozen=True)
class Clip:
    """A recording or a part of it, and how long its project says that it is."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None


class Decode(Protocol):
    """`audio.decode.decode`, and whatever stands for it."""

    def __call__(
        self,
        path: Path,
        *,
        sample_rate: int,
        start_s: float | None = None,
        end_s: float | None = None,
        expected_duration_s: float | None = None,
        max_duration_s: float = MAX_DURATION_S,
    ) -> Recording:
        """A recording, or a clip of it, as mono at `sample_rate`. Raises DataError as `decode` does."""


def decode(
    path: Path,
    *,
    sample_rate: int,
    start_s: float | None = None,
    end_s: float | None = None,
    expected_duration_s: float | None = None,
    max_duration_s: float = MAX_DURATION_S,
) -> Recording:
    """Read a recording, or the clip from `start_s` to `end_s`, as mono at `sample_rate`.

    Times are those of a player: where sound is missing by the time stamps, there is silence. Channels are
    averaged; where they cancel each other, one of them is taken instead. Besides the result only a few frames
    are in memory at a time.

    Args:
        expected_duration_s: how long the whole file must be, where the caller knows.
        max_duration_s: a longer recording is refused, after decoding no more than this.

    Raises:
        CutOff: the file ends before it should.
        TooLong: the clip is longer than `max_duration_s`.
        DataError: the file is missing, empty, no audio or damaged, or the clip lies outside of it.
    """
    with damage_of(path):
        return _decode(path, sample_rate, start_s or 0.0, end_s, expected_duration_s, max_duration_s)


def _decode(
    path: Path,
    sample_rate: int,
    start_s: float,
    end_s: float | None,
    expected_duration_s: float | None,
    max_duration_s: float,
) -> Recording:
    if not 0 <= start_s <= LATEST_START_S or (end_s is not None and end_s <= start_s):
        raise DataError(
            f"{path}: a clip from {start_s} s to {end_s or 'the end'} is not possible; correct its times"
        )
    reader, found = _read_well(path, sample_rate, start_s, end_s, max_duration_s)
    if reader.reached_end:
        reader.check_length(expected_duration_s)
        if end_s is not None and end_s > reader.position_s + 0.1:
            reader.notes.append(f"the clip ends at {end_s:.1f} s, the recording at {reader.position_s:.1f} s")
    if found.size == 0:
        where = f" from {start_s:.1f} s on" if start_s else ""
        raise DataError(f"{path} holds no sound{where} ({reader.position_s:.1f} s in all); record it again")
    return Recording(found, sample_rate, tuple(reader.notes))


def _read_well(
    path: Path, sample_rate: int, start_s: float, end_s: float | None, max_duration_s: float
) -> tuple[Reader, NDArray[np.float32]]:
    """Read a file, and again where the first time showed that its stamps or channels mislead."""
    check_head(path)
    parts = parts_of(path)
    way = Way()
    while True:
        reader = Reader(path, parts, sample_rate, max_duration_s, way)
        found = reader.read(start_s, end_s)
        better = _better_way(way, reader)
        if better == way:
            break
        del found  # an hour of it need not lie here twice
        way = better
    for channel in way.channels.values():
        reader.notes.append(f"its channels cancel each other; channel {channel + 1} is used alone")
    if way.without_clock:
        reader.notes.append("its time stamps do not fit its sound and are not used")
    return reader, found


def _better_way(way: Way, reader: Reader) -> Way:
    """What a pass teaches for the next one; the same way where it teaches nothing."""
    if not reader.speeds.keys() <= way.without_clock:
        return replace(way, without_clock=way.without_clock | reader.speeds.keys())
    cancelling = {index: powers.best_where_they_cancel() for index, powers in reader.powers.items()}
    channels = {index: channel for index, channel in cancelling.items() if channel is not None}
    return replace(way, channels={**channels, **way.channels})


def probe(path: Path) -> AudioInfo:
    """Read what the file's head says, without decoding.

    Raises:
        DataError: the file is missing, empty or no audio.
    """
    with damage_of(path):
        check_head(path)
        with opened(path, parts_of(path)[0]) as (_, info):
            return info


def decode_many(
    clips: Iterable[Clip], *, sample_rate: int, workers: int = 2, max_duration_s: float = 7200.0
) -> Iterator[tuple[Clip, Recording | DataError]]:
    """Decode in threads and yield in the order of `clips`; a clip that cannot be used yields its error.

    At most twice as many recordings as workers are held at a time, so a slow consumer costs no memory.
    """

    def attempt(clip: Clip) -> Recording | DataError:
        return decode_or_error(clip, sample_rate=sample_rate, max_duration_s=max_duration_s, decode=decode)

    return map_ahead(attempt, clips, workers=workers)


def decode_or_error(
    clip: Clip, *, sample_rate: int, max_duration_s: float, decode: Decode = decode
) -> Recording | DataError:
    """A clip as `decode` gives it, or the error that says why it cannot be used."""
    try:
        return decode(
            clip.path,
            sample_rate=sample_rate,
            start_s=clip.start_s,
            end_s=clip.end_s,
            expected_duration_s=clip.expected_duration_s,
            max_duration_s=max_duration_s,
        )
    except DataError as error:
        return error


@contextmanager
def damage_of(path: Path) -> Iterator[None]:
    """Whatever a decoder does about a file that a stranger made is the file's fault, and costs that one only.

    Raises:
        DataError: for every error but a want of memory and a missing package.
    """
    try:
        yield
    except (DataError, MemoryError, ImportError):
        raise
    except Exception as error:
        logger.warning("%s cannot be decoded", path, exc_info=True)
        raise DataError(
            f"{path} is damaged in a way that the decoder does not know ({type(error).__name__}: {error}); "
            "record it again or convert it to WAV"
        ) from error
