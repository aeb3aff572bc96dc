"""Messages between supervisor and child: one JSON object a line, over a pair of pipes.

The supervisor's first message is an `Assignment`, before which it may ask a child that has to wait to
`PREPARE`; the child's last one is its `LastWord`. Between them the
child sends calls (`{"id": 3, "call": "read_files", "arguments": {...}}`) and events
(`{"event": "heartbeat", ...}`); the supervisor sends replies (`{"id": 3, "result": ...}` or
`{"id": 3, "error": {"kind": ..., "message": ...}}`) and events (`{"event": "stop", "reason": ...}`).
Standard output stays free, because handlers and libraries print.

Every message is bounded, and so is the number of calls that wait for their reply. What a child says of
itself (heartbeats, its last word) becomes plain values in `of_message`, before anybody looks at it.
"""

import json
import logging
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from pydantic import ValidationError

from codex_worker.contract.exit_codes import ExitCode
from codex_worker.contract.plain_text import plain_line, plain_text
from codex_worker.errors import Kind, SystemFault, UserError
from codex_worker.job.api import JobContext
from codex_worker.job.ends import exit_code, state_of
from codex_worker.job.failures import MAX_MESSAGE_LENGTH
from codex_worker.job.plain_values import PlainValues, plain_result
from codex_worker.job.summary import Summary

logger = logging.getLogger(__name__)

# Room for the file list of a project with a hundred thousand recordings.
MAX_LINE_BYTES = 16 << 20
# A message that carries neither results nor an assignment.
MAX_MESSAGE_BYTES = 1_000_000
# What a child may send at once with results in it: small values take twenty times their length in memory.
MAX_RESULTS_BYTES = 4_000_000
# Calls of a child that wait for their reply; the supervisor answers one after the other.
MAX_OPEN_CALLS = 8
MAX_AUDIO_S = 1e9  # of one message: more than any project has
MAX_STAGE_LENGTH = 60
_MAX_DIGITS = 20
# A manifest entry is bounded where it is read; this is for whatever reads it otherwise.
MAX_CONFIG_DEPTH, MAX_CONFIG_VALUES = 100, 500_000

Message = dict[str, Any]
# To a child that has no assignment yet: import what jobs need, and say when that is done.
PREPARE: Message = {"event": "prepare"}


class ChannelClosed(SystemFault):
    """The other side is gone."""


class BadMessage(SystemFault):
    """The other side sent what is no message; nothing it says can be believed any more."""


class Channel:
    """One end of the line. `send` may be called from any thread, `receive` from one.

    `send` waits for a reader that is slow. `max_line_bytes` bounds what is received.
    """

    def __init__(self, reader: BinaryIO, writer: BinaryIO, *, max_line_bytes: int | None = None) -> None:
        self._reader = reader
        self._writer = writer
        self._max_line_bytes = max_line_bytes
        self._sending = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises ChannelClosed, or BadMessage for one that is too long or no JSON."""
        try:
            line = json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise BadMessage(f"A message could not be written as JSON: {error}") from error
        _check_length(message, len(line))
        try:
            with self._sending:
                self._writer.write(line)
                self._writer.flush()
        except (OSError, ValueError) as error:  # ValueError: the file was closed in another thread
            raise ChannelClosed("The other side of the channel is gone.") from error

    def receive(self) -> Message | None:
        """The next message, or None at the end. Raises BadMessage."""
        try:
            limit = self._max_line_bytes or MAX_LINE_BYTES
            line = self._reader.readline(limit + 1)
        except (OSError, ValueError):  # closed in another thread: the same as its end
            return None
        if not line.endswith(b"\n"):
            if len(line) > limit:
                raise BadMessage(f"A message is longer than {limit:,} bytes.")
            return None  # the end, perhaps in the middle of a line of a process that was killed
        try:
            message = json.loads(line, parse_constant=_refuse_constant, parse_int=_bounded_int)
        except (ValueError, RecursionError) as error:
            raise BadMessage(f"A message is not JSON: {error}") from error
        if not isinstance(message, dict):
            raise BadMessage("A message is not a JSON object.")
        _check_length(message, len(line))
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
    gpu_bytes: int | None = None  # the most that its tensors may hold of a GPU; None: as much as there is

    def to_message(self) -> Message:
        """As it goes over the channel. Raises UserError for an entry that is too large for it."""
        job = {each.name: getattr(self.job, each.name) for each in fields(self.job)}
        message = {"handler": self.handler, "job": as_json(job), "gpu_bytes": self.gpu_bytes}
        if len(json.dumps(message)) > MAX_LINE_BYTES:
            raise UserError(
                f"The entry of job {self.job.job_id} in the manifest is larger than "
                f"{MAX_LINE_BYTES >> 20} MB once it is written out. Make it shorter."
            )
        return message

    @classmethod
    def of_message(cls, message: Message) -> "Assignment":
        """The assignment in a supervisor's message, which can be believed."""
        job = message["job"]
        context = JobContext(**{**job, "folder": Path(job["folder"])})
        return cls(message["handler"], context, message.get("gpu_bytes"))


@dataclass(frozen=True)
class Heartbeat:
    """One report of progress, as the handler gave it; None where it left something out."""

    epochs_completed: float | None = None
    message: str | None = None
    stage: str | None = None

    def to_message(self) -> Message:
        """As it goes over the channel; what is no number or text there is left out or made text."""
        return {
            "event": "heartbeat",
            "epochs_completed": None if self.epochs_completed is None else _finite(self.epochs_completed),
            "message": None if self.message is None else str(self.message)[:MAX_MESSAGE_LENGTH],
            "stage": None if self.stage is None else str(self.stage)[:MAX_STAGE_LENGTH],
        }

    @classmethod
    def of_message(cls, message: Message) -> "Heartbeat":
        """The heartbeat in a child's message: epochs without end are left out, its texts are cut and plain.

        Raises BadMessage for values of another type.
        """
        epochs, stage, text = (message.get(key) for key in ("epochs_completed", "stage", "message"))
        is_number = isinstance(epochs, int | float) and not isinstance(epochs, bool)
        if not (epochs is None or is_number) or not all(
            x is None or isinstance(x, str) for x in (stage, text)
        ):
            raise BadMessage("A heartbeat without sense.")
        return cls(
            None if epochs is None else _finite(epochs),
            None if text is None else plain_text(text[:MAX_MESSAGE_LENGTH]),
            None if stage is None else plain_line(stage[:MAX_STAGE_LENGTH]),
        )


@dataclass(frozen=True)
class Computed:
    """So much audio more has gone through the network."""

    audio_s: float

    def to_message(self) -> Message:
        """As it goes over the channel; what is no amount counts as none."""
        is_amount = math.isfinite(self.audio_s) and self.audio_s > 0
        return {"event": "computed", "audio_s": float(self.audio_s) if is_amount else 0.0}

    @classmethod
    def of_message(cls, message: Message) -> "Computed":
        """The amount in a child's message. Raises BadMessage for what is none."""
        audio_s = message.get("audio_s")
        if not isinstance(audio_s, int | float) or isinstance(audio_s, bool):
            raise BadMessage("An amount of audio that is no number.")
        if not 0 <= audio_s <= MAX_AUDIO_S:
            raise BadMessage("An amount of audio without sense.")
        return cls(float(audio_s))


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
        """As it goes over the channel; what of a result cannot be kept is null."""
        if self.kind is None:
            said = {"event": "result", "result": _plain_result(self.result or {})}
            return said if self.summary is None else {**said, "summary": self.summary.model_dump(mode="json")}
        return {"event": "failed", "kind": self.kind.value, "message": self.message[:MAX_MESSAGE_LENGTH]}

    @classmethod
    def of_message(cls, message: Message) -> "LastWord":
        """The last word in a child's message, as plain values. Raises BadMessage."""
        if message["event"] == "result":
            if not isinstance(message.get("result"), dict):
                raise BadMessage("A result that is none.")
            return cls(_plain_result(message["result"]), summary=_summary(message.get("summary")))
        try:
            kind = Kind(str(message.get("kind")))
        except ValueError as error:
            raise BadMessage("A failure of an unknown kind.") from error
        found = message.get("message") or "The handler gave no reason."
        return cls(kind=kind, message=plain_text(str(PlainValues().of(found))[:MAX_MESSAGE_LENGTH]))


def _plain_result(found: Mapping[str, Any]) -> dict[str, Any]:
    result, lost = plain_result(found)
    for what in lost:
        logger.warning("Of the handler's result: %s.", what)
    return result


def _summary(found: object) -> Summary | None:
    try:
        return None if found is None else Summary.model_validate(PlainValues().of(found))
    except (ValidationError, TypeError, LookupError) as error:
        raise BadMessage("A summary without sense.") from error


def as_json(value: Any) -> Any:
    """What YAML brings, in JSON's own types, whole: dates become ISO 8601, NaN and infinities null."""
    return PlainValues(depth=MAX_CONFIG_DEPTH, values=MAX_CONFIG_VALUES, text_length=MAX_LINE_BYTES).of(value)


def _check_length(message: Mapping[str, Any], length: int) -> None:
    """Raises BadMessage for a line that is too long for what it carries."""
    is_large = "result" in message or "job" in message or message.get("call") == "publish_cells"
    limit = MAX_LINE_BYTES if is_large else min(MAX_MESSAGE_BYTES, MAX_LINE_BYTES)
    if length > limit:
        raise BadMessage(f"A message of {length:,} bytes is over the limit of {limit:,}.")


def _finite(number: float) -> float | None:
    plain = PlainValues().of(number)
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        return float(plain)
    logger.warning("The epochs of a heartbeat are no number that can be written; they are left out.")
    return None


def _bounded_int(digits: str) -> float:
    """A number that nobody can count to is as good as one without end; Python takes ages over its digits."""
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
