import hashlib
import subprocess
from pathlib import Path

import pytest

from codex_worker.errors import DataError, UserError
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.open import open_store
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.store import FileStore


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "a project.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return path


@pytest.fixture
def cache(tmp_path):
    return LfsCache(tmp_path / "cache", 10_000)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.webm"
    path.write_bytes(b"speech" * 100)
    return path


def content(downloaded):
    assert isinstance(downloaded, Path), downloaded
    return downloaded.read_bytes()


def test_an_uploaded_file_comes_back(repository, cache, recording):
    store = FileStore(repository)
    pointer = pointer_for(recording)
    assert store.missing([pointer]) == {pointer}
    store.upload([(pointer, recording)])
    assert store.missing([pointer]) == set()
    assert content(store.download([pointer], cache)[pointer]) == recording.read_bytes()


def test_objects_lie_where_git_lfs_looks_for_them(repository, recording):
    pointer = pointer_for(recording)
    FileStore(repository).upload([(pointer, recording)])
    expected = repository / "lfs" / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
    assert expected.read_bytes() == recording.read_bytes()


def test_one_missing_object_does_not_stop_the_others(repository, cache, recording):
    store = FileStore(repository)
    there, absent = pointer_for(recording), Pointer(hashlib.sha256(b"absent").hexdigest(), 6)
    store.upload([(there, recording)])
    results = store.download([absent, there, absent], cache)
    assert isinstance(results[absent], DataError)
    assert "was not uploaded" in str(results[absent])
    assert content(results[there]) == recording.read_bytes()


def test_a_damaged_object_is_an_error_of_its_own(repository, cache, recording):
    store = FileStore(repository)
    pointer = pointer_for(recording)
    store.upload([(pointer, recording)])
    path = repository / "lfs" / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
    path.write_bytes(b"S" + recording.read_bytes()[1:])
    assert "damaged" in str(store.download([pointer], cache)[pointer])


def test_a_file_that_changed_since_its_pointer_is_not_stored(repository, recording):
    store = FileStore(repository)
    pointer = pointer_for(recording)
    recording.write_bytes(b"other!" * 100)
    with pytest.raises(DataError, match="damaged"):
        store.upload([(pointer, recording)])
    assert store.missing([pointer]) == {pointer}


def test_progress_counts_objects_and_bytes_and_may_stop_the_transfer(repository, tmp_path):
    paths = []
    for number in range(3):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(b"x" * (number + 1))
    seen = []

    def stop_after_two(progress):
        seen.append(
            (progress.done_objects, progress.total_objects, progress.done_bytes, progress.total_bytes)
        )
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        FileStore(repository).upload(
            [(pointer_for(path), path) for path in paths], on_progress=stop_after_two
        )
    assert seen == [(1, 3, 1, 6), (2, 3, 3, 6)]


def test_a_store_is_opened_by_path_or_address(repository, recording):
    pointer = pointer_for(recording)
    open_store(repository, Credentials()).upload([(pointer, recording)])
    assert open_store(repository.as_uri(), Credentials()).missing([pointer]) == set()
    with pytest.raises(UserError, match="cannot be reached"):
        open_store("ssh://git@example.org/a.git", Credentials())
    with pytest.raises(UserError, match="not a git repository"):
        open_store(recording.parent, Credentials())
