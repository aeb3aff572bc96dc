"""Reading the jobs of a commit: what is remembered of blobs never decides what a survey says."""

import pytest

from codex_worker.git.memory import MemoryTransport
from codex_worker.git.repository import Repository
from codex_worker.queue import facts
from codex_worker.queue.facts import FactReader
from tests.support.clock import FakeClock
from tests.support.queues import MemoryProject, job, manifest

MANIFEST = "gpu_jobs/manifest.yaml"


class Interrupted:
    """A commit's files; just before they are read, another thread does something."""

    def __init__(self, snapshot, meanwhile):
        self._snapshot = snapshot
        self._meanwhile = meanwhile

    def __getattr__(self, name):
        return getattr(self._snapshot, name)

    def read_blobs(self, limits, **keywords):
        self._meanwhile()
        return self._snapshot.read_blobs(limits, **keywords)


def project_of(*job_ids: str) -> MemoryProject:
    responses = {f"gpu_jobs/job_{name}/response.yaml": f"state: {name}\n".encode() for name in job_ids}
    return MemoryProject({MANIFEST: manifest(*(job(name) for name in job_ids)), **responses})


def head_of(project: MemoryProject):
    transport = MemoryTransport(project.server)
    heads = transport.look()
    return transport.snapshot(heads), heads, Repository(transport, FakeClock())


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 100])
def test_a_survey_is_the_same_whatever_another_thread_makes_the_reader_forget(monkeypatch, limit):
    monkeypatch.setattr(facts, "MAX_PARSED", limit)
    project, other = project_of("a", "b", "c"), head_of(project_of("x", "y", "z"))
    expected = FactReader().survey(*head_of(project))
    reader = FactReader()
    reader.survey(*head_of(project))
    project.edit(lambda files: files.update({"gpu_jobs/job_a/response.yaml": b"state: new\n"}))
    snapshot, heads, repository = head_of(project)
    found = reader.survey(Interrupted(snapshot, lambda: reader.survey(*other)), heads, repository)
    assert found.jobs["a"].response == {"state": "new"}
    assert {name: found.jobs[name] for name in "bc"} == {name: expected.jobs[name] for name in "bc"}
    assert found.problem is None and found.jobs["a"].entry == expected.jobs["a"].entry


def test_what_was_read_once_is_not_asked_for_again():
    project = project_of("a", "b")
    reader = FactReader()
    reader.survey(*head_of(project))
    snapshot, heads, repository = head_of(project)
    asked = []

    def note(oids, **keywords):
        asked.extend(oids)
        return {}

    snapshot.read_blobs = note
    assert reader.survey(snapshot, heads, repository).jobs["a"].response == {"state": "a"}
    assert asked == []
