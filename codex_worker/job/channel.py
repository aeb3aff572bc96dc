"""Messages between supervisor and child: one JSON object a line, over a pair of pipes.

The child sends calls (`{"id": 3, "call": "read_files", "arguments": {...}}`) and events
(`{"event": "heartbeat", ...}`); the supervisor sends replies (`{"id": 3, "result": ...}` or
`{"id": 3, "error": {"kind": ..., "message": ...}}`) and events (`{"event": "stop", "reason": ...}`).
Standard output stays free, because handlers and libraries print.
"""

import json
import math
import threading
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, BinaryIO, NoReturn

from codex_worker.errors import SystemFault

# Room for the file list of a project with a hundred thousand recordings.
MAX_LINE_BYTES = 16 << 20

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
