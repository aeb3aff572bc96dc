"""A file as the recordings that follow one another in it, each with a head that tells the truth.

Most files hold one. Ogg streams can be chained (a radio's, or a recorder's after a pause), and people put
files one behind another; every part has rates and channels of its own, and decoders read the first one only.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from codex_worker.audio.chunks import SoundChunk, chunks, sound_chunk
from codex_worker.audio.lengths import sound_extent
from codex_worker.audio.ogg import next_link

MOST_PARTS = 1000


@dataclass(frozen=True)
class Part:
    """Bytes from `begin` to `end` of a file.

    They are read up to `read_to` (None: all), with other bytes at the places of `corrections`. `stated_bytes`
    of samples are promised where its head rightly promises more than there are.
    """

    begin: int
    end: int
    read_to: int | None = None
    corrections: Mapping[int, bytes] = field(default_factory=dict)
    stated_bytes: int | None = None
    bytes_per_s: float = 0.0


def parts_of(path: Path) -> list[Part]:
    """The recordings in a file, in their order; at least one. Raises OSError."""
    size = path.stat().st_size
    parts: list[Part] = []
    with path.open("rb") as file:
        begin = 0
        while (begin < size and len(parts) < MOST_PARTS) or not parts:
            parts.append(_part(file, begin, size))
            begin = parts[-1].end
    return parts


def _part(file: BinaryIO, begin: int, size: int) -> Part:
    chunk = sound_chunk(file, begin)
    if chunk is not None:
        return _part_of_chunks(file, begin, chunk, size)
    return Part(begin, next_link(file, begin, size) or size)


def _part_of_chunks(file: BinaryIO, begin: int, chunk: SoundChunk, size: int) -> Part:
    extent = sound_extent(file, chunk, size)
    length = max(0, extent.end - chunk.start)
    corrections = {}
    if extent.stated is None:
        corrections = {place.at - begin: place.written(length) for place in chunk.fields}
    return Part(
        begin,
        _next_head(file, chunk, extent.end) or size,
        # What stands behind plain samples can only do harm: decoders refuse files for the title in them.
        extent.end if chunk.block > 1 else None,
        corrections,
        extent.stated,
        chunk.bytes_per_s,
    )


def _next_head(file: BinaryIO, chunk: SoundChunk, end: int) -> int | None:
    """Where another file begins behind the chunks of this one."""
    if chunk.layout is None:
        return None
    for name, body, _ in chunks(file, chunk.layout.after(chunk.start, end - chunk.start), chunk.layout):
        at = body - chunk.layout.head.size
        if name in {b"RIFF", b"RF64", b"FORM"} and sound_chunk(file, at) is not None:
            return at
    return None


class PartOfFile:
    """The bytes of one part, as a file that begins at 0. Raises OSError."""

    def __init__(self, path: Path, part: Part) -> None:
        self._file = path.open("rb")
        self._part = part
        self._at = 0
        self.size = (part.end if part.read_to is None else part.read_to) - part.begin

    def __enter__(self) -> Self:
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file below."""
        self._file.close()

    def tell(self) -> int:
        """The place from which is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, also behind the end; never before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from the present place; all of them below 0."""
        left = max(0, self.size - self._at)
        wanted = left if size < 0 else min(size, left)
        self._file.seek(self._part.begin + self._at)
        content = self._file.read(wanted)
        corrected = self._corrected(content)
        self._at += len(content)
        return corrected

    def _corrected(self, content: bytes) -> bytes:
        if not any(at < self._at + len(content) for at in self._part.corrections):
            return content
        changed = bytearray(content)
        for at, right in self._part.corrections.items():
            for place, byte in enumerate(right, at - self._at):
                if 0 <= place < len(changed):
                    changed[place] = byte
        return bytes(changed)
