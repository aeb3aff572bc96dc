"""Running the git program: bounded in time, deaf to the user's configuration, silent about secrets."""

import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from codex_worker.errors import ServerUnreachable, WorkerError
from codex_worker.git.faults import fault_here, local_fault, network_error
from codex_worker.git.gate import Gate, Passage
from codex_worker.git.surroundings import settings_for, umask_for, variables

logger = logging.getLogger(__name__)

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
            raise local_fault(arguments[0], done.words, self.folder)
        return done.output

    def online(self, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()) -> bytes:
        """A command that asks the server. Raises what `fault` answers."""
        done = self.run(*arguments, stdin=stdin, settings=settings, online=True)
        if done.code != 0:
            raise self.fault(arguments[0], done.words)
        return done.output

    def fetch_at_most(self, max_objects: int, *arguments: str) -> bool:
        """A fetch that is ended as soon as the server announces more objects; False when it was."""
        with self._passage(online=True) as passage:
            command = self._command(("fetch", "--progress", *arguments), (), passage)
            process = subprocess.Popen(command, stderr=subprocess.PIPE, env=variables(os.environ))
            if passage:
                passage.admit(process.pid)
            words = _words_unless_too_many(process, max_objects)
        if words is None:
            return False
        if process.returncode != 0:
            raise self.fault("fetch", self._said(words, passage))
        return True

    def fault(self, command: str, words: str) -> WorkerError:
        """Why a command failed that asked the server: something here, or what the server answered."""
        return fault_here(command, words, self.folder) or network_error(command, words, self._address)

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


def _words_unless_too_many(process: "subprocess.Popen[bytes]", max_objects: int) -> bytes | None:
    """Waits for a fetch's end; None where it was ended because the server announced too many objects."""
    timer = threading.Timer(600, process.kill)
    timer.start()
    words = bytearray()
    try:
        while chunk := os.read(process.stderr.fileno(), 4096):  # type: ignore[union-attr]
            words += chunk
            if max((int(n) for n in _ANNOUNCED.findall(words)), default=0) > max_objects:
                process.kill()
                return None
            del words[:-20_000]
    finally:
        timer.cancel()
        process.wait()
    return bytes(words)
