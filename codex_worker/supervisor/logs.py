"""A job's `logs.txt`: what the child printed and what the worker noted, bounded and without secrets."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from codex_worker.contract.plain_text import plain_line
from codex_worker.git.credentials import REDACTED
from codex_worker.supervisor.kept_lines import HEAD_BYTES, TAIL_BYTES, KeptLines
from codex_worker.supervisor.output_lines import lines_of

MAX_LINE_LENGTH = 4000
# A secret may be cut by line ends, into so many lines at most.
SECRET_LINES = 4
_LONGEST_SECRET = 8000

Redact = Callable[[str], str]

# What a job's own process prints is shown here as well, line by line, where the worker's log wants it (INFO).
CHILD_LOGGER = logging.getLogger("job")
CHILD_LOGGER.setLevel(logging.WARNING)
_WORKER = "worker"  # the source of lines that are not the child's


@dataclass(frozen=True)
class _Line:
    said_at_s: float
    source: str
    secret: str  # as it came
    shown: str

    @property
    def data(self) -> bytes:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.said_at_s))
        return f"{moment} {self.source}: {self.shown}\n".encode(errors="replace")

    @property
    def hidden(self) -> "_Line":
        return _Line(self.said_at_s, self.source, "", REDACTED)


class JobLog:
    """Lines with their time and source. The beginning and the end are published, the middle is left out.

    `redact` takes secrets out; `shorten` is for paths of this machine. Safe to use from any thread.
    """

    def __init__(
        self,
        path: Path,
        redact: Redact,
        now_s: Callable[[], float],
        shorten: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._redact = redact
        self._shorten = shorten
        self._now_s = now_s
        self._lock = threading.Lock()
        self._kept = KeptLines(path)
        self._newest: deque[_Line] = deque(maxlen=4 * SECRET_LINES)  # of all sources together
        self._unshown: deque[_Line] = deque()  # the child's, which a later one may still hold a secret with

    def header(self, **facts: object) -> None:
        """The first lines: which job, attempt and version this is."""
        for name, value in facts.items():
            self.line("worker", f"{name.replace('_', ' ')}: {value}")

    def line(self, source: str, text: str, left_out: int = 0) -> None:
        """Adds one line. What is too long is cut; secrets go first, so that none is cut in two.

        `left_out` characters of the line were never read.
        """
        text = text.rstrip()
        line = _Line(self._now_s(), source, text, self._shown(text, left_out))
        with self._lock:
            together = self._holding_a_secret_with(line)
            if together:
                newest = list(self._newest)
                again = newest[-together:]
                self._kept.take_back([each.data for each in again])
                self._newest = deque(newest[:-together], self._newest.maxlen)
                for each in again:
                    self._add(each.hidden if each.source == source else each)
                line = line.hidden
                if source != _WORKER:
                    self._hide_newest(sum(each.source == source for each in again))
            self._add(line)
            if source != _WORKER:
                self._unshown.append(line)
        self._show_all_but(SECRET_LINES - 1)

    def content(self) -> bytes:
        """What is published: the beginning, a note of how much is missing, the end."""
        with self._lock:
            return self._kept.content()

    def close(self) -> None:
        """Closes the file; `content` still answers."""
        self._show_all_but(0)
        with self._lock:
            self._kept.close()

    def read_from(self, pipe: BinaryIO, source: str) -> None:
        """Takes a process's output until its end."""
        for line in lines_of(pipe):
            self.line(source, line.text, line.left_out)

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

    def _show_all_but(self, newest: int) -> None:
        """Gives the child's lines to the worker's log, but for those that may hold a part of a secret."""
        with self._lock:
            ready = [self._unshown.popleft() for _ in range(len(self._unshown) - newest)]
        for line in ready:  # without the lock: the log's handlers may wait for whoever waits for it
            CHILD_LOGGER.info("%s", line.shown, extra={"said_at_s": line.said_at_s})

    def _hide_newest(self, count: int) -> None:
        for place in range(-min(count, len(self._unshown)), 0):
            self._unshown[place] = self._unshown[place].hidden

    def _add(self, line: _Line) -> None:
        self._kept.add(line.data)
        self._newest.append(line)

    def _shown(self, text: str, left_out: int) -> str:
        shown = self._redact(text)
        if left_out:  # the end of what was read may be the first half of a secret
            shown, left_out = shown[:-_LONGEST_SECRET], left_out + min(_LONGEST_SECRET, len(shown))
        shown = plain_line(self._shorten(shown))
        left_out += max(0, len(shown) - MAX_LINE_LENGTH)
        return f"{shown[:MAX_LINE_LENGTH]} ... ({left_out} characters more)" if left_out else shown

    def _holding_a_secret_with(self, line: _Line) -> int:
        """How many of the newest lines hold a secret together with this one that none holds alone."""
        earlier = [each for each in self._newest if each.source == line.source]
        texts = [line.secret[:_LONGEST_SECRET].lstrip()]
        for each in islice(reversed(earlier), SECRET_LINES - 1):
            texts.insert(0, each.secret[-_LONGEST_SECRET:].strip())
        if not self._hides_more(texts):
            return 0
        together = len(texts)
        while together > 2 and self._hides_more(texts[-together + 1 :]):
            together -= 1
        first = earlier[-together + 1]
        return next(back for back, each in enumerate(reversed(self._newest), 1) if each is first)

    def _hides_more(self, texts: list[str]) -> bool:
        return self._redact("".join(texts)) != "".join(map(self._redact, texts))


class _ToJobLog(logging.Handler):
    def __init__(self, log: JobLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == CHILD_LOGGER.name:
            return  # it came from here
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
