"""Pages of Ogg streams (RFC 3533): where a chain's links meet, and at which time each page begins."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from typing import Any, Protocol

_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags of a logical stream's first and last page
_LONGEST_PAGE = 65_307


class SeekableBytes(Protocol):
    """A file, or a part of one."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The present place."""


@dataclass(frozen=True)
class Page:
    """The head of a page; `end` is the place behind it, as far as its head tells."""

    begin: int
    end: int
    flags: int


def next_link(file: SeekableBytes, begin: int, size: int) -> int | None:
    """Where the next link of a chain begins, whose present one begins at `begin`; None where none does.

    A link's first pages are those of its logical streams; a first page after others begins the next link.
    """
    past_head = False
    page = page_at(file, begin)
    while page is not None:
        if not page.flags & _FIRST:
            past_head = True
        elif past_head:
            return page.begin
        page = page_at(file, page.end) if page.end < size else None
    return None


def page_at(file: SeekableBytes, at: int) -> Page | None:
    """The page whose head stands at a place."""
    file.seek(at)
    head = file.read(_PAGE.size + 255)
    if len(head) < _PAGE.size or head[:4] != b"OggS":
        return None
    segments = head[_PAGE.size - 1]
    table = head[_PAGE.size : _PAGE.size + segments]
    return Page(at, at + _PAGE.size + segments + sum(table), head[5])


def last_page(file: SeekableBytes, size: int) -> Page | None:
    """The last page that begins in a file of `size` bytes."""
    begin = max(0, size - 2 * _LONGEST_PAGE)
    file.seek(begin)
    at = file.read().rfind(b"OggS")
    return None if at < 0 else page_at(file, begin + at)


def is_last(page: Page) -> bool:
    """Whether a page says that its stream ends with it."""
    return bool(page.flags & _LAST)


def timed(packets: Iterable[Any], end_pts: int | None) -> Iterator[Any]:
    """Packets of a demuxer with the times that their pages state.

    A page states when it ends, and the demuxer tells it as the time of the next page's first packet. So where
    time passes without sound, it passes before the page that ends late, and not behind it.

    Args:
        end_pts: when the last page ends; None where that is not known.
    """
    pages = (list(of_page) for _, of_page in groupby(packets, key=lambda packet: packet.pos))
    nothing: list[Any] = []
    for page, following in pairwise(chain(pages, [nothing])):
        _move(page, following[0].pts if following and following[0].size else end_pts)
        yield from page


def _move(page: list[Any], end_pts: int | None) -> None:
    """Give the packets of a page the times that make it end when it does; never an earlier one."""
    begin = page[0].pts
    durations = [packet.duration for packet in page]
    if begin is None or end_pts is None or None in durations or not all(durations):
        return
    late = end_pts - (begin + sum(durations))
    for packet in page if late > 0 else ():
        if packet.pts is not None:
            packet.pts += late
            packet.dts = packet.pts
