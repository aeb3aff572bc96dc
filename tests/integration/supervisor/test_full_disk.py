"""A job that fills the disk gets its end all the same, and the server is not blamed."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from codex_worker.errors import ResourceError
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.repository import Change, Repository
from codex_worker.supervisor.attempt import Supervisor
from codex_worker.supervisor.reserve import Reserve
from gitlab_jobs import JobQueue, QueueSettings
from tests.support.jobs import FakeProject, Stage, manifest
from tests.support.queues import GitProject

FILL = """
(folder / "reached").touch()
def fill(size):
    with open(folder / "features", "ab", buffering=0) as file:
        while True:
            file.write(bytes(size))
for size in (1 << 20, 4096, 1):
    try:
        fill(size)
    except OSError as error:
        full = error
raise full
"""


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with 48 MB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m,mode=755", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def repository(project, folder, clock):
    transport = GitTransport(str(project.bare), folder / "cache.git", author="w", email="w@x")
    return Repository(transport, clock)


def test_a_job_that_fills_the_disk_ends_as_failed_for_want_of_room(tmp_path, small_disk):
    project = GitProject({"gpu_jobs/manifest.yaml": manifest({"job_id": "one"})}, tmp_path)
    stage = Stage(tmp_path, FILL)
    stage.settings = replace(stage.settings, work_dir=small_disk)
    queue = JobQueue(repository(project, small_disk, stage.clock), "tester", stage.clock, QueueSettings())
    owned = queue.claim("one")
    assert owned is not None
    supervisor = Supervisor(
        stage.settings,
        lambda owned, folder, address: FakeProject(folder, owned),
        stage.clock,
        stage.secrets,
        stage.environment,
    )

    outcome = supervisor.run(owned, "project", str(project.bare))

    assert outcome is not None and (outcome.state, outcome.kind) == ("failed", "resource")
    assert next(small_disk.glob("job_*/features")).stat().st_size > 20 << 20, "it was full"
    ends = [content for path, content in project.files().items() if "/end-" in path]
    assert len(ends) == 1 and b"resource" in ends[0]


@pytest.mark.parametrize("leaves_bytes", [0, 4096])
def test_a_cache_on_a_full_disk_is_neither_the_servers_fault_nor_thrown_away_in_vain(
    tmp_path, small_disk, leaves_bytes
):
    project = GitProject({"a.txt": b"a"}, tmp_path)
    stage = Stage(tmp_path)
    ours = repository(project, small_disk, stage.clock)
    ours.snapshot()
    with (small_disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
        file.truncate(file.tell() - leaves_bytes)
    with pytest.raises(ResourceError, match="full"):
        ours.transact(lambda *_: Change({"b.txt": b"b" * 100_000}, "m"), patience_s=1e9)
    (small_disk / "filler").unlink()
    assert ours.transact(lambda *_: Change({"b.txt": b"b" * 100_000}, "m")).commit


def test_room_that_cannot_be_set_aside_is_done_without(small_disk):
    reserve = Reserve(small_disk, 1 << 40)
    reserve.set_aside()
    assert list(small_disk.iterdir()) == []
    reserve.make_room(small_disk / "job")
