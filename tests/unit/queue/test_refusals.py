"""Servers that refuse where our leases live, or the branch itself, and claims that landed without a lease."""

import pytest

from codex_worker.contract.records import EndState
from codex_worker.contract.state import State
from codex_worker.errors import PushRefused, ServerUnreachable
from codex_worker.git.memory import MemoryTransport
from codex_worker.git.repository import Repository
from gitlab_jobs import JobQueue, Outcome
from tests.support.clock import FakeClock
from tests.support.present import present
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

MANIFEST = "gpu_jobs/manifest.yaml"


def test_a_canceled_job_is_closed_where_the_server_refuses_our_lease_namespace():
    project = MemoryProject({MANIFEST: manifest(job("j1", canceled=True), job("j2"))})
    project.server.refused_refs = ("refs/gpu-jobs/",)
    q = queue(project, "worker-a")
    assert q.tidy() == 1
    assert {view.job_id: view.state for view in q.survey()}["j1"] is State.CANCELED
    assert claimed(q, "j2").attempt.lease_ref == "refs/heads/gpu-jobs/j2"


def test_a_refused_branch_does_not_take_the_leases_away():
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    project.server.refused_refs = ("refs/heads/main",)
    q = queue(project, "worker-a")
    with pytest.raises(PushRefused):
        q.claim("j1")
    project.server.refused_refs = ()
    assert claimed(q, "j1").attempt.lease_ref == "refs/gpu-jobs/j1"


def test_a_lease_that_lives_elsewhere_already_says_nothing_of_our_own_place():
    project = MemoryProject({MANIFEST: manifest(job("j1"), job("j2"))})
    project.server.refused_refs = ("refs/gpu-jobs/",)
    claimed(queue(project, "worker-a"), "j1").end(Outcome(EndState.PREEMPTED))
    b = queue(project, "worker-b")
    assert claimed(b, "j1").attempt.lease_ref == "refs/heads/gpu-jobs/j1"
    assert claimed(b, "j2").attempt.lease_ref == "refs/heads/gpu-jobs/j2"


def test_a_claim_that_landed_without_its_lease_is_taken_over_as_soon_as_any_other():
    clock = FakeClock()
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    project.server.atomic = False
    pushes = []

    def lose_the_server_between_branch_and_lease(call, when):
        pushes.extend([when] if call == "push" else [])
        if pushes.count("after"):
            raise ServerUnreachable("gone")

    transport = MemoryTransport(project.server, lose_the_server_between_branch_and_lease)
    with pytest.raises(ServerUnreachable):
        JobQueue(Repository(transport, clock), "worker-a", clock).claim("j1")
    assert not [ref for ref in project.refs() if "gpu-jobs" in ref]
    b = queue(project, "worker-b", clock)
    for _ in range(6):
        silent = b.look().silent
        clock.advance(60)
    assert silent == ["j1"]
    assert present(b.take_over("j1")).attempt.number == 2


def test_a_log_is_put_back_from_the_far_side_of_a_merge():
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a"), "j1")
    owned.progress("training", 1, "Epoch 1", log=b"early\n")
    early, fork = project.files(), project.server.refs[project.server.branch]
    owned.end(Outcome(EndState.COMPLETED), log=b"full log\n")
    project.merge_from(
        fork, {**project.files(), **{path: early[path] for path in early if path.endswith("logs.txt")}}
    )
    assert queue(project, "worker-b").tidy() == 1
    assert project.files()["gpu_jobs/job_j1/logs.txt"] == b"full log\n"


def test_the_end_of_a_canceled_job_that_a_hook_refused_for_a_while_is_written_later():
    clock = FakeClock()
    project = MemoryProject({MANIFEST: manifest(job("j1", canceled=True))})
    worker = queue(project, "worker-a", clock)
    project.server.refused_refs = ("refs/heads/main",)
    with pytest.raises(PushRefused):
        worker.tidy()
    project.server.refused_refs = ()
    assert worker.tidy() == 0  # a server that says no is not asked at every look
    clock.advance(601)
    worker.tidy()
    (view,) = worker.survey()
    assert view.state is State.CANCELED
