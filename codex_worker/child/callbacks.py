"""The child's end of the line: a handler's callbacks, carried to the supervisor."""

import itertools
import json
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from codex_worker.errors import SystemFault
from codex_worker.job.api import (
    Absence,
    CellResult,
    Fetched,
    JobContext,
    Published,
    Result,
    StopReason,
    Weights,
    stop_error,
)
from codex_worker.job.channel import (
    MAX_MESSAGE_BYTES,
    MAX_OPEN_CALLS,
    BadMessage,
    Channel,
    Computed,
    Heartbeat,
    Message,
)
from codex_worker.job.failures import error_of

# How often a loop's should_stop() is told to the supervisor as a sign of life.
ALIVE_EVERY_S = 15.0
# Long lists go in several calls.
PART_BYTES, PART_ITEMS = MAX_MESSAGE_BYTES // 2, 5_000

_T = TypeVar("_T")


class Line:
    """Calls to the supervisor and their replies; remembers when the supervisor asked to stop.

    Calls of many threads wait for each other where they are more than the supervisor takes at once.
    """

    def __init__(self, channel: Channel, on_end: Callable[[], None]) -> None:
        self._channel = channel
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Message]] = {}
        self._lock = threading.Lock()
        self._credit = threading.BoundedSemaphore(MAX_OPEN_CALLS)
        self.stop_reason: StopReason | None = None

    def start(self) -> None:
        """Reads what the supervisor sends, in a thread of its own, until it is gone."""
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def call(self, call: str, /, **arguments: Any) -> Any:
        """The supervisor's answer. Raises its error, with its kind."""
        with self._credit:
            reply = self._reply_to(call, arguments)
        if "error" in reply:
            raise error_of(str(reply["error"].get("kind")), str(reply["error"].get("message")))
        return reply.get("result")

    def tell(self, event: str, **fields: Any) -> None:
        """Something that needs no answer."""
        self._channel.send({"event": event, **fields})

    def ask_to_stop(self, reason: StopReason) -> None:
        """The first reason counts."""
        self.stop_reason = self.stop_reason or reason

    def _reply_to(self, call: str, arguments: Mapping[str, Any]) -> Message:
        answer: queue.SimpleQueue[Message] = queue.SimpleQueue()
        with self._lock:
            number = next(self._ids)
            self._waiting[number] = answer
        try:
            self._channel.send({"id": number, "call": call, "arguments": arguments})
            return answer.get()
        finally:
            with self._lock:
                del self._waiting[number]

    def _read(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                self._take(message)
        except BadMessage:
            pass  # ends the process like an end of the line does
        self._on_end()

    def _take(self, message: Message) -> None:
        if message.get("event") == "stop":
            self.ask_to_stop(StopReason(message["reason"]))
            return
        with self._lock:
            waiting = self._waiting.get(message.get("id", 0))
        if waiting is not None:
            waiting.put(message)


def end_process() -> None:
    """Without a supervisor nothing can be saved any more. What else this process started, its keeper ends."""
    os.kill(os.getpid(), signal.SIGKILL)


class ChildScanner:
    """The project through the supervisor's eyes; files come and go by path inside the job folder."""

    def __init__(self, line: Line, folder: Path) -> None:
        self._line = line
        self._folder = folder

    def list_files(self, prefix: str = "") -> list[str]:
        """Repository paths below `prefix`, at the job's commit."""
        return list(self._line.call("list_files", prefix=prefix))

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """Text files as they are at the job's commit; a path that isn't there is left out."""
        found: dict[str, Path] = {}
        for part in in_parts(paths):
            found |= self._paths(self._line.call("read_files", paths=part))
        return found

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """The recordings behind LFS pointers."""
        files: dict[str, Path] = {}
        missing: dict[str, str] = {}
        absences: dict[str, Absence] = {}
        for part in in_parts(pointer_paths):
            found = self._line.call("fetch_recordings", pointer_paths=part)
            files |= self._paths(found["files"])
            missing |= found["missing"]
            absences |= {path: Absence(kind) for path, kind in found["absences"].items()}
        return Fetched(files, missing, absences)

    def fetch_checkpoint(self, path: str) -> Path:
        """A checkpoint of this project."""
        return self._folder / self._line.call("fetch_checkpoint", path=path)

    def fetch_weights(self, name: str) -> Weights:
        """Official weights; they lie outside the job folder, shared by all jobs of this machine."""
        found = self._line.call("fetch_weights", name=name)
        return Weights(Path(found["path"]), found["revision"])

    def publish_cells(self, results: Sequence[CellResult]) -> Published:
        """Commits patches with their recordings."""
        applied: list[int] = []
        dropped: dict[int, str] = {}
        first = 0
        for part in in_parts(result.to_dict(self._own) for result in results):
            found = self._line.call("publish_cells", results=part)
            applied += [first + index for index in found["applied"]]
            dropped |= {first + int(index): why for index, why in found["dropped"].items()}
            first += len(part)
        return Published(applied, dropped)

    def publish_artifact(self, file: Path, folder: str) -> str:
        """Commits a file below the job's folder in the repository; answers its path there."""
        return str(self._line.call("publish_artifact", file=self._own(file), folder=folder))

    def save_resume(self, file: Path, epochs: float = 0.0) -> None:
        """Keeps what the next attempt needs; it is uploaded while the job goes on."""
        self._line.call("save_resume", file=self._own(file), epochs=epochs)

    def fetch_resume(self) -> Path | None:
        """What an earlier attempt left behind, or None."""
        found = self._line.call("fetch_resume")
        return None if found is None else self._folder / found

    def _paths(self, found: Mapping[str, str]) -> dict[str, Path]:
        return {path: self._folder / local for path, local in found.items()}

    def _own(self, file: Path) -> str:
        path = file if file.is_absolute() else self._folder / file
        try:
            return path.resolve().relative_to(self._folder.resolve()).as_posix()
        except ValueError as error:
            raise SystemFault(
                f"{file} is outside the job folder; only files in it can be published."
            ) from error


class ChildCallbacks:
    """JobCallbacks over the channel."""

    def __init__(self, line: Line, job: JobContext, clock: Callable[[], float]) -> None:
        self.scanner = ChildScanner(line, job.folder)
        self.result: Result | None = None
        self.failure: str | None = None
        self._line = line
        self._job = job
        self._clock = clock
        self._told_at_s = clock()

    def heartbeat(
        self, epochs_completed: float | None = None, message: str | None = None, stage: str | None = None
    ) -> None:
        """Reports progress. Raises JobCanceled, Preempted or JobTimeout when the job is to end."""
        self._told_at_s = self._clock()
        self._line.tell(**Heartbeat(epochs_completed, message, stage).to_message())
        if self._line.stop_reason is not None:
            raise stop_error(self._line.stop_reason)

    def computed(self, audio_s: float) -> None:
        """So many seconds of audio more were learnt from, read or spoken."""
        self._line.tell(**Computed(audio_s).to_message())

    def should_stop(self) -> bool:
        """True when the job is to end."""
        now_s = self._clock()
        if now_s - self._told_at_s >= ALIVE_EVERY_S:
            self._told_at_s = now_s
            self._line.tell("alive")
        return self._line.stop_reason is not None

    def stop_reason(self) -> StopReason | None:
        """Why the job is to end, or None."""
        return self._line.stop_reason

    def get_work_dir(self) -> Path:
        """The job folder."""
        return self._job.folder

    def get_job_config(self, key: str, default: Any = None) -> Any:
        """The manifest's value at a dotted key."""
        return self._job.setting(key, default)

    def mark_complete(self, result: Result) -> None:
        """The job's last word; it is sent when the handler has returned."""
        self.result = result

    def mark_failed(self, message: str) -> None:
        """The job's last word when it did not go well."""
        self.failure = message


def in_parts(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Lists of JSON values that each fit into one call."""
    part: list[_T] = []
    size = 0
    for item in items:
        length = len(json.dumps(item)) + 1
        if part and (size + length > PART_BYTES or len(part) >= PART_ITEMS):
            yield part
            part, size = [], 0
        part.append(item)
        size += length
    if part:
        yield part
