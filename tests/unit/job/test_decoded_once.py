"""A training job decodes each of its recordings once, for the check of the data and for what is learnt."""

from collections import Counter

import pytest

from codex_worker.audio import decode as decoding
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, job_in
from handlers.asr.w2v2bert import training as transcriber
from handlers.tts.stabletts import training as voice
from handlers.tts.vits import training as vits
from sample.make_codex_project import make_project


class Prepared(Exception):
    """Everything is prepared: what follows is another matter."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    made = make_project(folder, with_sample_jobs=False)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    contents = {f"lfs/{oid}": content for oid, content in made.large_files.items()}
    return sorted(made.recorded)[:6], {**files, **contents}


@pytest.mark.parametrize(
    ("handler", "next_step", "model_type"),
    [(voice, "plan", "stabletts"), (vits, "plan", "vits"), (transcriber, "split", "w2v2bert")],
)
def test_each_recording_is_decoded_once(sample, tmp_path, monkeypatch, handler, next_step, model_type):
    verses, files = sample
    decoded: Counter[str] = Counter()

    def counted(path, *rest):
        decoded[path.name] += 1
        return read(path, *rest)

    def stop(*_, **__):
        raise Prepared

    read = decoding._read_well
    monkeypatch.setattr(decoding, "_read_well", counted)
    monkeypatch.setattr(handler, next_step, stop)
    job = job_in(tmp_path / "job", {"training": {"include_verses": verses}}, model_type=model_type)

    with pytest.raises(Prepared):
        handler.train(job, MemoryCallbacks(MemoryScanner(files, job), job))

    assert len(decoded) == len(verses) and set(decoded.values()) == {1}
    assert not (job.folder / "decoded").exists(), "the room is given back"
