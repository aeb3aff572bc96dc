"""The lines of a log within bounds: all of them in a file, the beginning and the end in memory."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 200_000
TAIL_BYTES = 600_000
# The folder keeps more than the repository gets; beyond this only the newest part is kept, in memory.
MAX_FILE_BYTES = 50_000_000


class KeptLines:
    """Lines that end with a newline. The newest few can be taken back again.

    Where the file cannot be written the lines in memory go on, and will say why a job failed.
    """

    def __init__(self, path: Path) -> None:
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_bytes = self._tail_bytes = self._left_out = 0
        self._file: BinaryIO | None = None
        self._file_bytes = 0
        try:
            self._file = path.open("wb", buffering=0)
        except OSError:
            return

    def add(self, line: bytes) -> None:
        """One more."""
        self._write(line)
        if self._head_bytes + len(line) <= HEAD_BYTES and not self._tail:
            self._head.append(line)
            self._head_bytes += len(line)
            return
        self._tail.append(line)
        self._tail_bytes += len(line)
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())
            self._left_out += 1

    def take_back(self, lines: Sequence[bytes]) -> None:
        """Removes these, which were added last."""
        for line in reversed(lines):
            if self._tail:
                self._tail.pop()
                self._tail_bytes -= len(line)
            else:
                self._head.pop()
                self._head_bytes -= len(line)
        self._shorten_file(sum(map(len, lines)))

    def content(self) -> bytes:
        """The beginning, a note of how much is missing, the end."""
        note = [f"... {self._left_out} lines are left out here ...\n".encode()] if self._left_out else []
        return b"".join([*self._head, *note, *self._tail])

    def close(self) -> None:
        """Closes the file; `content` still answers."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        if self._file_bytes + len(line) > MAX_FILE_BYTES:
            self.close()
            return
        try:
            self._file.write(line)
            self._file_bytes += len(line)
        except OSError:  # a full disk
            self.close()

    def _shorten_file(self, length: int) -> None:
        if self._file is None:
            return
        self._file_bytes -= length
        try:
            self._file.seek(self._file_bytes)
            self._file.truncate()
        except OSError:
            self.close()
