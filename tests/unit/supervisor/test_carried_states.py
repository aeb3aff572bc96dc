"""A carried state goes from the store when it is of no use any more, and nothing else ever does."""

from pathlib import Path

import pytest

from codex_worker.contract.records import EndState
from codex_worker.errors import Kind, LeaseLost
from codex_worker.git.lfs.pointer import Pointer, pointer_for
from codex_worker.git.lfs.store import FileStore
from codex_worker.git.memory import MemoryTransport
from codex_worker.publish.artifacts import publish_artifact
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.supervisor.carried_states import CarriedStates
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, claimed, job, manifest, queue


class Place:
    """A project with one job, and a store beside a repository on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, FakeClock()
        self.project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(job("one"))})
        (folder / "project.git").mkdir()
        (folder / "project.git/HEAD").touch()
        self.store = FileStore(folder / "project.git")
        self.owned: OwnedJob = self.claim("worker-a")
        self.states = CarriedStates(self.owned, self.store)

    def claim(self, worker: str) -> OwnedJob:
        return claimed(queue(self.project, worker, self.clock), "one")

    def lease(self) -> bytes:
        transport = MemoryTransport(self.project.server)
        commit = transport.look().leases["refs/gpu-jobs/one"]
        return transport.read_leases([commit])[commit]

    def file(self, content: bytes) -> Path:
        path = self.folder / "resume.pt"
        path.write_bytes(content)
        return path

    def has(self, content: bytes) -> bool:
        return not self.store.missing([pointer_for(self.file(content))])

    def release(self) -> None:
        self.owned.end(Outcome(EndState.PREEMPTED, Kind.PREEMPTED, "The machine was taken away."))


def test_the_newest_state_is_the_only_one_in_the_store(tmp_path):
    place = Place(tmp_path)
    for number, content in enumerate((b"one", b"two", b"three")):
        place.states.save(place.file(content), float(number))
    assert [place.has(content) for content in (b"one", b"two", b"three")] == [False, False, True]
    place.states.save(place.file(b"three"), 3.0)
    assert place.has(b"three"), "the same bytes again are the same object"


def test_the_next_attempt_removes_what_the_last_one_left_once_it_has_carried_its_own(tmp_path):
    place = Place(tmp_path)
    place.states.save(place.file(b"one"), 1.0)
    place.release()
    place.owned = place.claim("worker-b")
    states = CarriedStates(place.owned, place.store)
    assert place.has(b"one")
    states.save(place.file(b"two"), 2.0)
    assert place.has(b"two") and not place.has(b"one")


def test_a_final_end_leaves_neither_an_object_nor_its_name_in_the_lease(tmp_path):
    place = Place(tmp_path)
    place.states.save(place.file(b"state"), 1.0)
    assert b"resume" in place.lease()
    place.owned.end(Outcome(EndState.COMPLETED, message="Done"))
    place.states.forget()
    assert not place.has(b"state") and b"resume" not in place.lease()


def test_a_state_that_another_worker_can_go_on_from_keeps_its_name_in_the_lease(tmp_path):
    place = Place(tmp_path)
    place.states.save(place.file(b"state"), 1.0)
    place.release()
    assert place.has(b"state") and b"resume" in place.lease()


@pytest.mark.parametrize("first", ["published", "saved"])
def test_what_a_job_publishes_is_never_removed_also_where_it_is_its_state(tmp_path, first):
    place = Place(tmp_path)

    def publish() -> None:
        file = place.file(b"a model").rename(tmp_path / "model.safetensors")
        place.states.is_published(file)
        publish_artifact(place.owned, place.store, file, "checkpoint")

    if first == "published":
        publish()
    place.states.save(place.file(b"a model"), 1.0)
    if first == "saved":
        publish()
    place.states.save(place.file(b"two"), 2.0)
    assert place.has(b"a model")


def test_a_state_that_another_attempt_published_is_never_removed(tmp_path):
    place = Place(tmp_path)
    place.states.save(place.file(b"a model"), 1.0)
    file = place.file(b"a model").rename(tmp_path / "model.safetensors")
    publish_artifact(place.owned, place.store, file, "checkpoint")
    place.release()
    place.owned = place.claim("worker-b")
    CarriedStates(place.owned, place.store).save(place.file(b"two"), 2.0)
    assert place.has(b"a model")


def test_an_object_that_was_there_before_it_was_saved_is_somebody_elses(tmp_path):
    place = Place(tmp_path)
    place.store.upload([(pointer_for(place.file(b"a recording")), place.file(b"a recording"))])
    place.states.save(place.file(b"a recording"), 1.0)
    place.states.save(place.file(b"two"), 2.0)
    assert place.has(b"a recording") and place.has(b"two")


def test_a_worker_that_was_given_up_for_lost_leaves_no_object_behind(tmp_path):
    place = Place(tmp_path)
    place.states.save(place.file(b"one"), 1.0)
    other = queue(place.project, "worker-b", place.clock)
    for _ in range(6):
        other.look()
        place.clock.advance(60)
    owned = other.take_over("one")
    assert owned is not None and owned.resume is not None
    with pytest.raises(LeaseLost):
        place.states.save(place.file(b"late"), 2.0)
    assert place.has(b"one") and not place.has(b"late")


def test_a_store_that_removes_nothing_is_asked_for_nothing(tmp_path):
    class Server:
        """What every server has: upload and download."""

        def __init__(self) -> None:
            self.uploaded: list[Pointer] = []

        def upload(self, objects, *, on_progress=None):
            self.uploaded += [pointer for pointer, _ in objects]

        def download(self, pointers, cache, *, on_progress=None):
            raise AssertionError("not asked for")

        def missing(self, pointers):
            raise AssertionError("a request for nothing")

    place, server = Place(tmp_path), Server()
    states = CarriedStates(place.owned, server)
    states.save(place.file(b"one"), 1.0)
    states.save(place.file(b"two"), 2.0)
    states.forget()
    assert len(server.uploaded) == 2
