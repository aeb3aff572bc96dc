"""Messages between supervisor and child: one JSON object a line, over a pair of pipes.

The supervisor's first message is an `Assignment`; the child's last one is its `LastWord`. Between them the
child sends calls (`{"id": 3, "call": "read_files", "arguments": {...}}`) and events
(`{"event": "heartbeat", ...}`); the supervisor sends replies (`{"id": 3, "result": ...}` or
`{"id": 3, "error": {"kind": ..., "message": ...}}`) and events (`{"event": "stop", "reason": ...}`).
Standard output stays free, because handlers and libraries print.
"""

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pydantic import ValidationError

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.errors import Kind, SystemFault
from codex_worker.job.api import JobContext
from codex_worker.job.ends import exit_code, state_of
from codex_worker.job.failures import MAX_MESSAGE_LENGTH
from codex_worker.job.summary import Summary

# Room for the file list of a project with a hundred thousand recordings.
MAX_LINE_BYTES = 16 << 20
MAX_STAGE_LENGTH = 60

Message = dict[str, Any]


class ChannelClosed(SystemFault):
    """The other side is gone."""


class BadMessage(SystemFault):
    """The other side sent what is no message; nothing it says can be believed any more."""


class Channel:
    """One end of the line. `send` may be called from any thread, `receive` from one."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises ChannelClosed, or BadMessage for one that is too long or no JSON."""
        try:
            line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise BadMessage(f"A message could not be written as JSON: {error}") from error
        if len(line) > MAX_LINE_BYTES:
            raise BadMessage(f"A message of {len(line):,} bytes is over the limit of {MAX_LINE_BYTES:,}.")
        try:
            with self._sending:
                self._writer.write(line)
                self._writer.flush()
        except (OSError, ValueError) as error:  # ValueError: the file was closed in another thread
            raise ChannelClosed("The other side of the channel is gone.") from error

    def receive(self) -> Message | None:
        """The next message, or None at the end. Raises BadMessage."""
        try:
            line = self._reader.readline(MAX_LINE_BYTES + 1)
        except (OSError, ValueError):  # closed in another thread: the same as its end
            return None
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE_BYTES:
                raise BadMessage(f"A message is longer than {MAX_LINE_BYTES:,} bytes.")
            return None  # the end, perhaps in the middle of a line of a process that was killed
        try:
            message = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"A message is not JSON: {error}") from error
        if not isinstance(message, dict):
            raise BadMessage("A message is not a JSON object.")
        return message

    def close(self) -> None:
        """Closes both pipes; the other side sees the end."""
        for pipe in (self._writer, self._reader):
            try:
                pipe.close()
            except OSError:
                continue  # the other side was gone already, with bytes of ours unread


@dataclass(frozen=True)
class Assignment:
    """What a child has to do."""

    handler: str  # the module
    job: JobContext

    def to_message(self) -> Message:
        """As it goes over the channel."""
        job = {each.name: getattr(self.job, each.name) for each in fields(self.job)}
        return {"handler": self.handler, "job": as_json(job)}

    @classmethod
    def of_message(cls, message: Message) -> "Assignment":
        """The assignment in a supervisor's message, which can be believed."""
        job = message["job"]
        return cls(message["handler"], JobContext(**{**job, "folder": Path(job["folder"])}))


@dataclass(frozen=True)
class Heartbeat:
    """One report of progress, as the handler gave it; None where it left something out."""

    epochs_completed: float | None = None
    message: str | None = None
    stage: str | None = None

    def to_message(self) -> Message:
        """As it goes over the channel; epochs that are no number are left out."""
        epochs = self.epochs_completed
        return {
            "event": "heartbeat",
            "epochs_completed": float(epochs) if epochs is not None and math.isfinite(epochs) else None,
            "message": self.message,
            "stage": self.stage,
        }

    @classmethod
    def of_message(cls, message: Message) -> "Heartbeat":
        """The heartbeat in a child's message, with its texts cut. Raises BadMessage."""
        epochs, stage, text = (message.get(key) for key in ("epochs_completed", "stage", "message"))
        is_number = isinstance(epochs, int | float) and not isinstance(epochs, bool) and math.isfinite(epochs)
        if not (epochs is None or is_number) or not all(
            x is None or isinstance(x, str) for x in (stage, text)
        ):
            raise BadMessage("A heartbeat without sense.")
        return cls(
            None if epochs is None else float(epochs),
            None if text is None else text[:MAX_MESSAGE_LENGTH],
            None if stage is None else stage[:MAX_STAGE_LENGTH],
        )


@dataclass(frozen=True)
class LastWord:
    """What a child says before it leaves: its result, or why there is none."""

    result: Mapping[str, Any] | None = None
    kind: Kind | None = None  # None: it went well
    message: str = ""
    summary: Summary | None = None  # counted facts of the result; None: the handler gave none

    @property
    def exit_code(self) -> ExitCode:
        """The process's exit code."""
        return exit_code(state_of(self.kind), self.kind)

    def to_message(self) -> Message:
        """As it goes over the channel."""
        if self.kind is None:
            said = {"event": "result", "result": as_json(self.result)}
            return said if self.summary is None else {**said, "summary": self.summary.model_dump(mode="json")}
        return {"event": "failed", "kind": self.kind.value, "message": self.message}

    @classmethod
    def of_message(cls, message: Message) -> "LastWord":
        """The last word in a child's message, with its text cut. Raises BadMessage."""
        if message["event"] == "result":
            if not isinstance(message.get("result"), dict):
                raise BadMessage("A result that is none.")
            return cls(message["result"], summary=_summary(message.get("summary")))
        try:
            kind = Kind(str(message.get("kind")))
        except ValueError as error:
            raise BadMessage("A failure of an unknown kind.") from error
        return cls(kind=kind, message=str(message.get("message", ""))[:MAX_MESSAGE_LENGTH])


def _summary(found: object) -> Summary | None:
    try:
        return None if found is None else Summary.model_validate(found)
    except (ValidationError, TypeError) as error:
        raise BadMessage("A summary without sense.") from error


def as_json(value: Any) -> Any:
    """What YAML, numpy and handlers bring, in JSON's own types.

    Dates become ISO 8601, NaN and infinities null, oddities text.
    """
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if hasattr(value, "tolist"):  # arrays and numbers of numpy and torch
        return as_json(value.tolist())
    return str(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
