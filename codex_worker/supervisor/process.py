"""A child process with its channel: under a keeper, so that it ends with all it started."""

import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from codex_worker.child.keeper import END_ALL, descendants
from codex_worker.errors import SystemFault
from codex_worker.job.channel import MAX_RESULTS_BYTES, Channel
from codex_worker.supervisor.machine import memory_of

_PUMP_PATIENCE_S = 5.0


class ChildProcess:
    """A running child. Its output waits in a pipe until somebody has it read.

    Raises SystemFault where no process can be started.
    """

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        calls_read, calls_write = os.pipe()
        replies_read, replies_write = os.pipe()
        try:
            self._process = subprocess.Popen(
                command(replies_read, calls_write),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(replies_read, calls_write),
                start_new_session=True,
            )
        except OSError as error:
            os.close(calls_read)
            os.close(replies_write)
            raise SystemFault(f"The job's process cannot be started: {error}") from error
        finally:
            os.close(replies_read)
            os.close(calls_write)
        self.channel = Channel(
            os.fdopen(calls_read, "rb"), os.fdopen(replies_write, "wb"), max_line_bytes=MAX_RESULTS_BYTES
        )
        self.pid = self._process.pid
        self._calls = calls_read
        self._pump: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether it, or its keeper, is still there."""
        return self._process.poll() is None

    @property
    def has_spoken(self) -> bool:
        """Whether something waits in the channel, of which nothing was received yet."""
        return bool(select.select([self._calls], [], [], 0)[0])

    def read_output(self, pump: Callable[[BinaryIO], None]) -> None:
        """`pump` reads what it has written and writes, in a thread of its own."""
        self._pump = threading.Thread(target=pump, args=(self._process.stdout,), name="output", daemon=True)
        self._pump.start()

    def kill(self) -> None:
        """Ends it and everything it started, at once; the keeper finds what is started in this moment."""
        for each in descendants(self.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)
        # A job may have stopped its keeper, and a keeper may not have begun yet.
        for number in (END_ALL, signal.SIGCONT):
            self._process.send_signal(number)

    def family(self) -> list[int]:
        """It and all that it started."""
        return [self.pid, *descendants(self.pid)]

    def memory_bytes(self) -> int:
        """What it and all that it started hold."""
        return memory_of(self.family())

    def wait(self) -> int:
        """Its return code, once it and all that it started are gone."""
        return_code = self._process.wait()
        if self._pump is not None:
            self._pump.join(_PUMP_PATIENCE_S)
        return return_code

    def discard(self) -> None:
        """Ends it where nobody has talked to it or read of it, and waits until it is gone."""
        if self.is_running:
            self.kill()
        self._process.wait()
        self.channel.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
