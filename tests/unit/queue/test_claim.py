"""Claiming, ending, fencing and taking over, on both twins."""

import pytest
import yaml

from codex_worker.contract.records import EndState, ResumePointer
from codex_worker.contract.state import State
from codex_worker.errors import Kind, LeaseLost, SystemFault, UserError
from codex_worker.queue.owned import PublishedChange
from gitlab_jobs import Cause, Outcome, QueueSettings
from tests.support.clock import FakeClock
from tests.support.present import present
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

MANIFEST = "gpu_jobs/manifest.yaml"
RESPONSE = "gpu_jobs/job_j1/response.yaml"
COMPLETED = Outcome(EndState.COMPLETED, message="Done", result={"checkpoint_path": "gpu_jobs/job_j1/x"})


def states(q):
    return {view.job_id: view.state for view in q.survey()}


def response(project):
    return yaml.safe_load(project.files()[RESPONSE])


def test_a_claim_brings_attempt_response_and_lease_in_one_commit(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    q = queue(project, "worker-a")
    assert states(q) == {"j1": State.PENDING}
    owned = claimed(q, "j1")
    files = project.files()
    assert owned.attempt.path in files
    assert response(project)["state"] == "running"
    assert b"timestamp: 2026" in files[RESPONSE], "unquoted, so that older workers never count it as stale"
    assert "refs/gpu-jobs/j1" in project.refs()
    assert states(q) == {"j1": State.RUNNING}


def test_a_claimed_job_cannot_be_claimed_again(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    assert queue(project, "worker-a").claim("j1")
    assert queue(project, "worker-b").claim("j1") is None


def test_a_completed_job_never_runs_again_whatever_its_response_says(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    a, b = queue(project, "worker-a"), queue(project, "worker-b")
    owned = claimed(a, "j1")
    before = project.files()[RESPONSE]
    owned.end(COMPLETED, log=b"log\n", metrics=b"epoch\n1\n")
    project.edit(lambda files: files.update({RESPONSE: before}))
    assert states(b) == {"j1": State.COMPLETED}
    assert b.claim("j1") is None
    with pytest.raises(UserError, match="never runs again"):
        b.claim("j1", force=True)


def test_a_reverted_response_log_and_curve_are_put_back_by_any_worker(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a"), "j1")
    owned.progress("training", 1, "Epoch 1", log=b"early\n", metrics=b"epoch\n0\n")
    early = project.files()
    owned.end(COMPLETED, log=b"full log\n", metrics=b"epoch\n1\n")
    late = project.files()
    projections = [RESPONSE, "gpu_jobs/job_j1/logs.txt", "gpu_jobs/job_j1/checkpoint/training_metrics.csv"]
    project.edit(lambda files: files.update({path: early[path] for path in projections}))
    assert queue(project, "worker-b").tidy() == 1
    assert {path: project.files()[path] for path in projections} == {path: late[path] for path in projections}


def test_putting_the_truth_back_beside_an_older_worker_happens_less_and_less_often():
    clock = FakeClock()
    project = MemoryProject({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a", clock), "j1")
    running = project.files()[RESPONSE]
    owned.end(COMPLETED)
    b = queue(project, "worker-b", clock, QueueSettings(older_workers=True))
    moments = []
    for minute in range(0, 10 * 60, 5):
        project.edit(lambda files: files.update({RESPONSE: running + b"# merged\n"}))
        if b.tidy():
            moments.append(minute)
        else:
            project.edit(lambda files: files.update({RESPONSE: running}))
        clock.advance(5 * 60)
    assert moments == [0, 15, 75, 435]


def test_a_late_worker_cannot_publish_or_end(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    late = claimed(queue(project, "worker-a", clock), "j1")
    b = queue(project, "worker-b", clock)
    assert b.look().silent == []
    for _ in range(5):
        clock.advance(60)
        silent = b.look().silent
    assert silent == ["j1"]
    taken = present(b.take_over("j1"))
    assert taken.attempt.number == 2
    before = project.files()
    for action in (
        lambda: late.publish(
            lambda snapshot: PublishedChange({"gpu_jobs/job_j1/report/x.txt": b"x"}, "late")
        ),
        lambda: late.end(COMPLETED),
        lambda: late.beat("training", 1, "still here"),
    ):
        with pytest.raises(LeaseLost):
            action()
    assert late.look() is Cause.LOST
    assert project.files() == before
    taken.end(COMPLETED)
    assert states(b) == {"j1": State.COMPLETED}


def test_a_beating_worker_is_never_taken_over(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a", clock), "j1")
    b = queue(project, "worker-b", clock)
    for minute in range(20):
        owned.beat("training", minute, "")
        assert b.look().silent == []
        clock.advance(60)


def test_a_gap_in_watching_starts_the_watch_again(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    queue(project, "worker-a", clock).claim("j1")
    b = queue(project, "worker-b", clock)
    b.look()
    clock.advance(3600)
    assert b.look().silent == []


def test_a_beat_between_the_verdict_and_the_takeover_saves_the_owner(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a", clock), "j1")
    b = queue(project, "worker-b", clock)
    for _ in range(6):
        b.look()
        clock.advance(60)
    owned.beat("training", 1, "I was only slow")
    assert b.take_over("j1") is None
    owned.end(COMPLETED)


@pytest.mark.parametrize(
    ("edit", "state"),
    [
        (manifest(job("j1", canceled=True)), State.CANCELED),
        (manifest(job("other")), State.ABSENT),
    ],
)
def test_a_silent_workers_job_that_nobody_wants_any_more_only_ends(make_project, edit, state):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    queue(project, "worker-a", clock).claim("j1")
    project.edit(lambda files: files.update({MANIFEST: edit}))
    b = queue(project, "worker-b", clock)
    for _ in range(6):
        b.look()
        clock.advance(60)
    assert b.take_over("j1") is None
    assert states(b)["j1"] is state


def test_a_silent_workers_job_whose_entry_was_made_unreadable_is_lost_and_then_answered(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    queue(project, "worker-a", clock).claim("j1")
    project.edit(lambda files: files.update({MANIFEST: manifest(job("j1", mode="dance"))}))
    b = queue(project, "worker-b", clock)
    for _ in range(6):
        b.look()
        clock.advance(60)
    assert b.take_over("j1") is None
    assert states(b)["j1"] is State.INVALID
    (found,) = [text for path, text in project.files().items() if "/end-1-" in path]
    assert b"The worker fell silent." in found and b"gone" not in found
    assert b.problems and b.problems[0].startswith("Job j1: ") and "mode" in b.problems[0]


def test_a_job_lost_three_times_fails_for_good(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    queue(project, "worker-0", clock).claim("j1")
    for n in range(1, 4):
        q = queue(project, f"worker-{n}", clock)
        for _ in range(6):
            q.look()
            clock.advance(60)
        owned = q.take_over("j1")
        assert (owned is not None) is (n < 3)
    assert states(q) == {"j1": State.FAILED}
    assert response(project)["state"] == "failed"
    assert response(project)["retry_count"] <= 2


def test_a_released_job_waits_and_goes_on_from_its_resume_state(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a"), "j1")
    pointer = ResumePointer(oid="a" * 64, size=10)
    owned.save_resume(pointer)
    owned.end(Outcome(EndState.PREEMPTED, Kind.PREEMPTED, "The machine was taken away."))
    b = queue(project, "worker-b")
    assert states(b) == {"j1": State.PENDING}
    assert response(project)["state"] == "running"
    assert "next worker" in response(project)["status_message"]
    assert claimed(b, "j1").resume == pointer


def test_a_job_canceled_before_its_claim_gets_an_end_that_no_merge_undoes(make_project):
    project = make_project({MANIFEST: manifest(job("j1", canceled=True))})
    q = queue(project, "worker-a")
    assert q.claim("j1") is None
    assert q.tidy() == 1
    assert response(project)["state"] == "canceled"
    project.edit(lambda files: files.update({MANIFEST: manifest(job("j1"))}))
    project.edit(lambda files: files.pop(RESPONSE))
    assert states(q) == {"j1": State.CANCELED}


def test_an_entry_that_is_no_job_fails_alone_with_a_sentence(make_project):
    broken = {"job_id": "bad1", "job_type": "asr", "mode": "dance", "model": {"type": "W2V2BERT"}}
    project = make_project({MANIFEST: manifest(broken, job("j1"))})
    q = queue(project, "worker-a")
    assert q.tidy() == 1
    answer = yaml.safe_load(project.files()["gpu_jobs/job_bad1/response.yaml"])
    assert answer["state"] == "failed"
    assert "mode" in answer["error_message"]
    assert q.claim("j1")


def test_the_owner_sees_cancel_withdrawal_and_deletion(make_project):
    clock = FakeClock()
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a", clock), "j1")
    assert owned.look() is None
    project.edit(lambda files: files.update({MANIFEST: manifest(job("j1", canceled=True))}))
    assert owned.look() is Cause.CANCELED
    project.edit(lambda files: files.update({MANIFEST: manifest(job("j2"))}))
    assert owned.look() is None, "an entry can vanish for a moment when two manifests meet"
    clock.advance(601)
    assert owned.look() is Cause.WITHDRAWN
    project.edit(lambda files: files.update({MANIFEST: b"jobs: [\n"}))
    assert owned.look() is None, "an unreadable manifest cancels nothing"
    project.edit(lambda files: [files.pop(p) for p in list(files) if p.startswith("gpu_jobs/job_j1/")])
    assert owned.look() is Cause.DELETED


def test_a_deleted_job_is_not_revived_by_a_merge_that_restores_its_entry(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    q = queue(project, "worker-a")
    owned = claimed(q, "j1")
    project.edit(lambda files: [files.pop(p) for p in list(files) if p.startswith("gpu_jobs/job_j1/")])
    with pytest.raises(LeaseLost, match="deleted"):
        owned.end(COMPLETED)
    assert states(q) == {"j1": State.DELETED}
    assert q.claim("j1") is None
    assert q.tidy() == 0


def test_an_older_workers_claim_is_respected(make_project):
    claim = b"worker_id: old-worker\nstate: running\ntimestamp: '2025-12-31T00:00:00+00:00'\nretry_count: 1\n"
    project = make_project({MANIFEST: manifest(job("j1")), RESPONSE: claim})
    q = queue(project, "worker-a")
    assert states(q) == {"j1": State.ELSEWHERE}
    assert q.claim("j1") is None
    assert q.look().silent == []


def test_an_older_workers_job_is_taken_over_only_when_the_operator_says_so(make_project):
    clock = FakeClock()
    claim = b"worker_id: old-worker\nstate: running\ntimestamp: '2025-12-31T00:00:00+00:00'\n"
    project = make_project({MANIFEST: manifest(job("j1")), RESPONSE: claim})
    q = queue(project, "worker-a", clock, QueueSettings(take_over_older_after_s=600))
    for _ in range(12):
        silent = q.look().silent
        clock.advance(60)
    assert silent == ["j1"]
    assert present(q.take_over("j1")).attempt.number == 1


def test_an_older_workers_forged_failure_does_not_end_our_job(make_project):
    project = make_project({MANIFEST: manifest(job("j1"))})
    q = queue(project, "worker-a")
    owned = claimed(q, "j1")
    forged = b"worker_id: old-worker\nstate: failed\ntimestamp: '2026-01-01T00:00:00+00:00'\n"
    project.edit(lambda files: files.update({RESPONSE: forged}))
    assert states(q) == {"j1": State.RUNNING}
    assert owned.look() is None
    assert q.tidy() == 1
    assert response(project)["state"] == "running"


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "gpu_jobs/manifest.yaml",
        "gpu_jobs/job_j2/response.yaml",
        "../x",
        ".git/config",
        "files/target/N.codex",
    ],
)
def test_a_job_cannot_write_outside_its_own_places(make_project, path):
    project = make_project({MANIFEST: manifest(job("j1"))})
    owned = claimed(queue(project, "worker-a"), "j1")
    before = project.files()
    with pytest.raises((SystemFault, UserError)):
        owned.publish(lambda snapshot: PublishedChange({path: b"data\n"}, "escape"))
    assert project.files() == before


def test_results_land_beside_a_persons_edit_made_meanwhile(make_project):
    project = make_project({MANIFEST: manifest(job("j1")), "files/target/MRK.codex": b"{}\n"})
    owned = claimed(queue(project, "worker-a"), "j1")
    seen: list[str] = []

    def build(snapshot):
        if not seen:
            project.edit(lambda files: files.update({"files/target/JON.codex": b"{ }\n"}))
        seen.append(snapshot.commit)
        return PublishedChange({"gpu_jobs/job_j1/report/r.txt": b"hello\n"}, "results", value=len(seen))

    assert owned.publish(build) == 2
    assert len(seen) == 2
    assert project.files()["files/target/JON.codex"] == b"{ }\n"
    assert project.files()["gpu_jobs/job_j1/report/r.txt"] == b"hello\n"
