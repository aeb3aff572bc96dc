"""Pages of Ogg streams (RFC 3533): where a chain's links meet, and whether the last one is whole."""

import struct
from dataclasses import dataclass
from typing import Protocol

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
class OggPage:
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


def page_at(file: SeekableBytes, at: int) -> OggPage | None:
    """The page whose head stands at a place."""
    file.seek(at)
    head = file.read(_PAGE.size + 255)
    if len(head) < _PAGE.size or head[:4] != b"OggS":
        return None
    segments = head[_PAGE.size - 1]
    table = head[_PAGE.size : _PAGE.size + segments]
    return OggPage(at, at + _PAGE.size + segments + sum(table), head[5])


def last_page(file: SeekableBytes, size: int) -> OggPage | None:
    """The last page that begins in a file of `size` bytes."""
    begin = max(0, size - 2 * _LONGEST_PAGE)
    file.seek(begin)
    at = file.read().rfind(b"OggS")
    return None if at < 0 else page_at(file, begin + at)


def is_last(page: OggPage) -> bool:
    """Whether a page says that its stream ends with it."""
    return bool(page.flags & _LAST)
