"""The next job's recordings: which they are, that they come into the cache, and when none is fetched."""

import threading
from pathlib import Path

import pytest

from codex_worker.clock import SystemClock
from codex_worker.contract.manifest import JobEntry
from codex_worker.errors import SystemFault
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.lfs.store import FileStore
from codex_worker.git.memory import MemoryServer, MemoryTransport
from codex_worker.git.repository import Repository
from codex_worker.worker import prefetch
from codex_worker.worker.prefetch import NextJob, Prefetch, recordings_of
from sample.make_codex_project import make_project
from tests.support.event_clock import until


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    made = make_project(folder, with_sample_jobs=False)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".git/" not in path.as_posix()
    }
    snapshot = Repository(MemoryTransport(MemoryServer(files)), SystemClock()).snapshot()
    return made, snapshot


def entry(mode: str = "training", job_type: str = "asr", **keys) -> JobEntry:
    model = {"type": "w2v2bert" if job_type == "asr" else "stabletts"}
    return JobEntry.model_validate(
        {"job_id": "next", "job_type": job_type, "mode": mode, "model": model, **keys}
    )


class Store(FileStore):
    """The objects of a repository on disk; `on_download` is told of each request."""

    def __init__(self, repository: Path, contents: dict[str, bytes], on_download=lambda pointers: None):
        super().__init__(repository)
        self.on_download = on_download
        for oid, content in contents.items():
            (repository.parent / oid).write_bytes(content)
            self.upload([(Pointer(oid, len(content)), repository.parent / oid)])

    def download(self, pointers, cache, *, on_progress=None):
        wanted = list(pointers)
        self.on_download(wanted)
        return super().download(wanted, cache, on_progress=on_progress)


class Beside:
    """A worker that computes for as long as a test wants."""

    def __init__(self, tmp_path: Path, sample, on_download=lambda pointers: None, cache_bytes: int = 10**9):
        self.made, self.snapshot = sample
        (tmp_path / "bare.git").mkdir()
        (tmp_path / "bare.git/HEAD").touch()
        self.store = Store(tmp_path / "bare.git", self.made.large_files, on_download)
        self.cache = LfsCache(tmp_path / "lfs", cache_bytes)
        self.leaving = threading.Event()
        self.is_free = True

    def fetch(self, *entries: JobEntry, count: int = 1) -> None:
        """Fetches ahead until that is over by itself."""
        jobs = [NextJob("somewhere", each, lambda: self.snapshot, lambda: self.is_free) for each in entries]
        before = set(threading.enumerate())
        with Prefetch(count, lambda address: self.store, lambda: self.cache).beside(jobs, self.leaving):
            until(lambda: not any(each.name == "prefetch" for each in set(threading.enumerate()) - before))

    @property
    def cached(self) -> int:
        return sum(1 for path in (self.cache.folder / "objects").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("mode", "job_type", "recorded", "to_transcribe"),
    [
        ("training", "asr", True, False),
        ("training", "tts", True, False),
        ("inference", "asr", False, True),
        ("training_and_inference", "asr", True, True),
        ("inference", "tts", False, False),
    ],
)
def test_what_a_job_needs_is_told_by_its_mode(sample, mode, job_type, recorded, to_transcribe):
    made, snapshot = sample
    training = len(recordings_of(entry("training", "asr"), snapshot))
    transcribing = len(recordings_of(entry("inference", "asr"), snapshot))
    assert training == len(made.recorded) and transcribing > 0
    found = recordings_of(entry(mode, job_type), snapshot)
    assert len(found) == training * recorded + transcribing * to_transcribe


def test_the_jobs_list_of_verses_counts(sample):
    made, snapshot = sample
    one = entry(training={"include_verses": sorted(made.recorded)[:1]})
    assert len(recordings_of(one, snapshot)) == 1


def test_recordings_are_in_the_cache_before_the_job_is_begun(tmp_path, sample):
    beside = Beside(tmp_path, sample)
    beside.fetch(entry())
    assert beside.cached == len(recordings_of(entry(), beside.snapshot))


def test_no_more_jobs_are_fetched_for_than_asked(tmp_path, sample):
    asked: list[list[Pointer]] = []
    beside = Beside(tmp_path, sample, asked.append)
    beside.fetch(entry("inference"), entry())
    assert beside.cached == len(recordings_of(entry("inference"), beside.snapshot))
    beside.fetch(entry(), count=0)
    assert len(asked) == 1


def test_nothing_more_is_fetched_for_a_job_that_another_worker_has(tmp_path, sample, monkeypatch):
    monkeypatch.setattr(prefetch, "OBJECTS_AT_ONCE", 2)

    beside = Beside(tmp_path, sample)

    def take(pointers):
        beside.is_free = False

    beside.store.on_download = take
    beside.fetch(entry())
    assert beside.cached == 2
    beside.fetch(entry("inference"))
    assert beside.cached == 2


def test_a_worker_that_leaves_fetches_nothing_more(tmp_path, sample, monkeypatch):
    monkeypatch.setattr(prefetch, "OBJECTS_AT_ONCE", 2)
    beside = Beside(tmp_path, sample)
    beside.store.on_download = lambda pointers: beside.leaving.set()
    beside.fetch(entry())
    assert beside.cached == 2


def test_what_the_cache_has_for_others_is_not_pushed_out(tmp_path, sample):
    sizes = [pointer.size for pointer in recordings_of(entry(), sample[1])]
    beside = Beside(tmp_path, sample, cache_bytes=2 * sum(sizes[:3]))
    beside.fetch(entry())
    assert beside.cached == 3


@pytest.mark.parametrize(
    "error", [SystemFault("The server is away."), OSError(28, "full"), ValueError("ours")]
)
def test_what_goes_wrong_is_said_and_ends_nothing(tmp_path, sample, caplog, error):
    failed: list[list[Pointer]] = []

    def fail(pointers):
        if not failed:
            failed.append(pointers)
            raise error

    beside = Beside(tmp_path, sample, fail)
    with caplog.at_level("INFO"):
        beside.fetch(entry(), entry("inference"), count=2)
    assert "ahead for job next" in caplog.text
    assert beside.cached == len(recordings_of(entry("inference"), beside.snapshot))


def test_a_manifest_entry_that_cannot_be_meant_is_left_to_its_job(tmp_path, sample):
    beside = Beside(tmp_path, sample)
    beside.fetch(entry(epochs="many"), entry("inference"), count=2)
    assert beside.cached == len(recordings_of(entry("inference"), beside.snapshot))
