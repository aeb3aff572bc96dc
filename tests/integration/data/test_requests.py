"""What fetching and publishing cost a GitLab server, counted request by request."""

import hashlib
import subprocess

import pytest

from codex_worker.clock import SystemClock
from codex_worker.codex.notebook import Notebook
from codex_worker.errors import SystemFault
from codex_worker.git.credentials import Credentials
from codex_worker.git.gate import Gate
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.http import HttpSettings, HttpStore
from codex_worker.git.lfs.pointer import Pointer, parse_pointer
from codex_worker.git.process import Git
from codex_worker.git.repository import Repository
from codex_worker.hub.fetch import Hub, hub_settings
from codex_worker.publish.cells import CellPublisher
from codex_worker.settings import Settings
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.project_access import RepositoryReader
from gitlab_jobs import JobQueue
from tests.support.gitlab import DEVELOPER, GitLabServer
from tests.support.notebooks import PATH, notebook, written_cell
from tests.support.noted import noted
from tests.support.present import present
from tests.support.queues import claimed, job, manifest
from tests.unit.publish.conftest import spoken

VERSES = 120


class Site:
    """A project on a GitLab with `files`, and a worker that may push there."""

    def __init__(self, server, folder, files):
        self.server, self.folder = server, folder
        self.project = server.create_project("team/mark", members={"worker": DEVELOPER})
        self.credentials = Credentials(server.create_token("worker"), server.url)
        self.store = HttpStore(
            server.git_url(self.project),
            self.credentials,
            settings=HttpSettings(tries=1),
            sleep=lambda s: None,
        )
        self.cache = LfsCache(folder / "lfs", 10**9)
        self._commit(files)

    def repository(self, name="cache"):
        transport = GitTransport(
            self.server.git_url(self.project),
            self.folder / f"{name}.git",
            author="worker",
            email="worker@example.org",
            gate=Gate(self.credentials),
        )
        return Repository(transport, SystemClock())

    def put_object(self, content):
        pointer = Pointer(hashlib.sha256(content).hexdigest(), len(content))
        for path, data in (
            (self.server.state.object_path(pointer.oid), content),
            (self.server.state.link_path(self.project, pointer.oid), b""),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return pointer

    def head(self):
        return self.repository("reader").snapshot()

    def _commit(self, files):
        tree = self.folder / "tree"
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        git = ["git", "-C", str(tree), "-c", "user.name=maria", "-c", "user.email=m@example.org"]
        for arguments in (
            ["init", "-q", "-b", "main"],
            ["add", "--all", "."],
            ["commit", "-q", "-m", "a project"],
        ):
            subprocess.run([*git, *arguments], check=True)
        subprocess.run(
            ["git", "-C", str(self.project.repository), "fetch", "-q", str(tree), "main:main"], check=True
        )


@pytest.fixture
def server(tmp_path):
    with GitLabServer(tmp_path) as server:
        yield server


def pointer_path(number):
    return f".project/attachments/pointers/MRK/audio-1-{number:09d}.webm"


def test_all_recordings_come_with_one_batch_a_hundred_and_the_second_time_from_the_cache(
    server, tmp_path, monkeypatch
):
    contents = {pointer_path(number): b"sound %d" % number for number in range(VERSES)}
    pointers = {
        path: Pointer(hashlib.sha256(content).hexdigest(), len(content)).render()
        for path, content in contents.items()
    }
    site = Site(server, tmp_path, pointers)
    for content in contents.values():
        site.put_object(content)
    commands = []
    monkeypatch.setattr(Git, "run", noted(Git.run, lambda git, *words, **more: commands.append(words[0])))
    for attempt, (batches, downloads) in enumerate([(2, VERSES), (0, 0)]):
        server.requests.clear()
        commands.clear()
        with JobFolder(tmp_path / f"job{attempt}") as folder:
            files = RepositoryReader(
                site.repository().snapshot(), site.store, site.cache, Hub(hub_settings(Settings(), {})),
                folder,
            )  # fmt: skip
            fetched = files.fetch_recordings(list(contents))
            assert {path: file.read_bytes() for path, file in fetched.files.items()} == contents
        assert len(server.requests_to("objects/batch")) == batches
        assert len(server.requests_to("gitlab-lfs/objects", "GET")) == downloads
        assert len(server.requests) <= batches + downloads + 8
        assert len(commands) < 20  # however many recordings there are


def test_publishing_uploads_in_batches_and_nothing_twice_after_a_crash(server, tmp_path):
    files = {
        "gpu_jobs/manifest.yaml": manifest(
            job("one", job_type="tts", mode="inference", model={"type": "StableTTS"})
        ),
        PATH: notebook(
            *(written_cell(f"MRK 1:{verse}", f"Verse {verse}.") for verse in range(1, VERSES + 1))
        ),
    }
    site = Site(server, tmp_path, files)
    owned = claimed(
        JobQueue(site.repository(), "worker", SystemClock(), beats=site.repository("beats")), "one"
    )
    folder = tmp_path / "job"
    folder.mkdir()
    cells = Notebook.parse(files[PATH], PATH).cells
    results = [spoken(folder, PATH, cell, number) for number, cell in enumerate(cells)]
    server.requests.clear()
    # The connection breaks after the push has landed: the worker knows only that no answer came.
    server.faults.drop("after", r"git-receive-pack$", method="POST")
    published = CellPublisher(owned, site.store).publish(results)
    assert len(published.applied) == VERSES
    assert len(server.requests_to("objects/batch")) == 2
    assert len(server.requests_to("gitlab-lfs/objects", "PUT")) == VERSES
    before = site.head()
    server.requests.clear()
    again = CellPublisher(owned, site.store).publish(results)
    assert len(again.applied) == VERSES
    assert server.requests_to("gitlab-lfs/objects", "PUT") == []
    assert site.head().commit == before.commit
    pointers = [entry.path for entry in before.files(".project/attachments/pointers/MRK")]
    assert len(pointers) == VERSES
    assert all(
        server.state.object_path(present(parse_pointer(present(before.read(path)))).oid).is_file()
        for path in pointers[:10]
    )


def test_a_failed_upload_leaves_the_branch_as_it_was(server, tmp_path):
    files = {
        "gpu_jobs/manifest.yaml": manifest(
            job("one", job_type="tts", mode="inference", model={"type": "StableTTS"})
        ),
        PATH: notebook(written_cell("MRK 1:1", "One.")),
    }
    site = Site(server, tmp_path, files)
    owned = claimed(
        JobQueue(site.repository(), "worker", SystemClock(), beats=site.repository("beats")), "one"
    )
    before = site.head().commit
    server.faults.answer(503, r"gitlab-lfs/objects", method="PUT", times=None)
    folder = tmp_path / "job"
    folder.mkdir()
    (cell,) = Notebook.parse(files[PATH], PATH).cells
    with pytest.raises(SystemFault):
        CellPublisher(owned, site.store).publish([spoken(folder, PATH, cell, 1)])
    assert site.head().commit == before
