"""The LFS store of a repository on a server: the batch API with basic transfers.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/api/basic-transfers.md.
"""

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import TypeVar

from codex_worker.errors import AccessDenied, DataError, Refused, ServerUnreachable, SystemFault, clause
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.batch import MEDIA_TYPE, BatchAnswer, BatchClient, Operation
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.objects import BLOCK_BYTES, OtherObject
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.store import OnProgress, ProgressCount, not_uploaded
from codex_worker.git.lfs.transport import REMEDIES, Denied, HttpSettings, LfsHttp, ObjectNotFound, passes
from codex_worker.tally import Tally, Traffic

T = TypeVar("T")
# So many objects may be out of reach for reasons of their own; more, and it is the server.
_MAX_LONE_FAULTS = 5
_GONE = {404, 410}
_OF_ANOTHER_SIZE = {422}  # what a server says of a pointer that it has the object of, but not of its size


class HttpStore:
    """See LfsStore. `url` is the repository's http(s) address, with or without `.git`.

    Network errors, 429 and 5xx are retried; refused headers are asked for anew once; a refused token is read
    again from its file. Raises AccessDenied where that does not help.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        settings: HttpSettings | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        """`tally` counts what goes over the line, and what is tried again."""
        self._project = url.rstrip("/").removesuffix(".git")
        self._credentials = credentials
        self._settings = settings or HttpSettings()
        self._transport = LfsHttp(credentials, self._settings, sleep=sleep, clock=clock, tally=tally)
        self._batch = BatchClient(url, credentials, self._transport)

    def download(
        self, pointers: Iterable[Pointer], cache: LfsCache, *, on_progress: OnProgress | None = None
    ) -> dict[Pointer, Path | DataError]:
        """See LfsStore. An object that fails for itself is answered with its error; an outage is raised."""
        wanted = list(dict.fromkeys(pointers))
        cache = cache.of(self._project)
        count = ProgressCount(wanted, on_progress)
        results: dict[Pointer, Path | DataError] = {}
        faults = 0

        def fetch(pointer: Pointer, answer: BatchAnswer, stopped: Event) -> Path | DataError | SystemFault:
            return self._fetch(pointer, answer, cache, stopped)

        with cache.hold(wanted):
            for pointer in wanted:
                if path := cache.find(pointer):
                    results[pointer] = path
                    count.add(pointer)
            absent = [pointer for pointer in wanted if pointer not in results]
            with closing(self._each("download", absent, fetch)) as fetched:
                for pointer, outcome in fetched:
                    if isinstance(outcome, SystemFault):
                        faults += 1
                        if faults > _MAX_LONE_FAULTS or faults == len(wanted):
                            raise outcome
                        outcome = DataError(f"The recording {pointer.oid} could not be fetched. {outcome}")
                    results[pointer] = outcome
                    count.add(pointer)
        return results

    def upload(
        self, objects: Sequence[tuple[Pointer, Path]], *, on_progress: OnProgress | None = None
    ) -> None:
        """See LfsStore. Every file is hashed right before it is sent, and by the server after."""
        paths = dict(objects)
        count = ProgressCount(list(paths), on_progress)

        def send(pointer: Pointer, answer: BatchAnswer, stopped: Event) -> None:
            self._send(pointer, paths[pointer], answer, stopped)

        with closing(self._each("upload", list(paths), send)) as sent:
            for pointer, _ in sent:
                count.add(pointer)

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """See LfsStore."""
        absent = set()
        for group in self._groups(list(dict.fromkeys(pointers)), by_size=False):
            for pointer, answer in self._ask("download", group, Event()).items():
                if answer.error_code in _GONE:
                    absent.add(pointer)
                elif answer.error_code is not None:
                    raise self._error_of("download", pointer, answer)
        return absent

    def _each(
        self, operation: Operation, pointers: list[Pointer], move: Callable[[Pointer, BatchAnswer, Event], T]
    ) -> Generator[tuple[Pointer, T], None, None]:
        """Move every object, some at a time; yield each with its outcome. The first exception ends it all."""
        stopped = Event()
        if len(pointers) == 1:  # in the caller's own thread: a program that exits waits for those of a pool
            answer = self._ask(operation, pointers, stopped)[pointers[0]]
            yield pointers[0], move(pointers[0], answer, stopped)
            return
        with ThreadPoolExecutor(self._settings.concurrent_transfers, thread_name_prefix="lfs") as pool:
            try:
                for group in self._groups(pointers):
                    answers = self._ask(operation, group, stopped)
                    moves = {
                        pool.submit(move, pointer, answers[pointer], stopped): pointer for pointer in group
                    }
                    for finished in as_completed(moves):
                        yield moves[finished], finished.result()
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)

    def _groups(self, pointers: list[Pointer], *, by_size: bool = True) -> Iterator[list[Pointer]]:
        group: list[Pointer] = []
        group_bytes = 0
        for pointer in pointers:
            full = len(group) == self._settings.batch_objects
            if group and (full or (by_size and group_bytes + pointer.size > self._settings.batch_bytes)):
                yield group
                group, group_bytes = [], 0
            group.append(pointer)
            group_bytes += pointer.size
        if group:
            yield group

    def _ask(
        self, operation: Operation, pointers: list[Pointer], stopped: Event
    ) -> dict[Pointer, BatchAnswer]:
        return self._transport.retrying(lambda: self._batch.ask(operation, pointers), stopped)

    def _fetch(
        self, pointer: Pointer, answer: BatchAnswer, cache: LfsCache, stopped: Event
    ) -> Path | DataError | SystemFault:
        what = f"Downloading {pointer.oid} ({pointer.size} bytes)"

        def receive(current: BatchAnswer) -> Path:
            if "download" not in current.actions:
                raise not_uploaded(pointer)
            action = current.actions["download"]
            headers = {"Accept-Encoding": "identity", **self._batch.headers_of(action)}
            with (
                cache.receive(pointer) as writer,
                self._transport.answer_to("GET", action.href, headers, what) as response,
            ):
                while block := response.raw.read(BLOCK_BYTES, decode_content=False):
                    if stopped.is_set():
                        raise SystemFault(f"{what}: stopped.")
                    self._transport.tally.received(Traffic.LARGE_FILES, len(block))
                    writer.write(block)
            return cache.path_of(pointer)

        try:
            return self._moving("download", pointer, answer, receive, stopped)
        except AccessDenied:
            raise  # the token is refused for every other object as well
        except (DataError, SystemFault) as error:
            return error

    def _send(self, pointer: Pointer, path: Path, answer: BatchAnswer, stopped: Event) -> None:
        what = f"Uploading {path.name} ({pointer.size} bytes)"

        def put(current: BatchAnswer) -> None:
            if "upload" not in current.actions:
                return  # the project has it already, perhaps from a try whose answer was lost
            if pointer_for(path) != pointer:
                raise DataError(f"{path} has changed since its pointer was made; it was not uploaded.")
            action = current.actions["upload"]
            headers = {"Content-Type": "application/octet-stream", **self._batch.headers_of(action)}
            timeout_s = self._settings.upload_answer_timeout_s
            with path.open("rb") as file:
                data = file if pointer.size else b""  # requests would send an empty file chunked
                with self._transport.answer_to(
                    "PUT", action.href, headers, what, data=data, answer_timeout_s=timeout_s
                ):
                    self._transport.tally.sent(Traffic.LARGE_FILES, pointer.size)
            if verify := current.actions.get("verify"):
                headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE, **self._batch.headers_of(verify)}
                body = json.dumps({"oid": pointer.oid, "size": pointer.size}).encode()
                with self._transport.answer_to("POST", verify.href, headers, what, data=body):
                    pass

        try:
            self._moving("upload", pointer, answer, put, stopped)
        except ObjectNotFound as error:
            raise Refused(
                str(error)
            ) from error  # the place it was to go to, so nothing is wrong with the file

    def _moving(
        self,
        operation: Operation,
        pointer: Pointer,
        first_answer: BatchAnswer,
        move: Callable[[BatchAnswer], T],
        stopped: Event,
    ) -> T:
        """Move one object; every try but the first asks for its address and headers anew: they may be old.

        Refused headers and damaged content get one more try, as both may have happened on the way.
        """
        answers = [first_answer]
        second_chances = {Denied, DataError}

        def attempt() -> T:
            answer = answers.pop() if answers else self._batch.ask(operation, [pointer])[pointer]
            if answer.error_code is not None:
                raise self._error_of(operation, pointer, answer)
            try:
                return move(answer)
            except Denied as denied:
                said = f"The server refuses the {operation} of {pointer.oid}: {denied}."
                if Denied in second_chances:
                    second_chances.remove(Denied)
                    raise ServerUnreachable(said, wait_s=0.0) from denied
                raise Refused(said, denied.status) from denied
            except DataError as error:
                if answer.actions and DataError in second_chances:
                    second_chances.remove(DataError)
                    raise ServerUnreachable(str(error), wait_s=0.0) from error
                raise

        return self._transport.retrying(attempt, stopped)

    def _error_of(self, operation: Operation, pointer: Pointer, answer: BatchAnswer) -> Exception:
        code = answer.error_code or 0
        words = clause(self._credentials.redact(answer.error_message))
        remedy = REMEDIES.get(code) if operation == "upload" else None
        said = " ".join(filter(None, [f"The server says of {pointer.oid}: {words} ({code}).", remedy]))
        if passes(code):
            return ServerUnreachable(said)
        if operation == "upload":
            return Refused(said, code)
        if code in _OF_ANOTHER_SIZE:
            return OtherObject(said)
        return not_uploaded(pointer) if code in _GONE else DataError(said)
