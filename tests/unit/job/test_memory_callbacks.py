"""The callbacks in memory keep a handler to the same rules as the real ones."""

import hashlib

import pytest

from codex_worker.codex.cell import CellState
from codex_worker.codex.patch import TextPatch
from codex_worker.errors import JobCanceled, Preempted, SystemFault, UserError
from codex_worker.job.api import CellResult, StopReason
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in

READ = CellState("", None, "", None, None, False)


def pointer_to(content: bytes) -> str:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


@pytest.fixture
def job(tmp_path):
    return job_in(tmp_path / "job", {"epochs": 3, "model": {"base_checkpoint": "gpu_jobs/a.safetensors"}})


def test_a_recording_is_found_by_its_pointer(job):
    scanner = MemoryScanner({"pointers/a.wav": pointer_to(b"sound"), "files/a.wav": b"sound"}, job)
    fetched = scanner.fetch_recordings(["pointers/a.wav", "pointers/b.wav"])
    assert fetched.files["pointers/a.wav"].read_bytes() == b"sound"
    assert "b.wav" in fetched.missing["pointers/b.wav"]


def test_a_pointer_without_its_object_is_missing(job):
    assert (
        MemoryScanner({"pointers/a.wav": pointer_to(b"x")}, job).fetch_recordings(["pointers/a.wav"]).missing
    )


def test_an_artifact_is_never_written_twice_to_one_path(job):
    scanner = MemoryScanner({}, job)
    file = job.folder / "model.safetensors"
    file.write_bytes(b"1")
    first = scanner.publish_artifact(file, "checkpoint")
    file.write_bytes(b"2")
    second = scanner.publish_artifact(file, "checkpoint")
    assert first == "gpu_jobs/job_test-job/checkpoint/model-1-0000abcd.safetensors"
    assert second != first and scanner.artifacts == {first: b"1", second: b"2"}
    assert scanner.fetch_checkpoint(first).read_bytes() == b"1"


def test_a_file_outside_the_job_folder_is_refused(job, tmp_path):
    (tmp_path / "secret").write_text("x")
    (job.folder / "link").symlink_to(tmp_path / "secret")
    for file in (tmp_path / "secret", job.folder / "link"):
        with pytest.raises(SystemFault, match="outside"):
            MemoryScanner({}, job).publish_artifact(file, "checkpoint")


def test_a_checkpoint_that_is_not_there_is_the_users_error(job):
    with pytest.raises(UserError, match=r"gpu_jobs/x\.safetensors"):
        MemoryScanner({}, job).fetch_checkpoint("gpu_jobs/x.safetensors")


def test_a_cell_that_a_person_changed_is_dropped(job):
    scanner = MemoryScanner({}, job, refuse=lambda r: "a person" if r.patch.cell_id == "b" else None)
    results = [CellResult("GEN.codex", TextPatch(cell, READ, "text", "me")) for cell in "abc"]
    published = scanner.publish_cells(results)
    assert list(published.applied) == [0, 2] and published.dropped == {1: "a person"}
    assert [result.patch.cell_id for result in scanner.cells] == ["a", "c"]


def test_a_handler_is_asked_to_stop_after_so_many_looks(job):
    callbacks = MemoryCallbacks(MemoryScanner({}, job), job, stop_after_looks=2, reason=StopReason.PREEMPTED)
    callbacks.heartbeat(0.5, "going on", "training")
    assert not callbacks.should_stop()
    with pytest.raises(Preempted):
        callbacks.heartbeat(1.0)
    assert callbacks.stop_reason() is StopReason.PREEMPTED
    assert [beat.epochs_completed for beat in callbacks.heartbeats] == [0.5, 1.0]


def test_a_test_may_ask_to_stop_at_any_moment(job):
    callbacks = MemoryCallbacks(MemoryScanner({}, job), job)
    assert not callbacks.should_stop()
    callbacks.stop()
    with pytest.raises(JobCanceled):
        callbacks.heartbeat()


def test_a_folder_is_a_project(tmp_path, job):
    (tmp_path / "project/.git").mkdir(parents=True)
    (tmp_path / "project/.git/config").write_text("")
    (tmp_path / "project/a.codex").write_text("{}")
    scanner = MemoryScanner(files_below(tmp_path / "project"), job)
    assert scanner.list_files() == ["a.codex"]
    assert scanner.read_files(["a.codex", "b.codex"])["a.codex"].read_text() == "{}"
