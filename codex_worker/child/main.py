"""The process that computes: `python -m codex_worker.child <read fd> <write fd> <walls>`.

It is told its job over the channel, imports the handler, runs it and says one last word. It holds no
token, and whatever it does to itself, its supervisor lives.
"""

import contextlib
import importlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from codex_worker.child import patching, ready
from codex_worker.child.callbacks import ChildCallbacks, Line, end_process
from codex_worker.child.gpu_share import take_at_most
from codex_worker.child.walls import Walls, raise_walls
from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import Kind, SystemFault, WorkerError
from codex_worker.job.api import Result, StopReason
from codex_worker.job.channel import PREPARE, Assignment, Channel, LastWord
from codex_worker.job.failures import describe
from codex_worker.job.summary import Summary

logger = logging.getLogger(__name__)

_BESIDE_OTHER_THINGS = ("patches", "handlers")


def main(argv: list[str]) -> None:
    """Runs one job and leaves with its exit code. Never returns."""
    _import_while_folders_can_be_listed()
    missing = raise_walls(Walls.of_text(argv[2]))
    logging.basicConfig(
        level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    for sentence in missing:
        logger.warning("%s", sentence)
    read_fd, write_fd = int(argv[0]), int(argv[1])
    for fd in (read_fd, write_fd):
        os.set_inheritable(fd, False)  # what the handler starts must not hold the channel open
    channel = Channel(os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"))
    assignment = _assignment(channel)
    line = Line(channel, on_end=end_process)
    signal.signal(signal.SIGTERM, lambda *_: line.ask_to_stop(StopReason.PREEMPTED))
    line.start()
    word = run_handler(assignment, ChildCallbacks(line, assignment.job, time.monotonic))
    line.tell(**word.to_message())
    # Threads and worker processes that a handler left behind must not keep the process alive.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(word.exit_code)


def _assignment(channel: Channel) -> Assignment:
    """Waits for it, ready for any job where the supervisor asks for that first."""
    message = channel.receive()
    is_ready = message == PREPARE
    if is_ready:
        message = ready.wait_ready(channel.receive, lambda: channel.send({"event": "alive"}))
    if message is None:
        sys.exit(ExitCode.FAILED)
    assignment = Assignment.of_message(message)
    ready.move_into(assignment.job.folder)
    if is_ready:
        ready.warm_gpu()
    return assignment


def run_handler(assignment: Assignment, callbacks: ChildCallbacks) -> LastWord:
    """Imports a handler and runs it; every way of failing becomes a kind and a sentence."""
    module, job = assignment.handler, assignment.job
    try:
        patching.install()
        if assignment.gpu_bytes is not None:
            take_at_most(assignment.gpu_bytes)
        run = getattr(importlib.import_module(module), "run", None)
        if not callable(run):
            raise SystemFault(f"The handler {module} has no function run(job, callbacks).")
        returned = run(job, callbacks)
    except BaseException as error:  # the process ends here in any case, and its reason must be told
        kind, message = describe(error)
        if not isinstance(error, WorkerError):  # these say by themselves what is wrong, and where
            traceback.print_exc()
        return LastWord(kind=kind, message=message)
    return last_word(returned, callbacks.result, callbacks.failure)


def last_word(returned: object, marked: Result | None, failure: str | None) -> LastWord:
    """What counts of what a handler returned and marked: a failure first, then both results together."""
    if failure is not None:
        return LastWord(kind=Kind.DATA, message=failure)
    if returned is None and marked is None:
        return LastWord(kind=Kind.SYSTEM, message="The handler returned no result.")
    if returned is not None and not isinstance(returned, Mapping):
        return LastWord(
            kind=Kind.SYSTEM, message=f"The handler returned a {type(returned).__name__}, not a result."
        )
    result: Any = {**(marked or {}), **(returned or {})}
    if result.get("success", True):
        # A handler may have a key of its own that is called so.
        summary = result.pop("summary") if isinstance(result.get("summary"), Summary) else None
        return LastWord(result=result, summary=summary)
    return LastWord(kind=Kind.DATA, message=str(result.get("error_message") or "The handler gave no reason."))


def _import_while_folders_can_be_listed() -> None:
    """What lies beside these packages (secrets, the work folder) is closed later, and so is their listing."""
    for package in _BESIDE_OTHER_THINGS:
        with contextlib.suppress(Exception):  # the handler's own import tells what is wrong
            importlib.import_module(package)
