"""Running the git program: bounded in time, deaf to the user's configuration, silent about secrets."""

import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from codex_worker.errors import ServerUnreachable, WorkerError
from codex_worker.git.faults import fault_here, local_fault, network_error, stopped
from codex_worker.git.gate import Gate, Passage
from codex_worker.git.surroundings import settings_for, umask_for, variables

logger = logging.getLogger(__name__)

# What one fetch may bring, packed. A project's trees are a few MB; its notebooks, all at once, some ten.
MAX_FETCHED_BYTES = 256 * 1024 * 1024
LONGEST_S = 600.0
MOST_WORDS_BYTES = 20_000
# git unpacks what is larger as a stream, instead of in its memory.
_STREAMED = ("core.bigFileThreshold=8m",)

_RECEIVED = re.compile(rb"objects: [^\r\n]*?, ([0-9.]+) (bytes|[KMG]iB)")
_UNITS = {b"bytes": 1, b"KiB": 2**10, b"MiB": 2**20, b"GiB": 2**30}
_ANNOUNCED = re.compile(rb"Receiving objects: .*?/(\d+)\)")


@dataclass(frozen=True)
class Finished:
    """A git command's end."""

    code: int
    output: bytes
    words: str  # its standard error, redacted


class Git:
    """The git program on one bare repository."""

    def __init__(
        self,
        folder: Path,
        *,
        address: str | None = None,
        gate: Gate | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        """`address` is where it was fetched from; the way there, with the token, leads through the `gate`."""
        self.folder = folder
        self._address = address
        self._settings = settings_for(address)
        self._gate = gate
        self._redact = redact

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        settings: Sequence[str] = (),
        timeout_s: float = 600,
        online: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Runs git; with `online`, through the gate. Raises ServerUnreachable on a timeout."""
        with self._passage(online) as passage:
            command = self._command(arguments, settings, passage)
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=variables(os.environ) | dict(environment or {}),
                umask=umask_for(self._address),
            ) as process:
                if passage:
                    passage.admit(process.pid)
                try:
                    output, words = process.communicate(stdin, timeout_s)
                except subprocess.TimeoutExpired as error:
                    raise ServerUnreachable(
                        f"git {arguments[0]} gave no answer in {timeout_s:.0f} s."
                    ) from error
                finally:
                    process.kill()
        return Finished(process.returncode, output, self._said(words, passage))

    def local(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        """A command that asks no server. Raises ResourceError or CacheBroken when it fails."""
        done = self.run(*arguments, stdin=stdin, environment=environment)
        if done.code != 0:
            raise self.local_fault(arguments[0], done.words, done.code)
        return done.output

    def online(self, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()) -> bytes:
        """A command that asks the server. Raises what `fault` answers."""
        done = self.run(*arguments, stdin=stdin, settings=settings, online=True)
        if done.code != 0:
            raise self.fault(arguments[0], done.words, done.code)
        return done.output

    @contextmanager
    def streaming(
        self, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = (), online: bool = False
    ) -> Iterator[IO[bytes]]:
        """The output of a command, as it comes: whoever has had enough leaves, and the command is ended.

        Raises what `local` raises, and where it asks the server what `online` does.
        """
        with (
            TemporaryFile() as given,
            TemporaryFile() as words,
            self._passage(online) as passage,
            _started(
                self._command(arguments, settings, passage), umask_for(self._address), given, words, stdin
            ) as process,
        ):
            if passage:
                passage.admit(process.pid)
            output = cast(IO[bytes], process.stdout)
            yield output
            if output.read(1):
                return  # there is more, and nobody wants it
            code = process.wait()
            words.seek(0)
            said = self._said(words.read(MOST_WORDS_BYTES), passage)
        if code != 0 and online:
            raise self.fault(arguments[0], said, code)
        if code != 0:
            raise self.local_fault(arguments[0], said, code)

    def fetch_at_most(
        self, max_objects: int, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()
    ) -> bool:
        """A fetch that is ended as soon as more objects are announced, or too much has come; False then."""
        with self._passage(online=True) as passage, TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            command = self._command(("fetch", "--progress", *arguments), (*_STREAMED, *settings), passage)
            process = subprocess.Popen(
                command,
                stdin=given,
                stderr=subprocess.PIPE,
                env=variables(os.environ),
                umask=umask_for(self._address),
            )
            if passage:
                passage.admit(process.pid)
            words = _words_unless_too_much(process, max_objects)
        if words is None:
            return False
        if process.returncode != 0:
            raise self.fault("fetch", self._said(words, passage), process.returncode)
        return True

    def fault(self, command: str, words: str, code: int) -> WorkerError:
        """Why a command failed that asked the server: something here, or what the server answered."""
        here = stopped(command, code, words, self.folder) or fault_here(command, words, self.folder)
        return here or network_error(command, words, self._address)

    def local_fault(self, command: str, words: str, code: int) -> WorkerError:
        """Why a command failed that asked nobody."""
        return stopped(command, code, words, self.folder) or local_fault(command, words, self.folder)

    def _passage(self, online: bool) -> AbstractContextManager[Passage | None]:
        if not online or self._gate is None or self._address is None:
            return nullcontext()
        return self._gate.passage(self._address)

    def _command(
        self, arguments: Sequence[str], settings: Sequence[str], passage: Passage | None
    ) -> list[str]:
        way = passage.settings if passage else []
        options = [part for setting in (*self._settings, *way, *settings) for part in ("-c", setting)]
        return ["git", *options, f"--git-dir={self.folder}", *arguments]

    def _said(self, words: bytes, passage: Passage | None) -> str:
        text = words.decode(errors="replace").strip()
        return self._redact(passage.words(text) if passage else text)


@contextmanager
def _started(
    command: Sequence[str], umask: int, given: IO[bytes], words: IO[bytes], stdin: bytes
) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that does not outlive whoever reads it."""
    given.write(stdin)
    given.seek(0)
    process = subprocess.Popen(
        command,
        stdin=given,
        stdout=subprocess.PIPE,
        stderr=words,
        env=variables(os.environ),
        umask=umask,
    )
    timer = threading.Timer(LONGEST_S, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        cast(IO[bytes], process.stdout).close()


def _words_unless_too_much(process: "subprocess.Popen[bytes]", max_objects: int) -> bytes | None:
    """Waits for a fetch's end; None where it was ended because it is more than we want."""
    timer = threading.Timer(LONGEST_S, process.kill)
    timer.start()
    words = bytearray()
    try:
        while chunk := os.read(process.stderr.fileno(), 4096):  # type: ignore[union-attr]
            words += chunk
            announced = max((int(n) for n in _ANNOUNCED.findall(words)), default=0)
            if announced > max_objects or _received_bytes(words) > MAX_FETCHED_BYTES:
                process.kill()
                return None
            del words[:-20_000]
    finally:
        timer.cancel()
        process.wait()
    return bytes(words)


def _received_bytes(words: bytes | bytearray) -> int:
    """How much has come over the line, by the last of git's own reports."""
    reports = _RECEIVED.findall(words)
    return int(float(reports[-1][0]) * _UNITS[reports[-1][1]]) if reports else 0
