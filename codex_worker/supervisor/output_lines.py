"""A process's output cut into lines, whatever it writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class OutputLine:
    """One line without its end; of a longer one the beginning, and how many bytes of it are left out."""

    text: str
    left_out: int = 0


def lines_of(pipe: BinaryIO) -> Iterator[OutputLine]:
    """Lines that are not blank. A progress bar that redraws itself counts as one, with its last state."""
    kept, left_out = b"", 0
    while block := pipe.readline(MAX_LINE_BYTES):
        is_whole = block.endswith(b"\n")
        before, drawn_anew, after = block.rstrip(b"\r\n" if is_whole else b"").rpartition(b"\r")
        # A \r at the very end of a block may be the first half of a line's end.
        if drawn_anew and (after or is_whole):
            kept, left_out = b"", 0
        else:
            after = before + drawn_anew + after
        room = MAX_LINE_BYTES - len(kept)
        kept, left_out = kept + after[:room], left_out + max(0, len(after) - room)
        if is_whole:
            yield from _line(kept, left_out)
            kept, left_out = b"", 0
    yield from _line(kept, left_out)


def _line(kept: bytes, left_out: int) -> Iterator[OutputLine]:
    text = kept.decode("utf-8", errors="replace").rstrip("\r").rpartition("\r")[2]
    if text.strip() or left_out:
        yield OutputLine(text, left_out)
