"""Both trainings on a project that writes a colon as a letter, in a language with two kinds of i."""

import json
import re
from pathlib import Path

import pytest

from codex_worker.asr.checkpoint import read_safetensors
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.stabletts.checkpoint import read_checkpoint
from codex_worker.stabletts.frontend.characters import CharactersFrontend
from handlers.asr.w2v2bert import training as transcriber_training
from handlers.tts.stabletts import training as voice_training
from sample.make_codex_project import make_project
from tests.support.any_reading import let_any_reading_count

pytestmark = pytest.mark.slow  # each trains on a part of the sample

FEW = {"epochs": 1, "training": {"include_verses": ["MRK 1", "MRK 2", "MRK 3"]}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    made = make_project(folder, with_sample_jobs=False)
    found: dict[str, bytes | Path] = {f"lfs/{oid}": data for oid, data in made.large_files.items()}
    for name, path in files_below(folder).items():
        found[name] = (
            path.read_bytes() if isinstance(path, Path) and name.endswith((".codex", ".json")) else path
        )
    for name, data in found.items():
        if name.endswith(".codex") and isinstance(data, bytes):
            data = data.replace(b"ee", b"e:e").replace(b"ind", b"IND").replace(b"carry fish", b"car*ry fish")
            found[name] = data
    metadata = json.loads(bytes(found["metadata.json"]))
    metadata["languages"][1] |= {"tag": "tur"}
    found["metadata.json"] = json.dumps(metadata).encode()
    return found


def trained(handler, files, tmp_path, config, **fields):
    job = job_in(tmp_path / "job", FEW | config, commit="c" * 40, **fields)
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    result = handler.run(job, callbacks)
    artifacts = callbacks.scanner.artifacts
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(artifacts[result["checkpoint_path"]])
    page, told = ((job.folder / name).read_text() for name in ("data.html", "training_data.json"))
    return checkpoint, result["notes"], page, told


def test_a_transcriber_learns_the_letters_of_the_project_and_says_what_it_leaves_out(
    files, tmp_path, monkeypatch
):
    let_any_reading_count(monkeypatch)
    checkpoint, notes, page, told = trained(transcriber_training, files, tmp_path, {}, mode="training")
    model = read_safetensors(checkpoint)
    assert {":", "ı"} < model.vocabulary.letters
    assert not {"*", "\u0307"} & model.vocabulary.letters
    assert model.text_recipe is not None
    assert model.text_recipe.apply("SE:E, FIND.") == "se:e fınd"
    lost = "'*' (U+002A ASTERISK) is not written, although it stands between letters: 1 time in 1 text"
    assert lost in notes
    assert lost in json.loads(told)["not_written"]
    assert re.search(r"would not know these letters[^.]*\* \(1\)", page)


def test_a_voice_learns_the_letters_of_the_project_and_says_what_it_leaves_out(files, tmp_path):
    config = {"model": {"frontend": "characters"}, "batch_size": 8}
    fields = {"job_type": "tts", "model_type": "stabletts", "mode": "training"}
    checkpoint, notes, page, told = trained(voice_training, files, tmp_path, config, **fields)
    voice = read_checkpoint(checkpoint).voice
    assert voice is not None
    assert isinstance(voice.frontend, CharactersFrontend)
    assert voice.frontend.encode("Se:e, FIND").phones == "se:e, fınd"
    lost = "'*' (U+002A ASTERISK) is not spoken: 1 time in 1 text"
    assert lost in notes
    assert lost in told
    assert re.search(r"would not know these letters[^.]*\* \(1\)", page)
