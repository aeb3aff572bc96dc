"""Results for cells: their recordings to the large-file store, then patches and pointers in one commit.

A commit never comes before its objects. Patches are applied to the notebooks as they are at the head, and
what a person changed meanwhile is left alone and reported. Publishing the same results again changes nothing.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from codex_worker.codex.notebook import document_name
from codex_worker.codex.patch import Applied, Patch, RecordingPatch, apply_patches
from codex_worker.contract.guards import NOTEBOOKS
from codex_worker.errors import DataError
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.store import LfsStore
from codex_worker.git.ports import Snapshot
from codex_worker.job.api import CellResult, Published
from codex_worker.publish.folders import PointerFolders, taken
from codex_worker.publish.ledger import cell_line
from codex_worker.publish.replacing import MayReplace, selection_of
from codex_worker.queue.owned import OwnedJob, PublishedChange

logger = logging.getLogger(__name__)

MAX_CELLS = 500
NOTEBOOKS_AT_ONCE = 8
MAX_COMMIT_BYTES = 5_000_000  # of rewritten notebooks; a larger one goes alone


@dataclass
class _Group:
    """Results that are uploaded together: indexes in the batch, pointers of those with a recording."""

    indexes: list[int]
    pointers: dict[int, Pointer] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)


@dataclass
class _Built:
    """What a commit does, if it is the one that lands."""

    done: list[int] = field(default_factory=list)
    dropped: dict[int, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


class CellPublisher:
    """Publishes results for one owned job."""

    def __init__(self, owned: OwnedJob, store: LfsStore) -> None:
        self._owned = owned
        self._store = store
        self._selection = selection_of(owned.entry)
        self._folders = PointerFolders()

    def publish(self, results: Sequence[CellResult]) -> Published:
        """Uploads and commits; while one group is committed, the next one is uploaded.

        Raises LeaseLost where the job is not ours any more, and what the store and the server raise: then
        some groups may be published already, and publishing all of it again is right and cheap.
        """
        applied: list[int] = []
        dropped: dict[int, str] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="upload") as pool:
            uploads = [pool.submit(self._upload, group, results) for group in _groups(results)]
            try:
                for upload in uploads:
                    self._commit_group(upload, results, applied, dropped)
            finally:
                pool.shutdown(cancel_futures=True)
        for index, why in sorted(dropped.items()):
            result = results[index]
            logger.info("%s in %s is left alone: %s", result.patch.cell_id, result.notebook, why)
        return Published(sorted(applied), dropped)

    def _commit_group(
        self,
        upload: Future[_Group],
        results: Sequence[CellResult],
        applied: list[int],
        dropped: dict[int, str],
    ) -> None:
        group = upload.result()
        dropped |= group.dropped
        remaining = [index for index in group.indexes if index not in group.dropped]
        while remaining:
            built = self._commit(remaining, results, group.pointers)
            applied += built.done
            dropped |= built.dropped
            decided = {*built.done, *built.dropped}
            remaining = [index for index in remaining if index not in decided]

    def _commit(
        self, indexes: Sequence[int], results: Sequence[CellResult], pointers: Mapping[int, Pointer]
    ) -> _Built:
        message = self._message([results[index] for index in indexes])

        def build(snapshot: Snapshot) -> PublishedChange[_Built]:
            housed = {index: self._folders.at_home(results[index], snapshot) for index in indexes}
            built = self._build(snapshot, indexes, housed, pointers)
            lines = [_line(housed[index], pointers.get(index)) for index in built.done]
            return PublishedChange(built.files, message, lines, value=built)

        return self._owned.publish(build)

    def _build(
        self,
        snapshot: Snapshot,
        indexes: Sequence[int],
        results: Mapping[int, CellResult],
        pointers: Mapping[int, Pointer],
    ) -> _Built:
        """As many of the notebooks as fit into one commit, at least one."""
        built = _Built()
        size_bytes = 0
        by_notebook = [(path, list(group)) for path, group in groupby(indexes, lambda i: results[i].notebook)]
        contents = _contents(snapshot, [path for path, _ in by_notebook])
        may_replace = MayReplace(self._selection, snapshot)
        for (path, of_notebook), data in zip(by_notebook, contents, strict=False):
            if data is None:
                built.dropped |= dict.fromkeys(of_notebook, "its notebook is no longer in the project")
                continue
            patches = {index: results[index].patch for index in of_notebook}
            try:
                outcome = self._apply(snapshot, data, path, patches, built, may_replace)
            except DataError as error:  # a notebook that cannot be read costs its own cells only
                built.dropped |= dict.fromkeys(patches, str(error))
                continue
            if outcome.applied:
                if size_bytes and size_bytes + len(outcome.data) > MAX_COMMIT_BYTES:
                    break  # it opens the next commit
                built.files[path] = outcome.data
                size_bytes += len(outcome.data)
            _sort(built, outcome, patches, pointers)
        return built

    def _apply(
        self,
        snapshot: Snapshot,
        data: bytes,
        path: str,
        patches: dict[int, Patch],
        built: _Built,
        may_replace: MayReplace,
    ) -> Applied:
        """Applies patches, but for those (taken out of `patches`) whose pointer would replace another."""
        outcome = apply_patches(data, path, patches.values(), may_replace)
        new = {patch.recording.pointer_path for patch in outcome.applied if isinstance(patch, RecordingPatch)}
        there = taken(new, snapshot)
        if not there:
            return outcome
        for index, patch in list(patches.items()):
            if isinstance(patch, RecordingPatch) and patch.recording.pointer_path in there:
                name = there[patch.recording.pointer_path]
                built.dropped[index] = f"the name is taken: there is a {name} already"
                del patches[index]
        return apply_patches(data, path, patches.values(), may_replace)

    def _upload(self, group: _Group, results: Sequence[CellResult]) -> _Group:
        """Puts a group's recordings into the store; one that cannot be used is dropped with its reason."""
        for index in group.indexes:
            try:
                pointer = _pointer_of(results[index])
            except DataError as error:
                group.dropped[index] = str(error)
                continue
            if pointer is not None:
                group.pointers[index] = pointer
        objects = {
            index: (pointer, path)
            for index, pointer in group.pointers.items()
            if (path := results[index].recording) is not None
        }
        if not objects:
            return group
        try:
            self._store.upload(list(objects.values()))
        except DataError:
            self._upload_singly(objects, group)
        return group

    def _upload_singly(self, objects: Mapping[int, tuple[Pointer, Path]], group: _Group) -> None:
        """One of them is refused for itself: finds out which, and drops it alone."""
        for index, each in objects.items():
            try:
                self._store.upload([each])
            except DataError as error:
                group.dropped[index] = str(error)

    def _message(self, results: Sequence[CellResult]) -> str:
        documents = list(dict.fromkeys(document_name(result.notebook) for result in results))
        shown = ", ".join(documents[:5]) + (", ..." if len(documents) > 5 else "")
        kind = "recordings" if isinstance(results[0].patch, RecordingPatch) else "transcriptions"
        return f"Job {self._owned.attempt.job_id}: {kind} in {shown}"


def _line(result: CellResult, pointer: Pointer | None) -> str:
    return cell_line(result.notebook, result.patch, None if pointer is None else pointer.render())


def _groups(results: Sequence[CellResult]) -> Iterator[_Group]:
    """Results by notebook in the order of their coming, at most MAX_CELLS in a group."""
    first_seen: dict[str, int] = {}
    for result in results:
        first_seen.setdefault(result.notebook, len(first_seen))
    order = sorted(range(len(results)), key=lambda index: first_seen[results[index].notebook])
    for start in range(0, len(order), MAX_CELLS):
        yield _Group(order[start : start + MAX_CELLS])


def _pointer_of(result: CellResult) -> Pointer | None:
    """The pointer to a result's recording. Raises DataError where it cannot be published."""
    if not (result.notebook.startswith(NOTEBOOKS) and result.notebook.endswith(".codex")):
        raise DataError(f"{result.notebook} is no notebook of the target language")
    if not isinstance(result.patch, RecordingPatch):
        return None
    if result.recording is None:
        raise DataError("it has no recording")
    try:
        pointer = pointer_for(result.recording)
    except OSError as error:
        raise DataError(f"its recording cannot be read: {error.strerror}") from error
    if pointer.size == 0:
        raise DataError("its recording is empty")
    if pointer.size != result.patch.recording.size_bytes:
        raise DataError(
            f"its recording has {pointer.size} bytes, its entry says {result.patch.recording.size_bytes}"
        )
    return pointer


def _contents(snapshot: Snapshot, paths: Sequence[str]) -> Iterator[bytes | None]:
    """The files in order, some at a time: one request for each would be slow, all at once too large."""
    for start in range(0, len(paths), NOTEBOOKS_AT_ONCE):
        window = paths[start : start + NOTEBOOKS_AT_ONCE]
        found = snapshot.read_many(window)
        yield from (found.get(path) for path in window)


def _sort(
    built: _Built, outcome: Applied, patches: Mapping[int, Patch], pointers: Mapping[int, Pointer]
) -> None:
    """Notes what became of each patch of a notebook, and adds the pointers of those that were applied."""
    written = [id(patch) for patch in outcome.applied]
    present = [id(patch) for patch, _ in outcome.unchanged]
    refused = {id(patch): why for patch, why in outcome.dropped}
    for index, patch in patches.items():
        if id(patch) in refused:
            built.dropped[index] = refused[id(patch)]
            continue
        if id(patch) in written and isinstance(patch, RecordingPatch):
            built.files[patch.recording.pointer_path] = pointers[index].render()
        if id(patch) in written or id(patch) in present:
            built.done.append(index)
