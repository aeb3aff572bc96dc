"""A project's bad names, letters and recordings cost themselves only, for both models."""

import json

import pytest

from codex_worker.codex.notebook import Notebook
from codex_worker.contract.ids import check_repository_path
from codex_worker.errors import JobCanceled, UserError
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from handlers.asr.w2v2bert import training as transcriber_training
from handlers.tts.stabletts import training as voice_training
from sample.make_codex_project import make_project
from tests.support.jobs import Stage

LABELS = ["half \\ud800 a pair", "nul \\u0000 bell \\u0007", "\\u001b[2J", "\\udcff"]

QUICK = {"epochs": 1, "batch_size": 8, "inference": {"diffusion_steps": 1, "cfg_scale": 1.0}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The sample, with labels that cannot be written and recordings that are none."""
    folder = tmp_path_factory.mktemp("sample") / "project"
    made = make_project(folder, with_sample_jobs=False)
    files = files_below(folder)
    spoilt = sorted(made.recorded)[: len(LABELS)]
    for name, path in files.items():
        if not name.endswith(".codex"):
            continue
        notebook = json.loads(path.read_bytes())
        for cell in notebook["cells"]:
            if cell["metadata"]["id"] in spoilt:
                at = spoilt.index(cell["metadata"]["id"])
                cell["metadata"]["cellLabel"] = json.loads(f'"{LABELS[at]}"')
                cell["metadata"].get("data", {}).pop("globalReferences", None)
                cell["value"] += json.loads(f'"{LABELS[at]}"')
                selected = cell["metadata"]["selectedAudioId"]
                pointer = cell["metadata"]["attachments"][selected]["url"].replace("/files/", "/pointers/")
                if at % 2:
                    files[pointer].write_bytes(b"RIFF no recording at all")
        path.write_text(json.dumps(notebook))
    contents = {f"lfs/{oid}": content for oid, content in made.large_files.items()}
    return sorted(made.recorded)[:10], {**files, **contents}


class UntilTraining(MemoryCallbacks):
    """Stops a job when it begins to train: by then everything about its data is told."""

    def heartbeat(self, epochs_completed=None, message=None, stage=None):
        if stage == "training":
            self.stop()
        super().heartbeat(epochs_completed, message, stage)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "job_type", "model"),
    [(transcriber_training, "asr", "w2v2bert"), (voice_training, "tts", "stabletts")],
)
def test_a_project_with_letters_that_nobody_can_write_is_learnt_from(
    project, tmp_path, caplog, handler, job_type, model
):
    verses, files = project
    config = {**QUICK, "training": {"include_verses": verses}}
    job = job_in(
        tmp_path / "job", config, job_type=job_type, model_type=model, mode="training", commit="c" * 40
    )
    callbacks = UntilTraining(MemoryScanner(files, job), job)
    with pytest.raises(JobCanceled):
        handler.run(job, callbacks)
    reports = {name: data for name, data in callbacks.scanner.artifacts.items() if "/report/" in name}
    assert reports
    for name, data in reports.items():
        assert str(tmp_path) not in data.decode(), name
        assert "\\ud800" not in data.decode() and "\0" not in data.decode(), name
    caplog.text.encode()


def test_an_id_that_cannot_be_written_costs_its_cell_only():
    cells = [
        {"kind": 2, "value": "a", "metadata": {"id": identity, "type": "text"}}
        for identity in ("\ud800", "ok")
    ]
    notebook = Notebook.parse(json.dumps({"cells": cells, "metadata": {}}).encode(), "files/target/GEN.codex")
    assert [cell.id for cell in notebook.cells] == ["ok"] and len(notebook.problems) == 1


@pytest.mark.parametrize("path", ["files/target/\udcff.codex", "a/\ud800", "a\nb", "a\\b", "a/../b", "\x7f"])
def test_a_name_that_is_none_is_no_path(path):
    with pytest.raises(UserError):
        check_repository_path(path)


BAD_NAMES = [
    "files/target/\udcff.codex",
    "files/target/a\nb.codex",
    "files/target/a\\b.codex",
    "files/" + "x" * 1100,
]


def test_files_with_names_that_are_none_are_left_out_and_said_once(tmp_path):
    stage = Stage(
        tmp_path,
        """
        paths = scanner.list_files()
        read = scanner.read_files(paths)
        pointers = ["a" * 1000, "a/../b", "x\\ny", "good"]
        fetched = scanner.fetch_recordings(pointers)
        return {"notes": [str(paths), str(sorted(read)), str(sorted(fetched.missing) == sorted(pointers))]}
        """,
    )
    stage.contents = {**dict.fromkeys(BAD_NAMES, b"{}"), "files/target/GEN.codex": b"{}"}
    outcome = stage.run()
    assert outcome is not None and outcome.state == "completed", outcome
    assert outcome.result["notes"] == ["['files/target/GEN.codex']", "['files/target/GEN.codex']", "True"]
    assert stage.log().count("4 files are left out because of their names") == 1
    assert "'files/target/\\udcff.codex'" in stage.log()


HUGE_RECORDING = {
    "kind": "recording",
    "cell_id": "x",
    "read": {"value": "", "selected_audio_id": "", "has_live_recording": False},
    "recording": {
        "attachment_id": "audio-1700000000000-abcdefghi", "document": "GEN", "extension": "wav",
        "created_by": "a", "mime_type": "audio/wav",
        "size_bytes": 1, "sample_rate": 1, "channels": 1, "duration_s": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("publish_artifact", {"file": "huge", "folder": "checkpoint"}),
        ("save_resume", {"file": "huge"}),
        ("publish_cells", {"results": [{"notebook": "a", "recording": "huge", "patch": HUGE_RECORDING}]}),
    ],
)
def test_a_file_of_nine_gigabytes_is_refused_before_it_is_read(tmp_path, call, arguments):
    make = "file = open(folder / 'huge', 'wb'); file.truncate(9 << 30); file.close()"
    outcome = Stage(tmp_path, f"{make}\ncallbacks._line.call({call!r}, **{arguments!r})").run()
    assert outcome is not None and outcome.kind == "data" and "9,663,676,416 bytes" in outcome.message


@pytest.mark.parametrize(
    "waiting",
    [
        "'[' * 5000",
        "'{\"notebook\": 1}'",
        "'1e999\\n[]\\nnull'",
        "'\\0'",
        "json.dumps({'notebook': '\\ud800', 'patch': {}})",
    ],
)
def test_nonsense_that_was_left_behind_does_not_cost_the_result(tmp_path, waiting):
    stage = Stage(
        tmp_path,
        f"import json; (folder / 'waiting.jsonl').write_text({waiting}); return {{'cells_written': 3}}",
    )
    outcome = stage.run()
    assert outcome is not None and outcome.state == "completed" and outcome.result["cells_written"] == 3
