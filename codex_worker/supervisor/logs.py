"""A job's `logs.txt`: what the child printed and what the worker noted, bounded and without secrets."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MAX_LINE_LENGTH = 4000
HEAD_BYTES = 200_000
TAIL_BYTES = 600_000
# The folder keeps more than the repository gets; beyond this only the newest part is kept, in memory.
MAX_FILE_BYTES = 50_000_000

Redact = Callable[[str], str]


class JobLog:
    """Lines with their time and source. The beginning and the end are published, the middle is left out.

    Safe to use from any thread.
    """

    def __init__(self, path: Path, redact: Redact, now_s: Callable[[], float]) -> None:
        self._redact = redact
        self._now_s = now_s
        self._lock = threading.Lock()
        self._head: list[bytes] = []
        self._tail: deque[bytes] = deque()
        self._head_bytes = self._tail_bytes = self._left_out = 0
        self._file: BinaryIO | None = path.open("wb", buffering=0)
        self._file_bytes = 0

    def header(self, **facts: object) -> None:
        """The first lines: which job, attempt and version this is."""
        for name, value in facts.items():
            self.line("worker", f"{name.replace('_', ' ')}: {value}")

    def line(self, source: str, text: str) -> None:
        """Adds one line. What is too long is cut; secrets go first, so that none is cut in two."""
        text = self._redact(text.rstrip())
        if len(text) > MAX_LINE_LENGTH:
            text = f"{text[:MAX_LINE_LENGTH]} ... ({len(text) - MAX_LINE_LENGTH} characters more)"
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._now_s()))
        with self._lock:
            self._add(f"{moment} {source}: {text}\n".encode(errors="replace"))

    def content(self) -> bytes:
        """What is published: the beginning, a note of how much is missing, the end."""
        with self._lock:
            note = [f"... {self._left_out} lines are left out here ...\n".encode()] if self._left_out else []
            return b"".join([*self._head, *note, *self._tail])

    def close(self) -> None:
        """Closes the file; `content` still answers."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def read_from(self, pipe: BinaryIO, source: str) -> None:
        """Takes a process's output until its end. A progress bar that redraws itself counts as one line."""
        while line := pipe.readline(64 * 1024):
            text = line.decode("utf-8", errors="replace").rstrip("\r\n").rpartition("\r")[2]
            if text.strip():
                self.line(source, text)

    @contextmanager
    def capturing(self, level: int = logging.INFO) -> Iterator[None]:
        """Within the block the worker's own log records go here as well."""
        handler = _ToJobLog(self)
        handler.setLevel(level)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def _add(self, line: bytes) -> None:
        if self._file is not None and self._file_bytes + len(line) <= MAX_FILE_BYTES:
            try:
                self._file.write(line)
                self._file_bytes += len(line)
            except OSError:  # a full disk: the log in memory goes on and will say why the job failed
                self._file.close()
                self._file = None
        if self._head_bytes + len(line) <= HEAD_BYTES and not self._tail:
            self._head.append(line)
            self._head_bytes += len(line)
            return
        self._tail.append(line)
        self._tail_bytes += len(line)
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())
            self._left_out += 1


class _ToJobLog(logging.Handler):
    def __init__(self, log: JobLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            prefix = "" if record.levelno < logging.WARNING else f"{record.levelname} "
            text = record.getMessage()
            if record.exc_info:
                text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
            for line in text.splitlines() or [""]:
                self._log.line("worker", prefix + line)
        except Exception:  # logging's own rule: a log line must not end what it tells of
            self.handleError(record)


def bounded(content: bytes) -> bytes:
    """The beginning and the end of a log, as much as is published."""
    if len(content) <= HEAD_BYTES + TAIL_BYTES:
        return content
    head, tail = content[:HEAD_BYTES].rpartition(b"\n")[0], content[-TAIL_BYTES:].partition(b"\n")[2]
    return head + b"\n... the middle is left out here ...\n" + tail


class RedactSecrets(logging.Filter):
    """Takes secrets out of every record of a handler, its traceback included."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """Part of logging's protocol; lets every record through."""
        record.msg, record.args = self._redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self._redact(logging.Formatter().formatException(record.exc_info))
        return True
