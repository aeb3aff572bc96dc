"""What one project may learn of another: nothing that its own server does not give it."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path

import pytest

from codex_worker.errors import DataError
from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.http import HttpStore
from codex_worker.git.lfs.open import open_store
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.lfs.store import LfsStore
from codex_worker.worker.private_folder import make_private
from tests.support.gitlab import DEVELOPER, GitLabServer

SECRET = b"a recording of project A" * 100
POINTER = Pointer(hashlib.sha256(SECRET).hexdigest(), len(SECRET))


@pytest.fixture
def server(tmp_path):
    with GitLabServer(tmp_path) as server:
        yield server


@pytest.fixture
def cache(tmp_path):
    return LfsCache(tmp_path / "lfs", 10**9)


def store_of(server: GitLabServer, name: str, *, has_object: bool) -> HttpStore:
    project = server.create_project(name, {"worker": DEVELOPER})
    if has_object:
        for path, content in (
            (server.state.object_path(POINTER.oid), SECRET),
            (server.state.link_path(project, POINTER.oid), b""),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return HttpStore(server.git_url(project), Credentials(server.create_token("worker"), server.url))


def on_disk(folder: Path, name: str, *, has_object: bool) -> LfsStore:
    repository = folder / f"{name}.git"
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    store = open_store(repository, Credentials())
    if has_object:
        (folder / "recording").write_bytes(SECRET)
        store.upload([(POINTER, folder / "recording")])
    return store


@pytest.mark.parametrize("first", ["on the server", "on disk"])
@pytest.mark.parametrize("second", ["on the server", "on disk"])
def test_an_object_that_one_project_fetched_is_not_given_to_another(server, tmp_path, cache, first, second):
    def open_one(place, name, **options):
        return (
            store_of(server, name, **options)
            if place == "on the server"
            else on_disk(tmp_path, name, **options)
        )

    theirs = open_one(first, "a", has_object=True).download([POINTER], cache)[POINTER]
    assert isinstance(theirs, Path) and theirs.read_bytes() == SECRET
    server.requests.clear()

    answer = open_one(second, "b", has_object=False).download([POINTER], LfsCache(cache.folder, 10**9))[
        POINTER
    ]

    assert isinstance(answer, DataError) and "not uploaded" in str(answer)
    if second == "on the server":
        assert len(server.requests_to("objects/batch")) == 1


def test_a_project_that_has_the_object_too_gets_it_from_its_own_server(server, cache):
    for name in ("a", "b"):
        answer = store_of(server, name, has_object=True).download([POINTER], cache)[POINTER]
        assert isinstance(answer, Path) and answer.read_bytes() == SECRET
    assert len(server.requests_to("gitlab-lfs/objects", "GET")) == 2


def test_a_project_is_the_same_with_and_without_git_at_its_end(server, cache):
    store = store_of(server, "a", has_object=True)
    store.download([POINTER], cache)
    server.requests.clear()
    again = HttpStore(f"{server.url}/a/", Credentials(server.create_token("worker"), server.url))
    assert isinstance(again.download([POINTER], cache)[POINTER], Path) and server.requests == []


@pytest.mark.parametrize("changed", [b"X" + SECRET[1:], SECRET[:-1], b""])
def test_what_was_changed_in_the_cache_is_fetched_again(server, cache, changed):
    store = store_of(server, "a", has_object=True)
    path = store.download([POINTER], cache)[POINTER]
    assert isinstance(path, Path)
    path.write_bytes(changed)
    again = store.download([POINTER], cache)[POINTER]
    assert isinstance(again, Path) and again.read_bytes() == SECRET


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def strict():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o755, 0o644), (0o2775, 0o664), (0o700, 0o600)])
def test_what_is_published_to_a_repository_on_disk_is_as_open_as_the_repository(
    tmp_path, strict, folder_mode, file_mode
):
    on_disk(tmp_path, "a", has_object=False)
    repository = tmp_path / "a.git"
    repository.chmod(folder_mode)
    (tmp_path / "recording").write_bytes(SECRET)
    open_store(repository, Credentials()).upload([(POINTER, tmp_path / "recording")])
    made = list((repository / "lfs" / "objects").rglob("*"))
    assert {mode(path) for path in made if path.is_file()} == {file_mode}
    assert {mode(path) for path in made if path.is_dir()} == {folder_mode}


def test_a_work_directory_is_closed_to_others_also_one_that_was_open(tmp_path):
    for name, before in (("new", None), ("old", 0o755), ("wide", 0o777)):
        folder = tmp_path / name
        if before is not None:
            folder.mkdir()
            folder.chmod(before)
        make_private(folder)
        # Nobody can list it; a job's process that is another user passes through to its own folder.
        assert mode(folder) == (0o711 if os.geteuid() == 0 else 0o700)


def test_a_directory_that_is_everybodys_stays_so_and_its_parts_are_closed(tmp_path, caplog):
    tmp_path.chmod(0o1777)
    for name in ("lfs", "repositories", "job_one_1-abc", "somebody-elses"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    make_private(tmp_path)
    assert mode(tmp_path) == 0o1777 and "--work-dir" in caplog.text
    assert {path.name for path in tmp_path.iterdir() if mode(path) == 0o700} == {
        "lfs",
        "repositories",
        "job_one_1-abc",
    }
