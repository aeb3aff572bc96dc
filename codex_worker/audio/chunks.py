"""Files made of chunks (WAV, RF64, Sony's Wave64, AIFF, CAF) and AU: where their samples lie.

Sources: RIFF (Microsoft 1991), EBU Tech 3306 and ITU-R BS.2088 (RF64, BW64), Apple's AIFF-C and Core Audio
Format, NeXT's .au.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of all GUIDs but the first
_PLAIN_WAV = {1, 3, 6, 7}  # whole numbers, decimals, A-law, mu-law: every block is one sample of all channels
_WAV_EXTENSIBLE = 0xFFFE
_CAF_PLAIN = {b"lpcm", b"alaw", b"ulaw"}
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # encoding: bytes of a sample
MOST_CHUNKS = 10_000


@dataclass(frozen=True)
class Layout:
    """How a family of files writes the head of a chunk."""

    head: struct.Struct  # name, length
    padded_to: int = 1  # bytes; where the next chunk begins
    counts_head: bool = False  # whether the length includes the head itself

    def chunk(self, content: bytes, at: int = 0) -> tuple[bytes, int]:
        """Name and length of the body of the chunk whose head stands at an offset of `content`."""
        name, length = self.head.unpack_from(content, at)
        return name, length - self.head.size if self.counts_head else length

    def after(self, body: int, length: int) -> int:
        """Where the next chunk begins."""
        return body + length + -length % self.padded_to


RIFF = Layout(struct.Struct("<4sI"), padded_to=2)
IFF = Layout(struct.Struct(">4sI"), padded_to=2)
W64 = Layout(struct.Struct("<16sq"), padded_to=8, counts_head=True)
CAF = Layout(struct.Struct(">4sq"))


@dataclass(frozen=True)
class LengthField:
    """A place in the head that tells how many bytes of samples there are, `extra` bytes included."""

    at: int
    form: str  # of `struct`
    extra: int = 0
    unit: int = 1  # bytes that are counted as one

    def written(self, length: int) -> bytes:
        """The field for so many bytes of samples; all ones where they are too many for it."""
        size = struct.calcsize(self.form)
        most = (1 << 8 * size) - 1 if self.form[-1].isupper() else (1 << 8 * size - 1) - 1
        return struct.pack(self.form, min(length // self.unit + self.extra, most))


@dataclass(frozen=True)
class SoundChunk:
    """Where a file's samples begin and what its head says of them. Positions and lengths are in bytes."""

    start: int
    stated: int  # how many bytes of samples the head promises
    layout: Layout | None  # of the chunks that may follow; None: none may
    file_stated: int | None  # how long the head says that the whole file is
    fields: tuple[LengthField, ...]
    block: int = 1  # of one sample of all channels; 1 where a codec has blocks of its own
    bytes_per_s: float = 0.0  # 0: unknown


@dataclass
class _Found:
    """What the chunks before the samples told."""

    block: int = 1
    bytes_per_s: float = 0.0
    frames: int = 0
    stated: int | None = None
    fields: list[LengthField] = field(default_factory=list)


def sound_chunk(file: BinaryIO, begin: int = 0) -> SoundChunk | None:
    """Find the samples of a file whose head stands at `begin`; None for a file of another kind."""
    file.seek(begin)
    head = file.read(40)
    if head[8:12] == b"WAVE" and head[:4] in {b"RIFF", b"RF64", b"BW64"}:
        return _wav(file, begin, head)
    if head[:16] == _W64_RIFF and head[24:40] == b"wave" + _W64_TAIL:
        return _w64(file, begin, head)
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return _aiff(file, begin, head)
    if head[:4] == b"caff":
        return _caf(file, begin)
    if head[:4] == b".snd" and len(head) >= 24:
        return _au(begin, head)
    return None


def chunks(file: BinaryIO, at: int, layout: Layout) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the body and its length for each chunk from `at` on, as far as heads can be read."""
    size = file.seek(0, os.SEEK_END)
    for _ in range(MOST_CHUNKS):
        if at + layout.head.size > size:
            return
        file.seek(at)
        head = file.read(layout.head.size)
        name, length = layout.chunk(head)
        body = at + layout.head.size
        yield name, body, length
        if length < 0:
            return
        at = layout.after(body, length)


def _wav(file: BinaryIO, begin: int, head: bytes) -> SoundChunk | None:
    is_long = head[:4] in {b"RF64", b"BW64"}
    found = _Found()
    file_stated = None if is_long else 8 + RIFF.chunk(head)[1]
    for name, body, length in chunks(file, begin + 12, RIFF):
        if name == b"data":
            fields = found.fields if is_long else [LengthField(body - 4, "<I")]
            stated = length if found.stated is None else found.stated
            return SoundChunk(body, stated, RIFF, file_stated, tuple(fields), found.block, found.bytes_per_s)
        if name == b"fmt ":
            _wav_format(_read(file, body, 26), found)
        elif name == b"ds64" and is_long and len(sizes := _read(file, body, 24)) == 24:
            whole, found.stated, _ = struct.unpack("<qqq", sizes)
            file_stated = 8 + whole
            # How many samples these are stands there as well; 0 makes every reader work it out.
            found.fields = [LengthField(body + 8, "<q"), LengthField(body + 16, "<q", unit=1 << 62)]
    return None


def _wav_format(values: bytes, found: _Found) -> None:
    if len(values) < 16:
        return
    tag, _, _, bytes_per_s, block, _ = struct.unpack_from("<HHIIHH", values)
    if tag == _WAV_EXTENSIBLE and len(values) >= 26:
        (tag,) = struct.unpack_from("<H", values, 24)
    found.bytes_per_s = bytes_per_s
    found.block = max(1, block) if tag in _PLAIN_WAV else 1


def _w64(file: BinaryIO, begin: int, head: bytes) -> SoundChunk | None:
    found = _Found()
    for name, body, length in chunks(file, begin + 40, W64):
        if name == b"data" + _W64_TAIL:
            fields = (LengthField(body - 8, "<q", extra=W64.head.size),)
            stated = int.from_bytes(head[16:24], "little", signed=True)
            return SoundChunk(body, length, W64, stated, fields, found.block, found.bytes_per_s)
        if name == b"fmt " + _W64_TAIL:
            _wav_format(_read(file, body, 26), found)
    return None


def _aiff(file: BinaryIO, begin: int, head: bytes) -> SoundChunk | None:
    found = _Found()
    for name, body, length in chunks(file, begin + 12, IFF):
        if name == b"COMM":
            _aiff_format(_read(file, body, 22), is_plain=head[8:12] == b"AIFF", found=found)
            if found.block > 1:
                found.fields = [LengthField(body + 2, ">I", unit=found.block)]
        elif name == b"SSND":
            offset = int.from_bytes(_read(file, body, 4))
            found.fields.append(LengthField(body - 4, ">I", extra=8 + offset))
            stated = length - 8 - offset
            return SoundChunk(
                body + 8 + offset,
                stated if stated > 0 else found.frames * found.block,
                IFF,
                8 + IFF.chunk(head)[1],
                tuple(found.fields),
                found.block,
                found.bytes_per_s,
            )
    return None


def _aiff_format(values: bytes, *, is_plain: bool, found: _Found) -> None:
    if len(values) < 18:
        return
    channels, found.frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", values)
    rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent < 0x5000 else 0.0
    if is_plain or values[18:22] in {b"NONE", b"sowt", b"twos"}:
        found.block = max(1, channels * -(-bits // 8))
        found.bytes_per_s = found.block * rate


def _caf(file: BinaryIO, begin: int) -> SoundChunk | None:
    found = _Found()
    for name, body, length in chunks(file, begin + 8, CAF):
        if name == b"desc" and len(values := _read(file, body, 32)) == 32:
            rate, kind, _, packet_bytes, packet_frames = struct.unpack_from(">d4sIII", values)
            if kind in _CAF_PLAIN and packet_bytes and packet_frames:
                found.block, found.bytes_per_s = packet_bytes, rate * packet_bytes / packet_frames
        elif name == b"data":  # it begins with a number of edits, 4 bytes
            fields = (LengthField(body - 8, ">q", extra=4),)
            stated = length - 4 if length >= 0 else -1
            return SoundChunk(body + 4, stated, CAF, None, fields, found.block, found.bytes_per_s)
    return None


def _au(begin: int, head: bytes) -> SoundChunk:
    offset, stated, encoding, rate, channels = struct.unpack_from(">IIIII", head, 4)
    block = _AU_BYTES.get(encoding, 0) * channels
    fields = (LengthField(begin + 8, ">I"),)
    return SoundChunk(begin + offset, stated, None, None, fields, max(1, block), float(block * rate))


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
