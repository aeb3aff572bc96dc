"""Very many refs and entries in one project: each look does some of them, and the others are served."""

import json
import subprocess
import sys

import pytest

from codex_worker.contract.state import State
from codex_worker.git.memory import MemoryCommit, MemoryServer, MemoryTransport
from codex_worker.git.repository import Repository
from codex_worker.queue import facts, job_queue
from codex_worker.queue.job_queue import JobQueue
from tests.support.clock import FakeClock
from tests.support.hostile_projects import INNOCENT, bare_repository, git
from tests.support.queues import job, manifest

MANIFEST = "gpu_jobs/manifest.yaml"
PEAK_MB = 500
LEASE = b"number: 1\nnonce: aaaaaaaa\nbeat: b\nat: '2026-01-01T00:00:00Z'\n"


def canceled(count: int) -> bytes:
    lines = (b"- {job_id: c%05d, job_type: asr, mode: training, canceled: true}\n" % n for n in range(count))
    return b"version: 1\njobs:\n" + b"".join(lines)


class Counted(MemoryTransport):
    """Counts what is asked."""

    def __init__(self, server: MemoryServer) -> None:
        self.asked: list[str] = []
        super().__init__(server, lambda call, when: self.asked.append(call))


def queue_on(server: MemoryServer) -> tuple[JobQueue, Counted]:
    transport = Counted(server)
    return JobQueue(Repository(transport, FakeClock()), "tester", FakeClock()), transport


def with_leases(server: MemoryServer, *names: str, content: bytes = LEASE) -> MemoryServer:
    for name in names:
        server.refs[f"refs/gpu-jobs/{name}"] = server.add(
            MemoryCommit(None, {}, content + b"# %s\n" % name.encode())
        )
    return server


def test_20000_canceled_entries_and_400_leases_leave_the_others_served_at_once(tmp_path):
    crowd = bare_repository(tmp_path / "crowd.git", {MANIFEST: canceled(20_000)})
    names = [f"x{n}" for n in range(400)]
    leased = bare_repository(
        tmp_path / "leased.git",
        {MANIFEST: manifest(*(job(n, submitted_at="2026-02-01T00:00:00Z") for n in names[:200]))},
    )
    blob = git(leased, "hash-object", "-w", "--stdin", stdin=LEASE).decode()
    tree = git(leased, "rev-parse", "main^{tree}").decode()
    commits = []
    for name in names[:20]:
        commits.append(
            git(leased, "-c", "user.name=m", "-c", "user.email=m@e.org", "commit-tree", tree, "-m", name)
        )
    odd = [*(c.decode() for c in commits), blob, tree]
    moves = b"".join(f"create refs/gpu-jobs/{n} {odd[i % len(odd)]}\n".encode() for i, n in enumerate(names))
    git(leased, "update-ref", "--stdin", stdin=moves)
    good = bare_repository(tmp_path / "good.git", INNOCENT)
    command = [sys.executable, "-m", "tests.support.hostile_projects"]
    places = [tmp_path / "work", crowd, leased, good]
    done = subprocess.run([*command, *map(str, places)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["begun"] == [["good", "good"]] and told["polls"] == 1
    assert told["peak_mb"] < PEAK_MB and "Traceback" not in done.stderr
    assert git(crowd, "rev-list", "--count", "main") == b"2"  # many closings in one commit


def test_many_closings_are_one_commit_and_the_rest_is_the_next_looks():
    server = MemoryServer({MANIFEST: canceled(125)})
    queue, transport = queue_on(server)
    counts = [queue.tidy(queue.look().views) for _ in range(4)]
    assert counts == [50, 50, 25, 0] and transport.asked.count("push") == 2 * 3  # before and after
    assert {view.state for view in queue.survey()} == {State.CANCELED}


def test_one_closing_that_the_server_refuses_holds_up_no_other():
    server = MemoryServer({MANIFEST: canceled(6)})
    server.refused_refs = ("refs/gpu-jobs/c00002",)
    queue, _ = queue_on(server)
    queue._places.is_settled = True  # the server takes the refs of others
    for _ in range(12):
        try:
            queue.tidy(queue.look().views)
        except Exception:
            continue
    states = {view.job_id: view.state for view in queue.survey()}
    assert states.pop("c00002") is State.CANCEL_REQUESTED and set(states.values()) == {State.CANCELED}


def test_leases_are_read_with_one_request(monkeypatch):
    names = [f"x{n}" for n in range(50)]
    server = with_leases(MemoryServer({MANIFEST: manifest(*map(job, names))}), *names)
    queue, transport = queue_on(server)
    assert len(queue.look().views) == 50 and transport.asked.count("read_lease") == 1
    queue.look()
    assert transport.asked.count("read_lease") == 1  # what was read once is known


def test_leases_that_are_too_many_for_one_look_are_read_by_the_next_ones(monkeypatch):
    monkeypatch.setattr(facts, "MAX_LEASES_A_LOOK", 20)
    names = [f"x{n}" for n in range(50)]
    server = with_leases(MemoryServer({MANIFEST: manifest(*map(job, names), job("free"))}), *names, "gone")
    queue, _ = queue_on(server)
    seen = [({v.job_id for v in queue.look().views}, queue.has_more, queue.is_readable) for _ in range(3)]
    assert [len(jobs) for jobs, _, _ in seen] == [21, 41, 52]
    assert [(more, readable) for _, more, readable in seen] == [(True, False), (True, False), (False, True)]
    assert all("free" in jobs for jobs, _, _ in seen)  # a job without a lease waits for nobody's


def test_a_claim_reads_its_own_lease_however_many_others_wait(monkeypatch):
    monkeypatch.setattr(facts, "MAX_LEASES_A_LOOK", 1)
    names = [f"x{n}" for n in range(5)]
    server = with_leases(MemoryServer({MANIFEST: manifest(*map(job, names))}), *names)
    queue, _ = queue_on(server)
    assert queue.claim("x4") is None  # its lease tells of an attempt whose folder a person has deleted


@pytest.mark.parametrize("seconds", [0.0, 31.0])
def test_what_takes_long_to_put_right_is_left_to_the_next_look_in_turn(seconds, monkeypatch):
    names = [f"x{n}" for n in range(4)]
    server = MemoryServer({MANIFEST: manifest(*map(job, names))})
    queue, _ = queue_on(server)
    clock = queue._clock
    mended: list[str] = []

    def mend(job_id: str) -> bool:
        mended.append(job_id)
        clock.sleep(seconds)
        return False

    monkeypatch.setattr(queue, "_is_false", lambda facts: True)
    monkeypatch.setattr(queue, "_mend", mend)
    for _ in range(2):
        queue.tidy(queue.look().views)
    assert mended == (names * 2 if not seconds else names[:2])
    assert job_queue.TIDY_WITHIN_S < 31.0


def with_records(server: MemoryServer, *names: str) -> MemoryServer:
    head = server.refs[server.branch]
    for name in names:
        about = f"version: 1\nsince: {head}\n".encode()
        attempt = (
            f"job_id: {name}\nnumber: 1\nnonce: aaaaaaaa\nworker_id: w\nclaimed_at: '2026-01-01T00:00:00Z'\n"
        ).encode()
        record = server.add(MemoryCommit(head, {"about.yaml": about, "attempt.yaml": attempt}))
        server.refs[f"refs/gpu-records/{name}"] = record
    return server


@pytest.mark.parametrize("limit", ["MAX_RECORDS_A_LOOK", "MAX_HISTORIES_A_LOOK"])
def test_records_and_histories_that_are_too_many_for_one_look_wait_for_the_next_ones(limit, monkeypatch):
    monkeypatch.setattr(facts, limit, 3)
    names = [f"x{n}" for n in range(8)]
    server = with_records(MemoryServer({MANIFEST: manifest(*map(job, names), job("free"))}), *names)
    queue, _ = queue_on(server)
    seen = [({view.job_id for view in queue.look().views}, queue.has_more) for _ in range(4)]
    assert [(len(jobs), more) for jobs, more in seen] == [(4, True), (7, True), (9, False), (9, False)]
    assert all("free" in jobs for jobs, _ in seen)


def test_one_job_is_read_whole_however_many_others_wait(monkeypatch):
    monkeypatch.setattr(facts, "MAX_RECORDS_A_LOOK", 0)
    monkeypatch.setattr(facts, "MAX_HISTORIES_A_LOOK", 0)
    server = with_records(MemoryServer({MANIFEST: manifest(job("x"), job("y"))}), "x", "y")
    queue, _ = queue_on(server)
    assert queue.look().views == [] and queue.claim("x") is None
    view = queue.view("x", queue.repository.look())
    assert view is not None and view.state is State.RUNNING
