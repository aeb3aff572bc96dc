"""Whose voice speaks by default: a person's, never an earlier voice's."""

import pytest
import soundfile

from codex_worker.codex.provenance import made_by_worker
from codex_worker.data.project import Project
from codex_worker.job.memory import MemoryScanner, job_in
from handlers.tts.stabletts.voices import find_reference
from tests.support.notebooks import PATH, notebook, recorded_cell, take, validation
from tests.unit.audio.made import speech_like

RATE = 22_050


def reference_of(tmp_path, *makers, training=None):
    """The default reference of a project whose verses, the first the fittest, were recorded by these."""
    cells, files = [], {}
    for verse, maker in enumerate(makers, start=1):
        name, duration_s = f"audio-{verse}-x", 9.0 - verse
        file = tmp_path / f"{name}.wav"
        soundfile.write(file, speech_like(duration_s, RATE, pauses=[], seed=verse), RATE)
        raw = recorded_cell(f"MRK 1:{verse}", "kata")
        raw["metadata"] |= {
            "attachments": {name: take(name, 1, metadata={"durationSec": duration_s}, **maker)},
            "selectedAudioId": name,
        }
        cells.append(raw)
        files[f".project/attachments/pointers/MRK/{name}.wav"] = file
    job = job_in(tmp_path / "job", {"training": training or {}})
    project = Project(MemoryScanner({PATH: notebook(*cells), **files}, job))
    return find_reference(job, project, sample_rate=RATE)


MACHINE = {"createdBy": made_by_worker("StableTTS")}
PERSON = {"createdBy": "maria"}
APPROVED = {**MACHINE, "validatedBy": [validation("maria", 5)]}


@pytest.mark.parametrize(
    ("makers", "training", "verse"),
    [
        ((PERSON, PERSON), {}, "MRK 1:1"),
        ((MACHINE, PERSON), {}, "MRK 1:2"),
        ((APPROVED, PERSON), {}, "MRK 1:1"),
        ((MACHINE, PERSON), {"include_machine_made": True}, "MRK 1:1"),
    ],
)
def test_the_default_voice_is_a_persons(tmp_path, makers, training, verse):
    assert f"the recording of {verse} " in reference_of(tmp_path, *makers, training=training).said


def test_a_project_that_only_machines_spoke_in_has_no_voice_to_take(tmp_path):
    reference = reference_of(tmp_path, MACHINE)
    assert reference.samples is None
    assert "no person's recording" in reference.said
