"""A handler reads all of its options before it looks at the project: a slip must not cost hours of a GPU."""

from importlib import import_module

import pytest

from codex_worker.errors import UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in

MODELS = (("asr", "w2v2bert"), ("tts", "stabletts"))
MODES = ("training", "inference", "training_and_inference")
CHECKPOINT = {"base_checkpoint": "gpu_jobs/job_x/checkpoint/model.safetensors"}


class Untouched(MemoryScanner):
    """A project of which nothing may be read."""

    def list_files(self, prefix=""):
        pytest.fail("the project was looked at")

    def fetch_checkpoint(self, path):
        pytest.fail("a checkpoint was fetched")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("job_type", "model"), MODELS)
@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"batch_size": "many"}, "batch_size: 'many'"),
        ({"val_split": 0.9}, "val_split: 0.9"),
        ({"inference": {"cfg_scale": "loud"}}, "inference.cfg_scale: 'loud'"),
        ({"training": {"epochs": 1, "include_verses": ["MRK 1:1"]}}, "training.epochs"),
        ({"trainning": {}}, "trainning"),
    ],
)
def test_a_slip_is_told_before_anything_is_fetched(tmp_path, job_type, model, mode, config, named):
    job = job_in(tmp_path, {"model": CHECKPOINT, **config}, job_type=job_type, model_type=model, mode=mode)
    callbacks = MemoryCallbacks(Untouched({}, job), job)
    with pytest.raises(UserError) as caught:
        import_module(f"handlers.{job_type}.{model}.{mode}").run(job, callbacks)
    assert named in str(caught.value)
    assert callbacks.heartbeats == []


def test_a_language_without_reading_rules_is_told_before_a_voice_is_fetched(tmp_path):
    model = {**CHECKPOINT, "language": "chinese"}
    job = job_in(tmp_path, {"model": model}, job_type="tts", model_type="stabletts", mode="training")
    with pytest.raises(UserError, match=r"model\.language"):
        import_module("handlers.tts.stabletts.training").run(job, MemoryCallbacks(Untouched({}, job), job))


def test_a_plug_in_reads_its_own_keys_as_they_stand(tmp_path):
    job = job_in(tmp_path, {"beam": {"size": 4, "width": None}}, job_type="translate", model_type="nllb")
    callbacks = MemoryCallbacks(MemoryScanner({}, job), job)
    assert callbacks.get_job_config("beam.size") == 4
    assert callbacks.get_job_config("beam.width", 2) == 2
    assert job.options.notes == ()
