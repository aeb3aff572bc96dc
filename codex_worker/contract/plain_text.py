"""Text that may be written anywhere: a log, YAML, a page, a commit."""

import re

REPLACEMENT = "\ufffd"

# Control characters but tab and line ends, and halves of surrogate pairs, which no encoding can write.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")
_UNWRITABLE_ON_A_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_text(text: str) -> str:
    """The text with a replacement character for each one that cannot be written everywhere."""
    return _UNWRITABLE.sub(REPLACEMENT, text)


def plain_line(text: str) -> str:
    """The same on one line, which nothing in it can end."""
    return _UNWRITABLE_ON_A_LINE.sub(REPLACEMENT, text)


def plain_bytes(data: bytes, limit_bytes: int) -> bytes:
    """A text file's bytes as plain UTF-8 that ends with a whole line within the limit."""
    if len(data) > limit_bytes:
        data = data[: data.rfind(b"\n", 0, limit_bytes) + 1] or data[:limit_bytes]
    if data.isascii() and not _has_controls(data):
        return data
    text = data.decode("utf-8", errors="replace").removeprefix("\ufeff")
    # A replacement is longer than what it replaces: cut again, but never within a letter.
    return plain_text(text).encode()[:limit_bytes].decode("utf-8", errors="ignore").encode()


def _has_controls(data: bytes) -> bool:
    return _UNWRITABLE.search(data.decode("ascii")) is not None
