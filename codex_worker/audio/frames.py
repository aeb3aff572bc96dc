"""The decoded frames of one part of a file, placed on its clock, with silence where sound is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_worker.audio.ogg import timed
from codex_worker.audio.opened import AudioInfo, sound_of
from codex_worker.audio.timeline import Stamp, Timeline, with_following
from codex_worker.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer

SEEK_FROM_S = 10.0  # earlier clips are reached as fast by decoding
SEEK_MARGIN_S = 1.0  # Opus wants 80 ms to settle, AAC a frame
LONGEST_GAP_S = 3600.0  # no pause of a recording is longer; a time stamp is wrong
_FROM_ZERO = ("matroska", "mp4")  # what begins later than 0 begins with silence
_FROM_FIRST = ("ogg", "asf", "flv", "mpeg")  # RFC 7845, section 4.3: it may be cut out of a broadcast


@dataclass(frozen=True)
class Piece:
    """A frame that begins at `begin_s`, or silence where `frame` is None."""

    begin_s: float
    duration_s: float
    rate: int
    frame: Any = None

    @property
    def count(self) -> int:
        """Samples of each channel."""
        return self.frame.samples if self.frame is not None else round(self.duration_s * self.rate)


class Frames:
    """Decodes one part from front to back; what it met on the way stands in its fields."""

    def __init__(
        self, path: Path, container: InputContainer, info: AudioInfo, begin_s: float, by_stamps: bool
    ) -> None:
        self.reached_end = False
        self.packets = self.damaged = 0
        self.damaged_last = False
        self.unread: str | None = None  # why the rest cannot be read
        self._path = path
        self._container = container
        self._kind = info.container
        self._rate = info.sample_rate
        self._begin_s = begin_s  # where this part lies in the file
        self._by_stamps = by_stamps and any(name in self._kind for name in (*_FROM_ZERO, *_FROM_FIRST))
        self._timeline = self._new_timeline()

    @property
    def position_s(self) -> float:
        """The end of what was decoded, on the clock of the file."""
        return self._timeline.position_s

    @property
    def stated_speed(self) -> float | None:
        """How many times as fast as its sound its time stamps run; None where they are a clock."""
        return self._timeline.stated_speed if self._by_stamps else None

    def pieces_from(self, start_s: float) -> Iterator[Piece]:
        """Give pieces from near `start_s` on where the container knows its times, else from the beginning.

        Raises:
            DataError: the time stamps leap so far that no pause can be meant.
        """
        for frame, following in with_following(self._frames_from(start_s)):
            begin_s = self._timeline.position_s
            gap_s = self._timeline.place(self._stamp(frame), self._stamp(following) if following else None)
            if gap_s > LONGEST_GAP_S:
                raise DataError(
                    f"{self._path} has a wrong time stamp: {gap_s:.0f} s without sound would follow after "
                    f"{begin_s:.1f} s; convert it to WAV or record it again"
                )
            if gap_s:
                yield self.silence(begin_s, gap_s)
            duration_s = frame.samples / frame.sample_rate
            self._rate = frame.sample_rate
            yield Piece(self._timeline.position_s - duration_s, duration_s, frame.sample_rate, frame)

    def silence(self, begin_s: float, duration_s: float) -> Piece:
        """A piece without sound, at the rate of what came before it."""
        return Piece(begin_s, duration_s, self._rate)

    def _new_timeline(self, position_s: float | None = None) -> Timeline:
        from_zero = any(name in self._kind for name in _FROM_ZERO)
        return Timeline(from_zero=from_zero, position_s=self._begin_s if position_s is None else position_s)

    def _stamp(self, frame: Any) -> Stamp:
        return Stamp(frame.time if self._by_stamps else None, frame.samples / frame.sample_rate)

    def _frames_from(self, start_s: float) -> Iterator[Any]:
        import av

        is_reached_soon = start_s - self._begin_s < SEEK_FROM_S
        if is_reached_soon or self._begin_s or not self._by_stamps or not self._knows_places():
            return self._frames()
        try:
            self._container.seek(int((start_s - SEEK_MARGIN_S) * 1_000_000))
            frames = self._frames()
            first = next(frames)
        except (av.FFmpegError, StopIteration):
            first = None  # no index, or a start after the end: decoding from the beginning tells
        if first is None or first.time is None or first.time > start_s:
            self._container.seek(0)
            return self._frames()
        self._timeline = Timeline(from_zero=False, position_s=first.time)
        return chain([first], frames)

    def _knows_places(self) -> bool:
        return any(name in self._kind for name in _FROM_ZERO)

    def _frames(self) -> Iterator[Any]:
        """Give frames; packets that cannot be decoded are counted and left out."""
        import av

        self.reached_end = False
        self.packets = self.damaged = 0
        packets = self._packets()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self.unread = f"it cannot be read to its end ({error.strerror})"
                self.damaged_last = True
                break
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged += 1
                self.damaged_last = True
                continue
            self.packets += 1
            if frames:
                self.damaged_last = False
            yield from frames
        self.reached_end = True

    def _packets(self) -> Iterator[Any]:
        stream = sound_of(self._container)
        packets = self._container.demux(stream)
        if self._kind != "ogg" or not self._by_stamps:
            return packets
        end = None if stream.duration is None else stream.duration + (stream.start_time or 0)
        return timed(packets, end)
