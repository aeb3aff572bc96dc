"""Is a file complete? Answered from its container, because decoders end silently where the bytes end."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from codex_worker.audio.ogg import SeekableBytes, is_last, last_page

_MATROSKA_SEGMENT = 0x18538067  # RFC 8794 (EBML) and RFC 9559 (Matroska)
_MATROSKA_CLUSTER = 0x1F43B675
_OF_MP4 = {b"mdat", b"moof", b"moov"}
_OTHERS_FOLLOW = 0.9  # of a file; tags at its end need less than the rest
_FAR_BEYOND = 10  # times the file: a segment of this length was never measured


@dataclass(frozen=True)
class FileEnding:
    """What a container tells of the end of its file.

    `missing` says what shows that the end is lost. `is_proved`: the container states where it ends, and it is
    all there; then sound that it promises and does not hold was never recorded.
    """

    missing: str | None = None
    is_proved: bool = False


def ending(file: SeekableBytes, size: int, container: str) -> FileEnding:
    """Look at the end of a file of `size` bytes, where its container states sizes: ogg, Matroska and MP4.

    Args:
        container: FFmpeg's name of the format, like `matroska,webm`.
    """
    if container == "ogg":
        return _ogg(file, size)
    if "matroska" in container:
        return _matroska(file, size)
    if "mp4" in container:
        return _mp4(file, size)
    return FileEnding()


def beginning_without_end(file: SeekableBytes, size: int, head: bytes) -> str | None:
    """What shows that a file which no decoder takes begins a recording whose end is lost."""
    for mark, place, container in (
        (b"ftyp", 4, "mp4"),
        (b"OggS", 0, "ogg"),
        (b"\x1a\x45\xdf\xa3", 0, "matroska"),
    ):
        if head[place : place + 4] == mark:
            return ending(file, size, container).missing
    return None


def states_mp3_length(file: SeekableBytes, size: int) -> bool:
    """Whether an mp3 has a Xing, Info or VBRI header for all of it; without one its duration is a guess.

    Where it has one for less than the whole file, other files have been put behind the first.
    """
    file.seek(0)
    head = file.read(10)
    begin = 0
    if head[:3] == b"ID3" and len(head) == 10:
        begin = 10 + ((head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9])
    file.seek(begin)
    first_frame = file.read(4096)
    at = max(first_frame.find(mark) for mark in (b"Xing", b"Info"))
    if at < 0:
        return b"VBRI" in first_frame
    flags, _, length = struct.unpack(">III", first_frame[at + 4 : at + 16].ljust(12, b"\0"))
    states_bytes = flags & 3 == 3
    return not states_bytes or begin + length >= _OTHERS_FOLLOW * size


def _ogg(file: SeekableBytes, size: int) -> FileEnding:
    page = last_page(file, size)
    if page is None or page.end > size:
        return FileEnding("its last page is incomplete")
    return FileEnding(is_proved=is_last(page))


def _matroska(file: SeekableBytes, size: int) -> FileEnding:
    """Walk from element to element, into segment and clusters only, and see whether the last one fits."""
    file.seek(0)
    is_proved, is_shorter = False, False
    while file.tell() < size:
        identifier = _ebml_number(file, keep_marker=True)
        length = _ebml_number(file, keep_marker=False)
        if identifier is None or length is None:
            return FileEnding("it ends within the head of an element")
        if identifier == _MATROSKA_SEGMENT and length >= 0:
            is_proved = file.tell() + length <= size
            is_shorter = size < file.tell() + length < _FAR_BEYOND * size
        if identifier in (_MATROSKA_SEGMENT, _MATROSKA_CLUSTER):
            continue
        if length < 0:
            return FileEnding()  # only the two above may have an unknown size; this is no file to judge
        if file.tell() + length > size:
            return FileEnding("its last element is incomplete")
        file.seek(length, 1)
    return FileEnding("its segment is longer than the file" if is_shorter else None, is_proved)


def _mp4(file: SeekableBytes, size: int) -> FileEnding:
    """Walk over the outermost boxes; fragments state no end of the whole."""
    is_proved = True
    for box in boxes(file, 0, size):
        if box.end is None:
            return FileEnding()
        if box.end > size:
            return FileEnding("its last box is incomplete" if box.name in _OF_MP4 else None)
        is_proved = is_proved and box.name != b"moof"
    return FileEnding(is_proved=is_proved)


@dataclass(frozen=True)
class Box:
    """An outermost box of an MP4 file; `end` is None where it goes on to the end, or makes no sense."""

    name: bytes
    begin: int
    end: int | None


def boxes(file: SeekableBytes, at: int, size: int) -> Iterator[Box]:
    """The outermost boxes from a place on (ISO/IEC 14496-12), up to the first one whose end is not known."""
    end: int | None = at
    while end is not None and end + 8 <= size:
        begin = end
        file.seek(begin)
        head = file.read(16)
        length, name = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        is_sound = length >= 8 and all(0x20 <= letter < 0x7F for letter in name)
        end = begin + length if is_sound else None
        yield Box(name, begin, end)


def _ebml_number(file: SeekableBytes, *, keep_marker: bool) -> int | None:
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
