"""A claimed job on a project in memory, and a store that counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.notebook import Notebook, document_name
from codex_worker.codex.patch import RecordingPatch, TextPatch
from codex_worker.errors import DataError
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.memory import MemoryTransport
from codex_worker.git.repository import Repository
from codex_worker.job.api import CellResult
from codex_worker.publish.cells import CellPublisher
from codex_worker.publish.standing import Publications
from codex_worker.queue.owned import OwnedJob
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

RECORD = "refs/gpu-records/one"
BRANCH = "refs/heads/main"


@dataclass
class CountingStore:
    """A large-file store in memory; `before_upload` may play a person or a fault."""

    objects: dict[Pointer, bytes] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    before_upload: Callable[[], None] = lambda: None

    def upload(self, objects: Sequence[tuple[Pointer, Path]], *, on_progress=None) -> None:
        self.before_upload()
        self.calls.append(len(objects))
        for pointer, path in objects:
            assert pointer_for(path) == pointer
            self.objects.setdefault(pointer, path.read_bytes())

    def download(self, pointers, cache, *, on_progress=None) -> dict[Pointer, Path | DataError]:
        raise NotImplementedError

    def missing(self, pointers) -> set[Pointer]:
        return set(pointers) - set(self.objects)


@dataclass
class Desk:
    """What a test of publishing has before it."""

    project: MemoryProject
    owned: OwnedJob
    store: CountingStore
    folder: Path

    @property
    def publisher(self) -> CellPublisher:
        return CellPublisher(self.owned, self.store)

    def files(self) -> dict[str, bytes]:
        return self.project.files()

    def commits(self) -> int:
        """Of the branch: records have commits of their own."""
        server = self.project.server
        return len(server.ancestors(server.refs[server.branch]))

    def notebook(self, path: str) -> Notebook:
        return Notebook.parse(self.files()[path], path)

    def spoken(self, path: str, cell_id: str, number: int = 0, content: bytes | None = None) -> CellResult:
        """A recording for a cell, as it is now in the project."""
        cell = self.notebook(path).cell(cell_id)
        assert cell is not None
        return spoken(self.folder, path, cell, number, content)

    def heard(self, path: str, cell_id: str, text: str) -> CellResult:
        cell = self.notebook(path).cell(cell_id)
        assert cell is not None
        return CellResult(path, TextPatch(cell.id, cell.state, text, "ASR model"))

    def set(self, files: Mapping[str, bytes]) -> None:
        self.project.edit(lambda present: present.update(files))


def spoken(folder: Path, path: str, cell, number: int, content: bytes | None = None) -> CellResult:
    content = b"sound %d" % number if content is None else content
    identity = f"audio-1767225700000-{number:09d}"
    file = folder / f"{identity}.webm"
    file.write_bytes(content)
    recording = NewRecording(
        identity, document_name(path), "webm", "TTS", "audio/webm", max(1, len(content)), 48000, 1, 1.0
    )
    return CellResult(path, RecordingPatch(cell.id, cell.state, recording), file)


def looker(desk: Desk, transport: MemoryTransport | None = None) -> Publications:
    transport = transport or desk.project.transport("somebody else")
    return Publications("one", Repository(transport, FakeClock()))


def dropped(desk: Desk, publish: Callable[[Desk], object]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Publishes within a person's sync, which drops it: the files before, and with the publication."""
    fork, before = desk.project.refs()[BRANCH], desk.files()
    publish(desk)
    after = desk.files()
    desk.project.merge_from(fork, before)
    return before, after


@pytest.fixture
def open_fixture(tmp_path):
    """Claims a job in a project with these files."""

    def open_with(files: Mapping[str, bytes], **keys: object) -> Desk:
        entry = job("one", job_type="tts", mode="inference", model={"type": "StableTTS"}, **keys)
        project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(entry), **files})
        owned = claimed(queue(project, "worker"), "one")
        folder = tmp_path / "job"
        folder.mkdir()
        return Desk(project, owned, CountingStore(), folder)

    return open_with
