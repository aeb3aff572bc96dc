"""Jobs with transcribers of which more or less is known: what is written into cells, and what is said."""

import json
from dataclasses import dataclass, replace

import pytest
import torch

from codex_worker.asr.checkpoint import TranscriberCheckpoint, save_checkpoint
from codex_worker.asr.held_out_rate import HELD_OUT_RECORDINGS
from codex_worker.asr.networks.build import TINY_FRONTEND, build_model, tiny_config
from codex_worker.asr.vocabulary import build_vocabulary
from codex_worker.job.memory import MemoryCallbacks, MemoryScanner, files_below, job_in
from codex_worker.job.summary import sentence_of
from handlers.asr.w2v2bert import inference
from sample.make_codex_project import make_project

pytestmark = pytest.mark.acceptance  # whole trainings or readings: too long for every change

PATH = "gpu_jobs/job_old/checkpoint/asr_model.safetensors"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "project"
    return make_project(folder), files_below(folder)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A network that hears the same letter in everything, and is sure of it."""
    vocabulary = build_vocabulary(["god made all"])
    torch.manual_seed(0)
    model = build_model(tiny_config(vocabulary))
    with torch.no_grad():
        model.lm_head.bias[vocabulary.encode("g")] = 5.0
    return TranscriberCheckpoint(model, vocabulary, TINY_FRONTEND)


@dataclass(frozen=True)
class Ended:
    """What a job left behind."""

    callbacks: MemoryCallbacks
    result: dict
    unheard: set[str]

    @property
    def asked(self):
        return len(self.unheard)

    @property
    def said(self):
        return sentence_of(self.result["summary"])

    def report(self, name):
        artifacts = self.callbacks.scanner.artifacts
        return next(data for path, data in artifacts.items() if f"report/{name}-" in path).decode()


def run(sample, reader, folder, metadata):
    project, files = sample
    save_checkpoint(folder / "made.safetensors", replace(reader, metadata=metadata))
    files = {**files, PATH: folder / "made.safetensors"}
    job = job_in(folder / "job", {"model": {"base_checkpoint": PATH}}, mode="inference")
    callbacks = MemoryCallbacks(MemoryScanner(files, job), job)
    return Ended(callbacks, dict(inference.run(job, callbacks)), set(project.unheard))


def known(cer, recordings=None, **more):
    about = {"metrics": json.dumps({"val_cer": cer}), "low_confidence": "0.5"}
    return about | ({} if recordings is None else {HELD_OUT_RECORDINGS: str(recordings)}) | more


SURE, UNSURE = {"low_confidence": "0.1"}, {"low_confidence": "1.0"}


@pytest.mark.parametrize(
    ("metadata", "is_written", "says"),
    [
        (known(0.23, 63), True, "about 23 of 100 letters are wrong (measured on 63 recordings"),
        (known(0.23), True, "about 23 of 100 letters are wrong"),
        (known(0.001, 63), True, "fewer than 1 of 100 letters is wrong"),
        (known(0.62, 63), False, "about 62 of 100 letters are wrong, too many to be written into cells"),
        (known(1.07, 63), False, "about 100 of 100 letters are wrong, too many to be written into cells"),
        (known(0.23, 2, **SURE), True, "measured on only 2 recordings"),
        (known(0.23, 2, **UNSURE), False, "unsure of nearly all that it read"),
        (
            known(0.23, 0, **SURE),
            True,
            "nobody knows how many letters are wrong (no recordings were held back",
        ),
        (known(0.23, 0, **UNSURE), False, "unsure of nearly all that it read"),
        ({}, True, "nobody knows how many letters are wrong (its checkpoint does not say)"),
        (UNSURE, False, "unsure of nearly all that it read"),
    ],
)
def test_cells_are_written_by_a_transcriber_that_reads_well_enough_and_its_rate_is_said(
    sample, reader, tmp_path, metadata, is_written, says
):
    ended = run(sample, reader, tmp_path, metadata)
    assert says in ended.said
    assert ended.result["success"]
    written = {entry.patch.cell_id for entry in ended.callbacks.scanner.cells}
    assert written == (ended.unheard if is_written else set())
    assert ended.result["cells_written"] == (ended.asked if is_written else 0)
    assert ended.result["cells_skipped"] == (0 if is_written else ended.asked)
    assert is_written or f"{ended.asked} readings are in the report only" in ended.said
    rows = json.loads(ended.report("transcripts"))
    assert len(rows) == ended.asked
    assert all(row["text"] == "g" and row["written"] is is_written for row in rows)


def test_the_report_lists_what_to_listen_to_first_in_its_order(sample, reader, tmp_path):
    ended = run(sample, reader, tmp_path, known(0.23, 63, **UNSURE))
    rows = json.loads(ended.report("transcripts"))
    assert [row["confidence"] for row in rows] == sorted(row["confidence"] for row in rows)
    assert all(row["uncertain"] and row["threshold"] == 1.0 for row in rows)
    assert f"{ended.asked} readings are uncertain and should be listened to first" in ended.said
    page = ended.report("readings")
    assert "About 23 of 100 letters are wrong" in page
    places = [page.index(f"<td>{row['reference']}</td>") for row in rows]
    assert places == sorted(places) and places[0] > page.index("To be listened to first")
    assert ended.result["metrics"]["low_confidence"] == 1.0
    assert ended.result["metrics"]["held_out_cer"] == 0.23
