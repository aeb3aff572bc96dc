"""Reading a project for a job: files from one commit, recordings and models from the large-file store."""

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_worker.codex.alike import FilesByName, TwoAlike
from codex_worker.codex.attachments import ATTACHMENTS_FOLDER
from codex_worker.codex.pointer_text import trouble_of
from codex_worker.contract.ids import can_lie_on_disk
from codex_worker.contract.paths import JOBS_FOLDER, project_and_path
from codex_worker.errors import DataError, ResourceError, UserError, clause
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.lfs.store import LfsStore, TransferProgress
from codex_worker.git.ports import Snapshot
from codex_worker.hub.fetch import Hub
from codex_worker.job.api import Absence, CellResult, Fetched, Published, Weights
from codex_worker.publish.artifacts import publish_artifact
from codex_worker.publish.cells import CellPublisher
from codex_worker.queue.owned import OwnedJob
from codex_worker.supervisor.carried_states import CarriedStates
from codex_worker.supervisor.gathering import Gathering, say_what_was_spoilt
from codex_worker.supervisor.job_folder import JobFolder

logger = logging.getLogger(__name__)

PATHS_AT_ONCE = 1000
OpenShared = Callable[[str], tuple[Snapshot, LfsStore]]  # another project by its name; raises UserError


def nothing_is_shared(name: str) -> tuple[Snapshot, LfsStore]:
    """For readers outside of jobs."""
    raise UserError(f"Checkpoints of another project ({name}) are only for a worker's jobs.")


@dataclass(frozen=True)
class CheckpointPlace:
    """A project that has checkpoints; `project` is its name in a manifest, "" for the job's own."""

    files: Snapshot
    store: LfsStore
    project: str = ""

    @property
    def folder(self) -> str:
        """Where its files go in the job folder, so that two projects' do not mix."""
        digest = hashlib.sha256(self.project.encode()).hexdigest()[:12]
        return f"shared-{digest}/" if self.project else ""

    def read(self, path: str) -> tuple[str, bytes]:
        """The path that is meant, as for recordings, and what is there. Raises UserError."""
        data = self.files.read(path)
        if data is not None:
            return path, data
        files = FilesByName(lambda: (entry.path for entry in self.files.files(JOBS_FOLDER)))
        try:
            file = files.meant_by(path)
        except TwoAlike as error:
            raise UserError(f"The checkpoint {clause(error)}. Choose it again.") from error
        data = None if file is None else self.files.read(file)
        if file is None or data is None:
            where = f"the project {self.project}" if self.project else "this project"
            raise UserError(
                f"There is no checkpoint at {path} in {where} (any more). "
                "Choose one that an earlier training job made."
            )
        return file, data


class RepositoryReader:
    """Files of one commit, recordings and models of a store, weights of the hub.

    The child gets copies: a file of the shared cache that it could write to would be everybody's.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        store: LfsStore,
        cache: LfsCache,
        hub: Hub,
        folder: JobFolder,
        open_shared: OpenShared = nothing_is_shared,
    ) -> None:
        self._snapshot = snapshot
        self._store = store
        self._cache = cache
        self._hub = hub
        self._folder = folder
        self._open_shared = open_shared
        self._attachments = FilesByName(
            lambda: filter(can_lie_on_disk, (entry.path for entry in snapshot.files(ATTACHMENTS_FOLDER)))
        )

    @property
    def commit(self) -> str:
        """The commit whose files are read."""
        return self._snapshot.commit

    def list_files(self, prefix: str = "") -> list[str]:
        """Paths that start with `prefix`."""
        folder = prefix.rpartition("/")[0]
        return [entry.path for entry in self._snapshot.files(folder) if entry.path.startswith(prefix)]

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """Copies text files into the job folder."""
        found: dict[str, Path] = {}
        for start in range(0, len(paths), PATHS_AT_ONCE):
            for path, data in self._snapshot.read_each(paths[start : start + PATHS_AT_ONCE]):
                found[path] = self._folder.put(f"files/{path}", data)
        return found

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """Copies recordings into the job folder; those that cannot be had are named with the reason."""
        gathering = Gathering()
        pointers: dict[str, tuple[str, Pointer]] = {}
        for start in range(0, len(pointer_paths), PATHS_AT_ONCE):
            pointers |= self._read_pointers(pointer_paths[start : start + PATHS_AT_ONCE], gathering)
        wanted = [pointer for _, pointer in pointers.values()]
        with self._cache.hold(wanted):
            fetched = self._store.download(wanted, self._cache, on_progress=_say)
            for path, (file, pointer) in pointers.items():
                answer = fetched[pointer]
                if isinstance(answer, DataError):
                    gathering.refused(path, answer)
                else:
                    gathering.found[path] = self._copy(answer, f"recordings/{file}", pointer.size)
        return gathering.fetched()

    def _read_pointers(self, paths: Sequence[str], gathering: Gathering) -> dict[str, tuple[str, Pointer]]:
        """The pointers at these paths, each with the file that it was read from."""
        contents = self._snapshot.read_many(filter(can_lie_on_disk, paths))
        meant = gathering.meant((path for path in paths if path not in contents), self._attachments)
        contents |= self._snapshot.read_many(meant.values())
        say_what_was_spoilt(contents)
        pointers: dict[str, tuple[str, Pointer]] = {}
        for path in paths:
            file = meant.get(path, path)
            data = contents.get(file)
            pointer = parse_pointer(data) if data else None
            if pointer is not None:
                pointers[path] = file, pointer
            elif data:
                # Some projects hold a small recording itself where the pointer should be.
                gathering.found[path] = self._folder.put(f"recordings/{file}", data)
            elif path not in gathering.missing:
                gathering.lacks(path, Absence.NEVER_SENT, _never_sent(file, data, path in meant))
        return pointers

    def fetch_checkpoint(self, path: str) -> Path:
        """Copies a model of this project, or of one that shares them, into the job folder.

        Raises UserError where there is none, or it is not shared.
        """
        project, inside = project_and_path(path)
        if project:
            files, store = self._open_shared(project)
            return self._fetch_model(CheckpointPlace(files, store, project), inside)
        return self._fetch_model(CheckpointPlace(self._snapshot, self._store), path)

    def _fetch_model(self, place: "CheckpointPlace", path: str) -> Path:
        if not path.startswith(f"{JOBS_FOLDER}/"):
            raise UserError(
                f"The checkpoint {path} is not one that a job of this project made (gpu_jobs/...), nor of "
                "another one (PROJECT:gpu_jobs/...)."
            )
        file, data = place.read(path)
        target = f"fetched/{place.folder}{file}"
        pointer = parse_pointer(data)
        if pointer is not None:
            return self._object(pointer, target, f"The checkpoint {file}", place.store)
        trouble = trouble_of(data)
        if trouble is not None:
            raise UserError(
                f"The checkpoint {file} is {trouble}. Restore the pointer from the project's history, or "
                "choose another checkpoint."
            )
        return self._folder.put(target, data)

    def fetch_weights(self, name: str) -> Weights:
        """Official weights, where they lie on this machine."""
        found = self._hub.fetch(name)
        return Weights(found.path, found.revision)

    def _object(self, pointer: Pointer, name: str, what: str, store: LfsStore) -> Path:
        with self._cache.hold([pointer]):
            answer = store.download([pointer], self._cache)[pointer]
            if isinstance(answer, DataError):
                raise DataError(f"{what} cannot be had: {answer}")
            return self._copy(answer, name, pointer.size)

    def _copy(self, source: Path, name: str, size_bytes: int) -> Path:
        if self._folder.has(name, size_bytes):
            return self._folder.path / name
        free_bytes = shutil.disk_usage(self._folder.path).free
        if free_bytes < size_bytes:
            raise ResourceError(
                f"{name} needs {size_bytes:,} bytes and {self._folder.path} has {free_bytes:,} free. "
                "Make room, or move the work directory (--work-dir)."
            )
        return self._folder.fill(name, lambda path: shutil.copyfile(source, path))


class RepositoryScanner(RepositoryReader):
    """The scanner of an attempt: reads as above, and publishes behind the fence of a claimed job."""

    def __init__(
        self,
        owned: OwnedJob,
        snapshot: Snapshot,
        store: LfsStore,
        cache: LfsCache,
        hub: Hub,
        folder: JobFolder,
        open_shared: OpenShared = nothing_is_shared,
    ) -> None:
        super().__init__(snapshot, store, cache, hub, folder, open_shared)
        self._owned = owned
        self._cells = CellPublisher(owned, store)
        self._states = CarriedStates(owned, store)

    def fetch_resume(self) -> Path | None:
        """Copies what an earlier attempt left; where that is gone the job starts from its beginning."""
        left = self._owned.resume
        if left is None:
            return None
        try:
            return self._object(
                Pointer(left.oid, left.size), "fetched/resume", "The earlier attempt's state", self._store
            )
        except DataError as error:
            logger.warning("%s The job starts from its beginning.", error)
            return None

    def publish_cells(self, results: Sequence[CellResult]) -> Published:
        """Patches and their recordings."""
        return self._cells.publish(results)

    def publish_artifact(self, file: Path, folder: str) -> str:
        """A file of the job; answers its path in the repository."""
        self._states.is_published(file)
        return publish_artifact(self._owned, self._store, file, folder)

    def save_resume(self, file: Path, epochs: float = 0.0) -> None:
        """Uploads the state that the next attempt goes on from, and names it in the lease."""
        self._states.save(file, epochs)

    def forget_resume(self) -> None:
        """The job is over: removes the carried state, where the store can."""
        self._states.forget()


def _never_sent(file: str, data: bytes | None, is_there: bool) -> str:
    if data is not None:
        return f"{file} is empty: its recording was never sent. Whoever recorded it has to synchronise."
    if is_there:
        return f"{file} is too large for a pointer. It has to be sent as a large file (Git LFS)."
    return f"There is no {file} in the project. Whoever recorded it has to synchronise."


def _say(progress: TransferProgress) -> None:
    if progress.done_objects % 100 == 0 or progress.done_objects == progress.total_objects:
        logger.info(
            "Fetched %d of %d recordings (%.1f of %.1f MB)",
            progress.done_objects,
            progress.total_objects,
            progress.done_bytes / 1e6,
            progress.total_bytes / 1e6,
        )
