"""A cache is disposable: whatever is wrong with it, the next operation heals it or says that it cannot."""

import os
import shutil
from pathlib import Path

import pytest

from codex_worker.clock import SystemClock
from codex_worker.errors import AccessDenied, CacheBroken, ProjectGone, ResourceError, ServerUnreachable
from codex_worker.git import faults
from codex_worker.git.faults import fault_here, local_fault, network_error
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.process import Git
from codex_worker.git.repository import Change, Repository
from tests.support.queues import GitProject

HERE = Path("/nowhere/repositories/mark-main.git")


def locks(cache):
    for name in (
        "refs/worker/head.lock",
        "refs/worker/try.lock",
        "packed-refs.lock",
        "shallow.lock",
        "HEAD.lock",
    ):
        (cache / name).touch()


def objects(cache):
    return [path for path in (cache / "objects").rglob("*") if path.is_file()]


def overwritten(content):
    def harm(cache):
        for path in objects(cache):
            path.chmod(0o644)
            path.write_bytes(content)

    return harm


def lost(cache):
    for path in objects(cache):
        path.unlink()


def written(name, content):
    return lambda cache: (cache / name).write_bytes(content)


HARM = {
    "locks that a killed git has left": locks,
    "objects of length zero": overwritten(b""),
    "objects that are none": overwritten(b"garbage" * 20),
    "objects that are gone": lost,
    "a folder that is gone": lambda cache: shutil.rmtree(cache / "objects"),
    "a reference that is none": written("refs/worker/head", b"garbage\n"),
    "an empty HEAD": written("HEAD", b""),
    "a boundary that is none": written("shallow", b"garbage\n"),
}


class Place:
    """A project, and a cache of it that was used already."""

    def __init__(self, folder: Path) -> None:
        self.project = GitProject({"a.txt": b"hello", "folder/b.txt": b"b" * 5000}, folder)
        self.transport = GitTransport(str(self.project.bare), folder / "cache.git", author="w", email="w@x")
        self.repository = Repository(self.transport, SystemClock())
        self.snapshot = self.repository.snapshot()
        assert self.snapshot.read("a.txt") == b"hello"


ACTS = {
    "publishes": lambda place: place.repository.transact(lambda *_: Change({"new.txt": b"new"}, "m")),
    "goes on reading": lambda place: place.snapshot.read("folder/b.txt"),
    "beats": lambda place: place.repository.lease_commit(b"a lease"),
    "looks": lambda place: place.repository.snapshot().read("folder/b.txt"),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
@pytest.mark.parametrize(
    ("act", "moved"), [("publishes", False), ("goes on reading", False), ("looks", True)]
)
def test_a_damaged_cache_is_healed_by_whatever_comes_next(tmp_path, harm, act, moved):
    place = Place(tmp_path)
    if moved:
        place.project.edit(lambda files: files.update({"a.txt": b"changed"}))
    harm(place.transport.folder)
    assert ACTS[act](place)
    assert place.repository.snapshot().read("folder/b.txt") == b"b" * 5000


@pytest.mark.parametrize("harm", ["an empty HEAD", "a folder that is gone"])
def test_a_lease_is_made_in_a_cache_that_was_damaged(tmp_path, harm):
    place = Place(tmp_path)
    HARM[harm](place.transport.folder)
    assert ACTS["beats"](place)


def test_a_lock_that_is_only_left_over_costs_no_new_cache(tmp_path, caplog):
    place = Place(tmp_path)
    locks(place.transport.folder)
    place.repository.transact(lambda *_: Change({"new.txt": b"new"}, "m"))
    assert "fetched again" not in caplog.text


def test_a_cache_that_cannot_be_healed_is_named_and_no_server_is_blamed(tmp_path, monkeypatch):
    place = Place(tmp_path)
    monkeypatch.setattr(place.transport, "renew", lambda commit=None: None)
    overwritten(b"")(place.transport.folder)
    with pytest.raises(CacheBroken, match=r"The cache .*cache\.git is damaged") as caught:
        place.repository.transact(lambda *_: Change({"new.txt": b"new"}, "m"))
    assert "server" not in str(caught.value)


def test_a_repository_that_is_gone_is_said_to_be_gone(tmp_path):
    place = Place(tmp_path)
    place.project.bare.rename(tmp_path / "moved.git")
    with pytest.raises(ProjectGone, match="There is no such repository"):
        place.repository.look()
    with pytest.raises(ProjectGone):
        place.repository.transact(lambda *_: Change({"new.txt": b"new"}, "m"), patience_s=1e9)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("fatal: unable to access 'https://x/': The requested URL returned error: 503", None),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", None),
        ("error: RPC failed; curl 56 recv failure: Connection reset by peer\nfatal: early EOF", None),
        ("fatal: Authentication failed for 'https://x/team/mark.git/'", None),
        ("remote: fatal: loose object is corrupt\nfatal: protocol error: bad pack header", None),
        ("remote: fatal: write error: No space left on device\nfatal: the remote end hung up", None),
        (f"fatal: Unable to create '{HERE}/shallow.lock': File exists.", CacheBroken),
        ("error: cannot lock ref 'refs/worker/head': unable to resolve reference", CacheBroken),
        ("error: object file objects/ab/cd is empty\nfatal: loose object abcd is corrupt", CacheBroken),
        ("fatal: bad object 1234", CacheBroken),
        ("error: src refspec 1234 does not match any", CacheBroken),
        ("fatal: unable to write loose object file: No space left on device", ResourceError),
        ("fatal: cannot create: Disk quota exceeded", ResourceError),
        ("error: unable to append: Read-only file system", ResourceError),
        ("error: failed to read object: Input/output error", ResourceError),
        ("fatal: write error: File too large", ResourceError),
    ],
)
def test_what_git_says_is_told_apart_into_here_and_there(words, error, monkeypatch):
    monkeypatch.setattr(faults, "is_full", lambda folder: False)
    found = fault_here("fetch", words, HERE)
    assert type(found) is (type(None) if error is None else error)


@pytest.mark.parametrize("words", ["", "fatal: couldn't write refs/worker/head.lock", "fatal: early EOF"])
def test_whatever_git_says_a_full_disk_is_seen(words, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((4096, 4096, 9, 0, 0, 9, 9, 9, 0, 255)))
    assert isinstance(fault_here("fetch", words, HERE), ResourceError)
    assert isinstance(local_fault("fast-import", words, HERE), ResourceError)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("fatal: repository 'https://x/team/mark.git/' not found", ProjectGone),
        ("remote: The project you were looking for could not be found or you don't have it.", ProjectGone),
        ("fatal: '/srv/mark.git' does not appear to be a git repository", ProjectGone),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", AccessDenied),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 502", ServerUnreachable),
    ],
)
def test_a_server_that_answers_is_told_from_one_that_does_not(words, error):
    assert type(network_error("fetch", words)) is error


@pytest.mark.parametrize("ask", [lambda git: git.local("fast-import"), lambda git: git.online("fetch")])
def test_a_git_that_a_signal_ended_is_no_damaged_cache_and_no_answer(ask, tmp_path, monkeypatch):
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\nkill -TERM $$\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ServerUnreachable, match=r"^git \S+ was ended by SIGTERM before it was done\.$"):
        ask(Git(tmp_path))


def test_whether_a_commit_is_there_is_no_guess_when_a_signal_ended_git(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    project = GitProject({"a.txt": b"a"}, tmp_path)
    transport = GitTransport(str(project.bare), cache, author="a", email="a@example.org")
    heads = transport.look()
    transport.snapshot(heads)
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\nkill -TERM $$\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ServerUnreachable, match="ended by SIGTERM"):
        transport.contains(heads, heads.commit)


def test_a_server_without_a_word_is_said_to_have_said_nothing():
    assert "(git push): it said nothing." in str(network_error("push", ""))
