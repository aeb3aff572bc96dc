"""One pass over a file: its parts one after another, and only what is wanted of them kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codex_worker.audio.channels import ChannelPowers, channels_of
from codex_worker.audio.endings import PartEnd, allowed_s, end_of
from codex_worker.audio.frames import Frames, Piece
from codex_worker.audio.gathered import GatheredSamples
from codex_worker.audio.opened import opened
from codex_worker.audio.parts import FilePart
from codex_worker.audio.refusals import CutOff, TooLong
from codex_worker.errors import DataError

MAX_DAMAGED_SHARE = 0.02  # of a file's packets; more is not a scratch any more
NOTED_SILENCE_S = 0.2  # less is a few lost packets, of which nobody needs to hear
FELT_S = 0.05  # less is not worth a number


@dataclass(frozen=True)
class Way:
    """How a file is read better than at first; both name its parts by their number."""

    channels: Mapping[int, int] = field(default_factory=dict)  # of which only this channel is read
    without_clock: frozenset[int] = frozenset()  # whose time stamps are no clock


class Reader:
    """Reads one file once; what it found out on the way stands in its fields."""

    def __init__(
        self, path: Path, parts: list[FilePart], sample_rate: int, max_duration_s: float, way: Way
    ) -> None:
        self.notes: list[str] = []
        self.position_s = 0.0  # the end of what was decoded, on the clock of the file
        self.reached_end = False
        self.powers: dict[int, ChannelPowers] = {}
        self.speeds: dict[int, float] = {}  # of time stamps that are no clock
        self._path = path
        self._parts = parts
        self._max_duration_s = max_duration_s
        self._way = way
        self._kept = GatheredSamples(sample_rate)
        self._silence_s = 0.0
        self._packets = self._damaged = 0
        self._end = PartEnd()

    def read(self, start_s: float, end_s: float | None) -> NDArray[np.float32]:
        """Give the samples between two times.

        Raises:
            TooLong: there are more than the caller takes.
            DataError: the file cannot be read.
        """
        for index, part in enumerate(self._parts):
            is_complete = self._read_part(index, part, start_s, end_s)
            if not is_complete:
                break
        else:
            self.reached_end = True
        samples = self._kept.finish()
        if self._kept.had_invalid:
            self.notes.append("samples that are no numbers were made silent")
        if self._silence_s >= NOTED_SILENCE_S:
            self.notes.append(f"{self._silence_s:.1f} s for which it holds no sound are read as silence")
        return samples

    def check_length(self, expected_duration_s: float | None) -> None:
        """Compare what was found with what the file and the caller say.

        Raises:
            CutOff: it ends too early.
            DataError: it is too damaged.
        """
        if self._damaged > MAX_DAMAGED_SHARE * max(1, self._packets) + 1:
            raise DataError(
                f"{self._path} is damaged: {self._damaged} of {self._packets + self._damaged} packets cannot "
                "be decoded; record it again or fetch it anew"
            )
        expected_s = expected_duration_s or 0.0
        if self._end.lost is not None:
            raise self._cut_off(max(self._end.length_s or 0.0, expected_s), self._end.lost)
        if self.position_s < expected_s - allowed_s(expected_s):
            raise self._cut_off(expected_s, "as its project states")
        if self._damaged:
            self.notes.append(f"{self._damaged} damaged packets left out")

    def _cut_off(self, length_s: float, reason: str) -> CutOff:
        if length_s > self.position_s + FELT_S:
            what = f": {self.position_s:.1f} of {length_s:.1f} s are there ({reason})"
        else:
            what = f" after {self.position_s:.1f} s ({reason})"
        return CutOff(f"{self._path} is cut off{what}; record it again or fetch it anew")

    def _read_part(self, index: int, part: FilePart, start_s: float, end_s: float | None) -> bool:
        """Keep what is wanted of a part; whether all of it was read."""
        begin_s = self.position_s
        with opened(self._path, part) as (container, info):
            self._kept.holds_decimals |= info.codec.startswith("pcm_f")
            frames = Frames(self._path, container, info, begin_s, index not in self._way.without_clock)
            self._keep(frames.pieces_from(start_s), index, start_s, end_s)
        if frames.stated_speed is not None:
            self.speeds[index] = frames.stated_speed
        self._packets += frames.packets
        self._damaged += frames.damaged
        if not frames.reached_end:
            return False
        if frames.unread is not None:
            self.notes.append(frames.unread)
        end = end_of(self._path, part, info, frames, self.position_s - begin_s)
        if end.silence_s:
            self._keep([frames.silence(self.position_s, end.silence_s)], index, start_s, end_s)
        if end.lost is not None and self._end.lost is None:
            self._end = PartEnd(end.lost, begin_s + end.length_s if end.length_s else None)
        return True

    def _keep(self, pieces: Iterable[Piece], index: int, start_s: float, end_s: float | None) -> None:
        """Take pieces up to the wanted end."""
        for piece in pieces:
            self.position_s = piece.begin_s + piece.duration_s
            if min(self.position_s, end_s or self.position_s) - start_s > self._max_duration_s:
                raise TooLong(
                    f"{self._path} is longer than {self._max_duration_s:.0f} s; cut it into shorter ones"
                )
            wanted = _within(piece, start_s, end_s)
            if piece.frame is None:
                self._silence_s += len(range(piece.count)[wanted]) / piece.rate
                self._kept.add_silence(len(range(piece.count)[wanted]), piece.rate)
            elif wanted.start < wanted.stop:
                self._keep_sound(channels_of(piece.frame)[:, wanted], piece.rate, index)
            if end_s is not None and self.position_s >= end_s:
                break

    def _keep_sound(self, channels: NDArray[np.float32], rate: int, index: int) -> None:
        self.powers.setdefault(index, ChannelPowers(rate)).add(channels)
        channel = self._way.channels.get(index)
        if len(channels) == 1:
            mono = channels[0]
        elif channel is not None and channel < len(channels):
            mono = channels[channel]
        else:
            mono = channels.mean(axis=0, dtype=np.float32)
        self._kept.add(np.ascontiguousarray(mono), rate)


def _within(piece: Piece, start_s: float, end_s: float | None) -> slice:
    """Which samples of a piece lie between the two times."""
    count = piece.count
    first = round((start_s - piece.begin_s) * piece.rate)
    last = count if end_s is None else round((end_s - piece.begin_s) * piece.rate)
    return slice(min(max(first, 0), count), min(max(last, 0), count))
