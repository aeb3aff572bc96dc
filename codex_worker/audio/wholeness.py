"""Is a file complete? Answered from its container, because decoders end silently where the bytes end."""

import struct
from dataclasses import dataclass

from codex_worker.audio.ogg import SeekableBytes, is_last, last_page

_MATROSKA_SEGMENT = 0x18538067  # RFC 8794 (EBML) and RFC 9559 (Matroska)
_MATROSKA_CLUSTER = 0x1F43B675
_FAR_BEYOND = 10  # times the file: a segment of this length was never measured


@dataclass(frozen=True)
class Ending:
    """What a container tells of the end of its file.

    `missing` says what shows that the end is lost. `is_proved`: the container states where it ends, and it is
    all there; then sound that it promises and does not hold was never recorded.
    """

    missing: str | None = None
    is_proved: bool = False


def ending(file: SeekableBytes, size: int, container: str) -> Ending:
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
    return Ending()


def states_mp3_length(file: SeekableBytes) -> bool:
    """Whether an mp3 has a Xing, Info or VBRI header; without one its stated duration is a guess."""
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        tag_size = (head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]
        file.seek(10 + tag_size)
    else:
        file.seek(0)
    first_frame = file.read(4096)
    return any(mark in first_frame for mark in (b"Xing", b"Info", b"VBRI"))


def _ogg(file: SeekableBytes, size: int) -> Ending:
    page = last_page(file, size)
    if page is None or page.end > size:
        return Ending("its last page is incomplete")
    return Ending(is_proved=is_last(page))


def _matroska(file: SeekableBytes, size: int) -> Ending:
    """Walk from element to element, into segment and clusters only, and see whether the last one fits."""
    file.seek(0)
    is_proved, is_shorter = False, False
    while file.tell() < size:
        identifier = _ebml_number(file, keep_marker=True)
        length = _ebml_number(file, keep_marker=False)
        if identifier is None or length is None:
            return Ending("it ends within the head of an element")
        if identifier == _MATROSKA_SEGMENT and length >= 0:
            is_proved = file.tell() + length <= size
            is_shorter = size < file.tell() + length < _FAR_BEYOND * size
        if identifier in (_MATROSKA_SEGMENT, _MATROSKA_CLUSTER):
            continue
        if length < 0:
            return Ending()  # only the two above may have an unknown size; this is no file to judge
        if file.tell() + length > size:
            return Ending("its last element is incomplete")
        file.seek(length, 1)
    return Ending("its segment is longer than the file" if is_shorter else None, is_proved)


def _mp4(file: SeekableBytes, size: int) -> Ending:
    """Walk over the outermost boxes (ISO/IEC 14496-12); fragments state no end of the whole."""
    at, is_proved = 0, True
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if not all(0x20 <= letter < 0x7F for letter in name) or 0 < length < 8:
            return Ending()
        if length == 0:  # up to the end, wherever that is
            return Ending()
        if at + length > size:
            return Ending("its last box is incomplete") if name in {b"mdat", b"moof", b"moov"} else Ending()
        is_proved = is_proved and name != b"moof"
        at += length
    return Ending(is_proved=is_proved)


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
