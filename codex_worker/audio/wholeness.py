"""Is a file complete? Answered from its container, because decoders end silently where the bytes end."""

import struct
from pathlib import Path
from typing import BinaryIO

_OGG_PAGE = struct.Struct("<4sBBqIIIB")  # RFC 3533, section 6
_MATROSKA_SEGMENT = 0x18538067  # RFC 8794 (EBML) and RFC 9559 (Matroska)
_MATROSKA_CLUSTER = 0x1F43B675


def missing_end(path: Path, container: str) -> str | None:
    """Say what shows that the file's end is missing; None where nothing shows it.

    Looks only where a container states sizes: wav, ogg, webm and Matroska. The others state a duration.

    Args:
        container: FFmpeg's name of the format, like `matroska,webm`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if container == "wav":
            return _wav(file, size)
        if container == "ogg":
            return _ogg(file, size)
        if "matroska" in container:
            return _matroska(file, size)
    return None


def states_mp3_length(path: Path) -> bool:
    """Whether an mp3 has a Xing, Info or VBRI header; without one its stated duration is a guess."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3" and len(head) == 10:
            tag_size = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
            file.seek(10 + tag_size)
        else:
            file.seek(0)
        first_frame = file.read(4096)
    return any(mark in first_frame for mark in (b"Xing", b"Info", b"VBRI"))


def _wav(file: BinaryIO, size: int) -> str | None:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"data":
            streamed = length in (0, 0xFFFFFFFF)
            return None if streamed or file.tell() + length <= size else "its header promises more samples"
        file.seek(length + length % 2, 1)
    return None


def _ogg(file: BinaryIO, size: int) -> str | None:
    tail_size = min(size, 2 * 65_307)  # a page has at most 65,307 bytes
    file.seek(size - tail_size)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return None
    if len(tail) < at + _OGG_PAGE.size:
        return "its last page is incomplete"
    segments = tail[at + _OGG_PAGE.size - 1]
    table_end = at + _OGG_PAGE.size + segments
    body = sum(tail[at + _OGG_PAGE.size : table_end])
    return "its last page is incomplete" if table_end + body > len(tail) else None


def _matroska(file: BinaryIO, size: int) -> str | None:
    """Walk from element to element, into segment and clusters only, and see whether the last one fits."""
    file.seek(0)
    while file.tell() < size:
        identifier = _ebml_number(file, keep_marker=True)
        length = _ebml_number(file, keep_marker=False)
        if identifier is None or length is None:
            return "it ends within the head of an element"
        if identifier == _MATROSKA_SEGMENT and length >= 0 and file.tell() + length > size:
            return "its segment is longer than the file"
        if identifier in (_MATROSKA_SEGMENT, _MATROSKA_CLUSTER):
            continue
        if length < 0:
            return None  # only the two above may have an unknown size; this is no file to judge
        if file.tell() + length > size:
            return "its last element is incomplete"
        file.seek(length, 1)
    return None


def _ebml_number(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """A number of 1 to 8 bytes whose first byte tells how many; -1 for an unknown size, None at the end."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    count = 9 - first[0].bit_length()
    rest = file.read(count - 1)
    if len(rest) < count - 1:
        return None
    value = int.from_bytes(first + rest)
    if keep_marker:
        return value
    bits = (1 << (7 * count)) - 1
    value &= bits
    return -1 if value == bits else value
