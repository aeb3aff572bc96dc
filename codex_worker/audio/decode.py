"""Recordings of any kind into mono samples, in bounded memory, without trusting the file.

Files come from strangers: only formats that hold audio themselves are opened (a playlist could name
other files), lengths are bounded, and a file that ends too early is an error and not a short recording.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.ahead import map_ahead
from codex_worker.audio.channels import ChannelPowers, channels_of
from codex_worker.audio.gathered import GatheredSamples
from codex_worker.audio.not_sound import HEAD_BYTES, refuse_what_is_no_sound, refuse_zeros
from codex_worker.audio.wholeness import missing_end, states_mp3_length
from codex_worker.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer

logger = logging.getLogger(__name__)

FORMATS = "aac,aiff,flac,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mp3,ogg,wav,w64"
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
MAX_CHANNELS = 32
MAX_DAMAGED_SHARE = 0.02  # of a file's packets; more is not a scratch any more
SEEK_FROM_S = 10.0  # earlier clips are reached as fast by decoding
SEEK_MARGIN_S = 1.0  # Opus wants 80 ms to settle, AAC a frame
LATEST_START_S = 24 * 3600.0


class CutOff(DataError):
    """A recording that ends before it should."""


class TooLong(DataError):
    """A recording that is longer than the caller takes."""


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
class AudioInfo:
    """What a file says of itself; `duration_s` is None where it does not say (recorded by a browser)."""

    duration_s: float | None
    sample_rate: int
    channels: int
    codec: str
    container: str


@dataclass(frozen=True)
class Clip:
    """A recording or a part of it, and how long its project says that it is."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None
    expected_duration_s: float | None = None


def decode(
    path: Path,
    *,
    sample_rate: int,
    start_s: float | None = None,
    end_s: float | None = None,
    expected_duration_s: float | None = None,
    max_duration_s: float = 7200.0,
) -> Recording:
    """Read a recording, or the clip from `start_s` to `end_s`, as mono at `sample_rate`.

    Channels are averaged; where they cancel each other (one is wired the wrong way round), the louder one is
    taken instead. Besides the result only a few frames are in memory at a time.

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
    reader, found = _read(path, sample_rate, max_duration_s, start_s, end_s)
    louder = reader.channels.louder_where_they_cancel()
    if louder is not None:
        del found  # an hour of it need not lie here twice
        reader, found = _read(path, sample_rate, max_duration_s, start_s, end_s, channel=louder)
        reader.notes.append(f"its channels cancel each other; channel {louder + 1} is used alone")
    if reader.reached_end:
        reader.check_length(expected_duration_s)
        if end_s is not None and end_s > reader.position_s + 0.1:
            reader.notes.append(f"the clip ends at {end_s:.1f} s, the recording at {reader.position_s:.1f} s")
    if found.size == 0:
        where = f" from {start_s:.1f} s on" if start_s else ""
        raise DataError(f"{path} holds no sound{where} ({reader.position_s:.1f} s in all); record it again")
    return Recording(found, sample_rate, tuple(reader.notes))


def probe(path: Path) -> AudioInfo:
    """Read what the file's head says, without decoding.

    Raises:
        DataError: the file is missing, empty or no audio.
    """
    with damage_of(path), _open(path) as container:
        return _info(container, path)


def decode_many(
    clips: Iterable[Clip], *, sample_rate: int, workers: int = 2, max_duration_s: float = 7200.0
) -> Iterator[tuple[Clip, Recording | DataError]]:
    """Decode in threads and yield in the order of `clips`; a clip that cannot be used yields its error.

    At most twice as many recordings as workers are held at a time, so a slow consumer costs no memory.
    """

    def attempt(clip: Clip) -> Recording | DataError:
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

    return map_ahead(attempt, clips, workers=workers)


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


def _read(
    path: Path,
    sample_rate: int,
    max_duration_s: float,
    start_s: float,
    end_s: float | None,
    channel: int | None = None,
) -> tuple[_Reader, NDArray[np.float32]]:
    with _open(path) as container:
        reader = _Reader(container, _info(container, path), path, sample_rate, max_duration_s, channel)
        return reader, reader.read(start_s, end_s)


def _open(path: Path) -> InputContainer:
    import av

    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    refuse_what_is_no_sound(path, head)
    try:
        return av.open(
            str(path.absolute()), options={"format_whitelist": FORMATS, "protocol_whitelist": "file"}
        )
    except (av.FFmpegError, ValueError) as error:
        refuse_zeros(path, head)
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} is no recording that can be read ({reason}); it is cut off or not audio at all"
        ) from error


def _info(container: InputContainer, path: Path) -> AudioInfo:
    if not container.streams.audio:
        raise DataError(f"{path} has no sound in it ({container.format.name})")
    stream = container.streams.audio[0]
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or not 1 <= channels <= MAX_CHANNELS:
        raise DataError(f"{path} claims {rate} Hz and {channels} channels, which no recording of speech has")
    duration_s = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / 1_000_000
    return AudioInfo(duration_s, rate, channels, stream.codec_context.name, container.format.name)


class _Reader:
    """Decodes one file from front to back and keeps only the wanted samples, at the wanted rate."""

    def __init__(
        self,
        container: InputContainer,
        info: AudioInfo,
        path: Path,
        sample_rate: int,
        max_duration_s: float,
        channel: int | None,
    ) -> None:
        self.container = container
        self.info = info
        self.path = path
        self.sample_rate = sample_rate
        self.max_duration_s = max_duration_s
        self.channel = channel  # None: all of them
        self.channels = ChannelPowers()
        self.notes: list[str] = []
        self.position_s = 0.0  # the end of what was decoded
        self.reached_end = False
        self._packets = 0
        self._damaged = 0
        self._damaged_last = False

    def read(self, start_s: float, end_s: float | None) -> NDArray[np.float32]:
        """Give the samples between two times."""
        kept = GatheredSamples(self.sample_rate, self.info.codec.startswith("pcm_f"))
        for frame in self._frames_from(start_s):
            begin_s = self.position_s
            self.position_s += frame.samples / frame.sample_rate
            if self.position_s - start_s > self.max_duration_s:
                raise TooLong(
                    f"{self.path} is longer than {self.max_duration_s:.0f} s; cut it into shorter recordings"
                )
            wanted = _within(begin_s, frame.samples, frame.sample_rate, start_s, end_s)
            if wanted.start < wanted.stop:
                channels = channels_of(frame)[:, wanted]
                self.channels.add(channels)
                kept.add(self._mono(channels), frame.sample_rate)
            if end_s is not None and self.position_s >= end_s:
                break
        samples = kept.finish()
        if kept.had_invalid:
            self.notes.append("samples that are no numbers were made silent")
        return samples

    def _mono(self, channels: NDArray[np.float32]) -> NDArray[np.float32]:
        """One channel [samples] of [channels, samples]."""
        if len(channels) == 1:
            return np.ascontiguousarray(channels[0])
        if self.channel is not None and self.channel < len(channels):
            return np.ascontiguousarray(channels[self.channel])
        return np.ascontiguousarray(channels.mean(axis=0, dtype=np.float32))

    def _frames_from(self, start_s: float) -> Iterator[Any]:
        """Give frames from near `start_s` on where the container knows its times, else from the beginning."""
        import av

        if start_s < SEEK_FROM_S or not any(name in self.info.container for name in ("matroska", "mp4")):
            return self._frames()
        try:
            self.container.seek(int((start_s - SEEK_MARGIN_S) * 1_000_000))
            frames = self._frames()
            first = next(frames)
        except (av.FFmpegError, StopIteration):
            first = None  # no index, or a start after the end: decoding from the beginning tells
        if first is None or first.time is None or first.time > start_s:
            self.container.seek(0)
            return self._frames()
        self.position_s = first.time
        return chain([first], frames)

    def _frames(self) -> Iterator[Any]:
        """Give frames; packets that cannot be decoded are counted and left out."""
        import av

        self.reached_end = False
        self._packets = self._damaged = 0
        stream = self.container.streams.audio[0]
        packets = self.container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self.notes.append(f"it cannot be read to its end ({error.strerror})")
                self._damaged_last = True
                break
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self._damaged += 1
                self._damaged_last = True
                continue
            self._packets += 1
            if frames:
                self._damaged_last = False
            yield from frames
        self.reached_end = True

    def check_length(self, expected_duration_s: float | None) -> None:
        """Compare what was found with what the container and the caller say.

        Raises:
            CutOff: it ends too early.
            DataError: it is too damaged.
        """
        if self._damaged > MAX_DAMAGED_SHARE * max(1, self._packets) + 1:
            raise DataError(
                f"{self.path} is damaged: {self._damaged} of {self._packets + self._damaged} packets cannot "
                "be decoded; record it again or fetch it anew"
            )
        is_mp3 = self.info.container == "mp3"
        stated_s = self.info.duration_s
        if self.info.container == "aac" or (is_mp3 and not states_mp3_length(self.path)):
            stated_s = None  # only a guess from the bit rate
        for length_s, source in ((stated_s, "it states"), (expected_duration_s, "its project states")):
            if length_s is not None and self.position_s < length_s - max(0.2, 0.02 * length_s):
                raise CutOff(
                    f"{self.path} is cut off: {self.position_s:.1f} s found, {source} {length_s:.1f} s; "
                    "record it again or fetch it anew"
                )
        reason = missing_end(self.path, self.info.container)
        if reason is None and self._damaged_last and not is_mp3:  # mp3 often has tags of all kinds at its end
            reason = "it ends within a packet"
        if reason is not None:
            raise CutOff(f"{self.path} is cut off after {self.position_s:.1f} s: {reason}; record it again")
        if self._damaged:
            self.notes.append(f"{self._damaged} damaged packets left out")


def _within(begin_s: float, count: int, rate: int, start_s: float, end_s: float | None) -> slice:
    """Which samples of a frame that begins at `begin_s` lie between the two times."""
    first = round((start_s - begin_s) * rate)
    last = count if end_s is None else round((end_s - begin_s) * rate)
    return slice(min(max(first, 0), count), min(max(last, 0), count))
