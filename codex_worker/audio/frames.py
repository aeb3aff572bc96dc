"""The decoded frames of one part of a file, placed on its clock, with silence where sound is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_worker.audio.opened import AudioInfo, sound_of
from codex_worker.audio.refusals import Encrypted
from codex_worker.audio.timeline import Stamp, Timeline, with_following
from codex_worker.errors import DataError

if TYPE_CHECKING:
    from av.container import InputContainer

SEEK_FROM_S = 10.0  # earlier clips are reached as fast by decoding
SEEK_MARGIN_S = 1.0  # Opus wants 80 ms to settle, AAC a frame
LONGEST_GAP_S = 3600.0  # no pause of a recording is longer; a time stamp is wrong
_FROM_ZERO = ("matroska", "mp4", "ogg")  # what begins later than 0 begins with silence
_FROM_FIRST = ("asf", "flv", "mpeg")  # any number may stand at their beginning
_WITH_PLACES = ("matroska", "mp4")  # of their frames by time, which need not be guessed


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
        self.states_times = by_stamps
        self._by_stamps = by_stamps and any(name in self._kind for name in (*_FROM_ZERO, *_FROM_FIRST))
        self._begun = False
        self.skipped_s = 0.0  # of its clock, before its first frame
        from_zero = any(name in self._kind for name in _FROM_ZERO)
        self._timeline = Timeline(from_zero=from_zero, position_s=begin_s)

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
            self._skip_broadcast(frame)
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

    def _skip_broadcast(self, first: Any) -> None:
        """Begin the clock of an Ogg stream that was cut out of a broadcast with its first frame.

        RFC 7845, section 4.3. One that begins within the first hour was recorded late in a call.
        """
        if self._kind == "ogg" and not self._begun and (first.time or 0.0) > LONGEST_GAP_S:
            self.skipped_s = first.time
            self._timeline = Timeline(from_zero=False, position_s=self._begin_s)
        self._begun = True

    def _stamp(self, frame: Any) -> Stamp:
        return Stamp(frame.time if self._by_stamps else None, frame.samples / frame.sample_rate)

    def _frames_from(self, start_s: float) -> Iterator[Any]:
        import av

        if start_s < SEEK_FROM_S or self._begin_s or not self._by_stamps:
            return self._frames()
        if not any(name in self._kind for name in _WITH_PLACES):
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

    def _frames(self) -> Iterator[Any]:
        """Give frames; packets that cannot be decoded are counted and left out."""
        import av

        self.reached_end = False
        self.packets = self.damaged = 0
        packets = self._container.demux(sound_of(self._container))
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self.unread = f"it cannot be read to its end ({error.strerror})"
                self.damaged_last = True
                break
            if self.packets == 0 and packet.size and packet.has_sidedata("encryption_info"):
                raise Encrypted(self._path)
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
