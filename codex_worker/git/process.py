"""Running the git program: bounded in time, deaf to the user's configuration, silent about secrets."""

import logging
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_worker.errors import AccessDenied, ResourceError, ServerUnreachable, SystemFault, clause

logger = logging.getLogger(__name__)

_PASSED_ON = ("PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy")
_ACCESS_WORDS = re.compile(
    r"authentication failed|could not read username|access denied|returned error: 40[134]|not found"
    r"|does not appear to be a git repository|permission denied|dubious ownership|insufficient_scope",
    re.IGNORECASE,
)

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
        secrets: Callable[[], Mapping[str, str]] = dict,
        redact: Callable[[str], str] = str,
    ) -> None:
        """`secrets` gives the variables that carry the token; it is asked before each command."""
        self.folder = folder
        self._secrets = secrets
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
        """Runs git; with `online`, the token's variables go along. Raises ServerUnreachable on a timeout."""
        command = self._command(arguments, settings)
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                env=self._environment(online) | dict(environment or {}),
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerUnreachable(f"git {arguments[0]} gave no answer in {timeout_s:.0f} s.") from error
        words = self._redact(done.stderr.decode(errors="replace")).strip()
        if b"No space left on device" in done.stderr:
            raise ResourceError(f"The disk is full: git could not write to {self.folder}.")
        return Finished(done.returncode, done.stdout, words)

    def local(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        """A command that asks no server. Raises SystemFault when it fails."""
        done = self.run(*arguments, stdin=stdin, environment=environment)
        if done.code != 0:
            raise SystemFault(f"git {arguments[0]} failed in {self.folder}: {done.words}")
        return done.output

    def online(self, *arguments: str, stdin: bytes = b"", settings: Sequence[str] = ()) -> bytes:
        """A command that asks the server. Raises ServerUnreachable or AccessDenied."""
        done = self.run(*arguments, stdin=stdin, settings=settings, online=True)
        if done.code != 0:
            raise network_error(arguments[0], done.words)
        return done.output

    def fetch_at_most(self, max_objects: int, *arguments: str) -> bool:
        """A fetch that is ended as soon as the server announces more objects; False when it was."""
        command = self._command(("fetch", "--progress", *arguments), ())
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=self._environment(online=True))
        timer = threading.Timer(600, process.kill)
        timer.start()
        words = bytearray()
        try:
            while chunk := os.read(process.stderr.fileno(), 4096):  # type: ignore[union-attr]
                words += chunk
                announced = max((int(n) for n in _ANNOUNCED.findall(words)), default=0)
                if announced > max_objects:
                    process.kill()
                    return False
                del words[:-20_000]
        finally:
            timer.cancel()
            code = process.wait()
        if code != 0:
            raise network_error("fetch", self._redact(words.decode(errors="replace")).strip())
        return True

    def _command(self, arguments: Sequence[str], settings: Sequence[str]) -> list[str]:
        options = [part for setting in settings for part in ("-c", setting)]
        return ["git", *options, f"--git-dir={self.folder}", *arguments]

    def _environment(self, online: bool) -> dict[str, str]:
        fixed = {
            "LC_ALL": "C",
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
        }
        passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return passed | fixed | (dict(self._secrets()) if online else {})


def network_error(command: str, words: str) -> ServerUnreachable | AccessDenied:
    """The error that git's words tell of; they only choose the message, never what is done to a job."""
    last = clause(words)[-500:]
    if _ACCESS_WORDS.search(words):
        return AccessDenied(
            f"The repository cannot be used (git {command}): {last}. "
            "Check its address, that the worker is a member, and the token's scopes and expiry date."
        )
    return ServerUnreachable(f"The git server did not answer as expected (git {command}): {last}.")
