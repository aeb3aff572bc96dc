"""The next jobs' recordings, fetched into the cache while a job computes. Nothing is claimed for that.

Whoever claims ahead has to give back, and keeps others from a job that nobody does. So a job that another
worker takes meanwhile costs what was fetched until then, and no more.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from codex_worker.codex.attachments import selected_recording
from codex_worker.codex.choose import Selection, cells_for_training, cells_to_transcribe
from codex_worker.codex.notebook import Notebook, read_together
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.options import InferenceOptions, TrainingOptions, options_of
from codex_worker.errors import DataError, WorkerError
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.lfs.store import LfsStore
from codex_worker.git.ports import Snapshot

logger = logging.getLogger(__name__)

NOTEBOOKS = "files/target"
# Between two of them it is asked whether to go on.
OBJECTS_AT_ONCE = 16
# Of the cache: what the job that computes has fetched is to stay there as well.
CACHE_SHARE = 0.5


@dataclass(frozen=True)
class NextJob:
    """A job that may be done next."""

    address: str  # of its repository
    entry: JobEntry
    files: Callable[[], Snapshot]  # as they were last seen
    is_free: Callable[[], bool]  # whether it is pending still, as far as was seen


class Prefetch:
    """Fetches for at most `count` jobs. Whatever goes wrong is the job's to tell when it is begun."""

    def __init__(
        self, count: int, open_store: Callable[[str], LfsStore], open_cache: Callable[[], LfsCache]
    ) -> None:
        self._count = count
        self._open_store = open_store
        self._open_cache = open_cache

    @contextmanager
    def beside(self, jobs: Sequence[NextJob], leaving: threading.Event) -> Iterator[None]:
        """Fetches while the block runs, until `leaving` is set; nobody waits for its end."""
        over = threading.Event()
        wanted = jobs[: self._count]
        if wanted:
            threading.Thread(
                target=self._fetch_all,
                args=(wanted, lambda: over.is_set() or leaving.is_set()),
                name="prefetch",
                daemon=True,
            ).start()
        try:
            yield
        finally:
            over.set()

    def _fetch_all(self, jobs: Sequence[NextJob], is_over: Callable[[], bool]) -> None:
        for job in jobs:
            try:
                self._fetch(job, lambda job=job: is_over() or not job.is_free())  # type: ignore[misc]
            except (WorkerError, OSError) as error:
                logger.info("Nothing more is fetched ahead for job %s: %s", job.entry.job_id, error)
            except Exception:  # a defect of ours must not be the running job's
                logger.exception("Fetching ahead for job %s failed", job.entry.job_id)

    def _fetch(self, job: NextJob, is_over: Callable[[], bool]) -> None:
        if is_over():
            return
        cache, store = self._open_cache(), self._open_store(job.address)
        pointers = _within(recordings_of(job.entry, job.files()), CACHE_SHARE * cache.max_bytes)
        for start in range(0, len(pointers), OBJECTS_AT_ONCE):
            if is_over():
                return
            store.download(pointers[start : start + OBJECTS_AT_ONCE], cache)
        logger.info("%d recordings of job %s are here before it is begun.", len(pointers), job.entry.job_id)


def recordings_of(entry: JobEntry, files: Snapshot) -> list[Pointer]:
    """What a job is going to fetch first, as far as its notebooks say. May raise a WorkerError."""
    options = options_of(entry)
    notebooks = _notebooks(files)
    cells = []
    if entry.mode != "inference":
        selection = _selection(options.training)
        cells += [cell for each in notebooks for cell in cells_for_training(each, selection).chosen]
    if entry.job_type == "asr" and entry.mode != "training":
        selection = _selection(options.inference)
        cells += [cell for each in notebooks for cell in cells_to_transcribe(each, selection).chosen]
    paths = dict.fromkeys(selected_recording(cell).pointer_path for cell in cells)
    found = map(parse_pointer, files.read_many(paths).values())
    return list(dict.fromkeys(pointer for pointer in found if pointer is not None))


def _notebooks(files: Snapshot) -> Sequence[Notebook]:
    paths = [entry.path for entry in files.files(NOTEBOOKS) if entry.path.endswith(".codex")]
    notebooks = []
    for path, content in files.read_each(paths):
        try:
            notebooks.append(Notebook.parse(content, path))
        except DataError:
            continue  # the job says so
    return read_together(notebooks)


def _selection(options: TrainingOptions | InferenceOptions) -> Selection:
    machines_too = isinstance(options, TrainingOptions) and options.include_machine_made
    return Selection(options.include_verses, options.exclude_verses, include_machine_made=machines_too)


def _within(pointers: Sequence[Pointer], most_bytes: float) -> list[Pointer]:
    """The first of them that have at most so many bytes together."""
    chosen, total_bytes = [], 0
    for pointer in pointers:
        total_bytes += pointer.size
        if total_bytes > most_bytes:
            break
        chosen.append(pointer)
    return chosen
