"""What a job says of its project stands in its result once."""

from codex_worker.job.api import Inferred, Trained, run_both
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in


def test_a_note_of_both_halves_is_said_once(tmp_path):
    job = job_in(tmp_path / "job", mode="training_and_inference")
    callbacks = MemoryCallbacks(MemoryScanner({}, job), job)
    checkpoint = job.folder / "model.safetensors"
    checkpoint.write_bytes(b"weights")
    result = run_both(
        job,
        callbacks,
        lambda *_: Trained(checkpoint, 1, notes=["of the project", "trained"]),
        lambda *_: Inferred(0, notes=["of the project", "spoken"]),
    )
    assert result["notes"] == ["of the project", "trained", "spoken"]
