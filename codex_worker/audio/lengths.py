"""Is the length that a head states true? Recorders that stream write it before they know it.

A head is believed where it can be true: it promises what is there, or more, as that of a file which was
cut off does. It is not believed where it is a stand-in for "not known" (see `is_placeholder`), or where
samples go on after the end that it states. Then they are all that is there, without the chunks behind them.
"""

from dataclasses import dataclass
from typing import BinaryIO

from codex_worker.audio.chunks import Layout, SoundChunk

_NOBODY_RECORDS_S = 7200.0  # longer recordings are not taken in any case
_FAR_BEYOND = 10  # times what is there
_ROUND_FROM = 10_000_000  # smaller lengths can be round by chance
_ROUND_WITHIN = 256  # bytes of a head that was taken off or added
_32_BITS_FROM = 0x7FFF_0000  # SoX, FFmpeg and others write some number near 2 or 4 GB
_FELT_S = 0.02  # less is no loss
_TAIL = 1 << 20  # in which chunks after the samples are looked for
_AFTER_SAMPLES = frozenset(  # chunks that recorders and editors put behind the samples
    name.ljust(4)
    for name in (
        b"LIST list INFO id3 ID3 bext iXML axml aXML cue smpl inst plst fact PEAK afsp JUNK junk PAD FLLR "
        b"chna levl ltxt labl note cart acid strc _PMX SNDM r64m umid DISP MD5 elm1 regn minf dbmd link ovwf "
        b"ANNO NAME AUTH (c) COMT MARK INST APPL MIDI AESD SAXL CHAN info pakt free mark kuki strg uuid ovvw "
        b"edct peak chan"
    ).split()
)
_FOREIGN = (b"ID3", b"TAG", b"APETAGEX", b"<?xpacket", b"<?xml")
_OTHER_FILES = (b"RIFF", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b".snd")
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class SoundExtent:
    """Where a file's samples end really; `stated` is set where its head rightly promises more, in bytes."""

    end: int
    stated: int | None = None


def sound_extent(file: BinaryIO, chunk: SoundChunk, size: int) -> SoundExtent:
    """Where the samples of a file of `size` bytes end.

    A stated end within the file is right unless samples go on behind it.
    """
    available = max(0, size - chunk.start)
    unknown = is_placeholder(chunk, available, size)
    if not unknown and chunk.stated > available:
        is_felt = chunk.stated - available > _FELT_S * chunk.bytes_per_s
        return SoundExtent(size, chunk.stated if is_felt else None)
    stated_end = chunk.start + chunk.stated
    if not unknown and not _samples_go_on(file, chunk, stated_end, size):
        return SoundExtent(stated_end)
    end = _without_chunks_behind(file, chunk, size)
    return SoundExtent(end - (end - chunk.start) % chunk.block)


def is_placeholder(chunk: SoundChunk, available: int, size: int) -> bool:
    """Whether a stated length can only mean "not known", where `available` bytes are there.

    An honest length is a whole number of samples. One that is larger than the file is a placeholder where the
    whole file is said to end where it ends, where the number is round or as large as 32 bits can be, or where
    it promises far more than is there and than anybody records.
    """
    stated = chunk.stated
    if stated <= 0:
        return True
    if stated <= available:
        return False
    if stated % chunk.block:
        return True
    if chunk.file_stated is not None and -8 <= size - chunk.file_stated <= 1:  # some count the first 8 bytes
        return True
    if stated >= _32_BITS_FROM or _is_round(stated):
        return True
    too_long = chunk.bytes_per_s > 0 and stated / chunk.bytes_per_s > _NOBODY_RECORDS_S
    return too_long and stated > _FAR_BEYOND * available


def _is_round(number: int) -> bool:
    """Whether a number is near a power of two, or is one digit or two with zeros behind them."""
    if number < _ROUND_FROM:
        return False
    power = 1 << (number.bit_length() - 1)
    near_power = min(number - power, 2 * power - number) <= _ROUND_WITHIN
    return near_power or len(str(number).rstrip("0")) <= 2


def _samples_go_on(file: BinaryIO, chunk: SoundChunk, end: int, size: int) -> bool:
    """Whether what follows the stated end is samples: no chunk, no tag, no filling and no other file."""
    if size - end <= max(chunk.block, chunk.layout.padded_to if chunk.layout else 1):
        return False
    file.seek(end)
    rest = file.read(64)
    if rest.startswith((*_FOREIGN, *_OTHER_FILES)):
        return False
    if chunk.layout is not None and any(
        _is_chunk(rest, at - end, chunk.layout, size - at)
        for at in {end, chunk.layout.after(chunk.start, chunk.stated)}
    ):
        return False
    return _holds_anything(file, end)


def _is_chunk(content: bytes, at: int, layout: Layout, room: int) -> bool:
    """Whether a chunk's head stands at an offset: a known name, or any name with a length that fits."""
    if at + layout.head.size > len(content):
        return False
    name, length = layout.chunk(content, at)
    if name[:4] in _AFTER_SAMPLES:
        return True
    return all(0x20 <= letter < 0x7F for letter in name[:4]) and 0 <= length <= room - layout.head.size


def _holds_anything(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    while content := file.read(_READ_AT_ONCE):
        if content.strip(b"\0"):
            return True
    return False


def _without_chunks_behind(file: BinaryIO, chunk: SoundChunk, size: int) -> int:
    """Where the chunks behind the samples begin, whatever the head says; the file's end where there are none.

    They are found from behind: a known name whose chunk ends with the file, or where another one begins.
    """
    layout = chunk.layout
    if layout is None:
        return size
    begin = max(chunk.start, size - _TAIL)
    file.seek(begin)
    tail = file.read()
    ends = {size, size + 1}  # the filling of the last one may be left out
    first = size
    for at in sorted(_places_of_names(tail), reverse=True):
        if at + layout.head.size > len(tail):
            continue
        _, length = layout.chunk(tail, at)
        body = begin + at + layout.head.size
        if length >= 0 and not ends.isdisjoint({body + length, layout.after(body, length)}):
            first = begin + at
            ends.add(first)
    return first


def _places_of_names(tail: bytes) -> set[int]:
    places = set()
    for name in _AFTER_SAMPLES:
        at = tail.find(name)
        while at >= 0:
            places.add(at)
            at = tail.find(name, at + 1)
    return places
