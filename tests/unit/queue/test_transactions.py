"""What comes back from a transaction is of the change that landed, whichever of them it was."""

import pytest

from codex_worker.contract.records import End, EndState, read_record
from codex_worker.errors import Kind, ServerUnreachable
from codex_worker.git.memory import MemoryServer, MemoryTransport
from codex_worker.git.repository import Change, Repository
from codex_worker.queue.job_queue import JobQueue
from codex_worker.queue.owned import Outcome
from tests.support.clock import FakeClock
from tests.support.present import present
from tests.support.queues import claimed, job, manifest


class LateTransport(MemoryTransport):
    """While `is_late`, a push is not answered; it takes effect just before the next one does."""

    is_late = False
    _kept = None

    def push(self, moves, *, atomic):
        if self.is_late:
            self.is_late, self._kept = False, (moves, atomic)
            raise ServerUnreachable("No answer.")
        if self._kept is not None:
            kept, self._kept = self._kept, None
            super().push(kept[0], atomic=kept[1])
        return super().push(moves, atomic=atomic)


@pytest.fixture
def server():
    return MemoryServer({"gpu_jobs/manifest.yaml": manifest(job("j1"))})


def head_files(server):
    return dict(server.files())


def test_a_try_that_landed_late_brings_its_own_value_and_not_that_of_the_newest_try(server):
    transport = LateTransport(server)
    transport.is_late = True
    tries: list[int] = []

    def build(snapshot, heads):
        tries.append(len(tries) + 1)
        return Change({"notes.txt": b"try %d" % tries[-1]}, "a note", value=tries[-1])

    landed = Repository(transport, FakeClock()).transact(build)
    assert tries == [1, 2]
    assert head_files(server)["notes.txt"] == b"try 1"
    assert landed.value == 1 and present(landed.change).files == {"notes.txt": b"try 1"}


def test_the_end_that_is_answered_is_the_end_that_is_in_the_repository(server):
    clock, transport = FakeClock(), LateTransport(server)
    beats = Repository(MemoryTransport(server), clock)
    owned = claimed(JobQueue(Repository(transport, clock), "me", clock, beats=beats), "j1")
    transport.is_late = True
    end = owned.end(Outcome(EndState.FAILED, Kind.DATA, "No recordings."))
    written = read_record(End, head_files(server)[owned.attempt.end_path], "the end")
    assert end == written


def test_the_attempt_that_is_owned_is_the_attempt_that_is_in_the_repository(server):
    clock, transport = FakeClock(), LateTransport(server)
    transport.is_late = True
    owned = claimed(JobQueue(Repository(transport, clock), "me", clock), "j1")
    assert owned.attempt.path in head_files(server)
    assert owned.attempt.render() == head_files(server)[owned.attempt.path]
    owned.beat("training", 1.0, "alive")


def test_a_change_without_files_lands_nothing_and_still_brings_its_value(server):
    before = dict(server.refs)
    repository = Repository(MemoryTransport(server), FakeClock())
    landed = repository.transact(lambda *_: Change({}, "nothing", value="there already"))
    assert (landed.commit, landed.value) == (None, "there already")
    assert server.refs == before
    assert repository.transact(lambda *_: None).value is None
