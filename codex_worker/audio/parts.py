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
from codex_worker.audio.wholeness import boxes

MOST_PARTS = 1000
# How files begin whose decoders take the next one's head for damage.
_MARKS = ((b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22"), (b"#!AMR\n", b"#!AMR-WB\n"))
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FilePart:
    """Bytes from `begin` to `end` of a file.

    They are read up to `read_to` (None: all), with other bytes at the places of `corrections`. Its head
    rightly promises `times_longer` as many samples as there are; None: it promises no more.
    """

    begin: int
    end: int
    read_to: int | None = None
    corrections: Mapping[int, bytes] = field(default_factory=dict)
    times_longer: float | None = None


def parts_of(path: Path) -> list[FilePart]:
    """The recordings in a file, in their order; at least one. Raises OSError."""
    size = path.stat().st_size
    parts: list[FilePart] = []
    with path.open("rb") as file:
        begin = 0
        while (begin < size and len(parts) < MOST_PARTS) or not parts:
            parts.append(_part(file, begin, size))
            begin = parts[-1].end
    return parts


def _part(file: BinaryIO, begin: int, size: int) -> FilePart:
    chunk = sound_chunk(file, begin)
    if chunk is not None:
        return _part_of_chunks(file, begin, chunk, size)
    return FilePart(begin, _next_beginning(file, begin, size) or size)


def _next_beginning(file: BinaryIO, begin: int, size: int) -> int | None:
    """Where the next recording begins in a file whose decoder would read on as if it were the same one."""
    file.seek(begin)
    head = file.read(12)
    if head.startswith(b"OggS"):
        return next_link(file, begin, size)
    if head[4:8] == b"ftyp":
        return next(
            (box.begin for box in boxes(file, begin, size) if box.begin > begin and box.name == b"ftyp"), None
        )
    marks = next((marks for marks in _MARKS if head.startswith(marks)), ())
    return _first_of(marks, file, begin + 1) if marks else None


def _first_of(marks: tuple[bytes, ...], file: BinaryIO, at: int) -> int | None:
    """Where the first of some marks stands, from a place on."""
    longest = max(map(len, marks))
    file.seek(at)
    tail = b""
    while content := file.read(_READ_AT_ONCE):
        content = tail + content
        found = [place for mark in marks if (place := content.find(mark)) >= 0]
        if found:
            return at - len(tail) + min(found)
        at += len(content) - len(tail)
        tail = content[-longest:]
    return None


def _part_of_chunks(file: BinaryIO, begin: int, chunk: SoundChunk, size: int) -> FilePart:
    extent = sound_extent(file, chunk, size)
    length = max(0, extent.end - chunk.start)
    corrections = {}
    if extent.stated is None:
        corrections = {place.at - begin: place.written(length) for place in chunk.fields}
    return FilePart(
        begin,
        _next_head(file, chunk, extent.end) or size,
        # What stands behind plain samples can only do harm: decoders refuse files for the title in them.
        extent.end if chunk.block > 1 else None,
        corrections,
        None if extent.stated is None else extent.stated / max(1, length),
    )


def _next_head(file: BinaryIO, chunk: SoundChunk, end: int) -> int | None:
    """Where another file begins behind the chunks of this one."""
    places = [end]
    if chunk.layout is not None:
        behind = chunks(file, chunk.layout.after(chunk.start, end - chunk.start), chunk.layout)
        places += [body - chunk.layout.head.size for _, body, _ in behind]
    return next((at for at in places if sound_chunk(file, at) is not None), None)


class PartOfFile:
    """The bytes of one part, as a file that begins at 0. Raises OSError."""

    def __init__(self, path: Path, part: FilePart) -> None:
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
