"""Real people's recordings through the commands and both jobs, beside what is right about each of them.

The recordings are Debian's voice prompts in English and Russian (`make real`); where they are not to be had,
these tests are skipped. The transcriber's job is the default one, which has to learn to read; three epochs
of the voice are far from speaking. What counts here is that no recording is lost, that faults are found and
nothing else, that letters are counted right, and that what was made is where people look for it.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from codex_worker.asr.load import load_checkpoint
from codex_worker.audio.decode import decode
from codex_worker.codex.text import plain_text
from sample.real_speech.truth import CellTruth, Plant, Role, Truth, letters_of
from tests.support.planted import ReadPage, read_page
from tests.support.present import present
from tests.support.real_speech import JobDone, made_once, run_command

pytestmark = pytest.mark.acceptance

NOT_THERE = (Plant.LOST, Plant.NEVER_SENT)
UNREADABLE = (*NOT_THERE, Plant.CUT_FILE)
NEVER_LEARNT = (*UNREADABLE, Plant.OVERDRIVEN, Plant.DIGITAL_SILENCE)
# What the page has to say of each, in whichever sentence.
FOUND_AS = {
    Plant.SWAPPED: r"each other's texts|not seem to say|very (fast|slowly)",  # the pace tells some of them
    Plant.SAME_RECORDING: r"share their recording",
    Plant.OVERDRIVEN: r"overdriven",
    Plant.FAINT: r"very quiet|silent",
    Plant.NOISE: r"noise",
    Plant.MOSTLY_SILENCE: r"silence",
    Plant.CUT_FILE: r"cut off",
    Plant.STOPPED: r"very fast|too short|breaks? off",
    Plant.SAID_TWICE: r"very slowly|repeat|twice",
    Plant.BEEP: r"beep|tone",
    Plant.NO_SPEECH: r"no speech|instead of speech|music|other texts",
    Plant.DIGITAL_SILENCE: r"silent",
    Plant.LOST: r"not there|not uploaded",
    Plant.NEVER_SENT: r"not there",
}
# True of clean recordings, and no alarm: several prompts say the same.
NO_ALARM = re.compile(r"have the same text as another cell")


@pytest.fixture(scope="module")
def page(project, tmp_path_factory) -> ReadPage:
    """What the data command says of the whole project."""

    def listen(folder: Path) -> None:
        options = ("--work-dir", folder / "work", "--output", folder / "data.html")
        run_command("codex_worker.cli", "data", project.repository, *options)

    folder = made_once(tmp_path_factory, f"data-{project.truth.language}", listen)
    return read_page((folder / "data.html").read_text(encoding="utf-8"))


def references(cells: Iterable[CellTruth]) -> set[str]:
    return {cell.reference for cell in cells}


def ids(cells: Iterable[CellTruth]) -> set[str]:
    return {cell.cell for cell in cells}


def test_explore_counts_every_cell_of_every_book(project, tmp_path):
    said = run_command("codex_worker.cli", "explore", project.repository, "--work-dir", tmp_path)
    rows = {}
    for line in said.splitlines():
        columns = [column.strip() for column in line.strip("│").split("│")]
        if len(columns) == 6:
            rows[columns[0]] = columns[1:]
    documents = sorted({cell.document for cell in project.truth.cells})
    for document in [*documents, "all"]:
        cells = [cell for cell in project.truth.cells if document in {cell.document, "all"}]
        counts = [sum(cell.role is role for cell in cells) for role in Role]
        minutes = sum(cell.duration_s for cell in cells if cell.role is Role.TRAINING) / 60
        found = rows.pop(document)
        assert [int(found[at]) for at in (0, 1, 3, 4)] == [len(cells), *counts]
        assert float(found[2]) == pytest.approx(minutes, abs=0.06)
    assert not rows


def test_a_dataset_has_every_recording_that_can_be_read_with_its_text(project, tmp_path):
    folder = tmp_path / "dataset"
    run_command("codex_worker.cli", "dataset", project.repository, folder, "--work-dir", tmp_path / "work")
    rows = []
    for metadata in folder.glob("*/metadata.csv"):
        with metadata.open(encoding="utf-8", newline="") as lines:
            rows += [(metadata.parent, row) for row in csv.DictReader(lines)]
    wanted = {
        cell.cell: cell for cell in project.truth.with_role(Role.TRAINING) if cell.plant not in UNREADABLE
    }
    assert sorted(row["cell_id"] for _, row in rows) == sorted(wanted)
    for split, row in rows:
        cell = wanted[row["cell_id"]]
        assert (row["text"], row["reference"]) == (cell.text, cell.reference)
        heard_s = decode(split / row["file_name"], sample_rate=16_000).duration_s
        assert heard_s == pytest.approx(cell.duration_s, abs=0.1)


@pytest.mark.parametrize("plant", FOUND_AS.keys() - {Plant.SWAPPED}, ids=lambda plant: plant.name.lower())
def test_the_doctor_finds_what_was_planted(project, page, plant):
    """Without a transcriber: swapped verses are not among them."""
    found = findings_of(page)
    for cell in project.truth.planted(plant):
        said = found.get(cell.reference, [])
        assert any(re.search(FOUND_AS[plant], sentence) for sentence in said), (cell.reference, said)


def test_the_doctor_says_nothing_of_clean_recordings(project, page):
    assert alarms(page, project.truth) == {}


def test_a_transcriber_of_the_project_finds_verses_that_changed_places(project, worked, tmp_path):
    """Although it has learnt from them as they are, and reads badly; and it finds nothing else."""
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(worked.asr.published("checkpoint/asr_model-"))
    output = tmp_path / "data.html"
    options = ("--checkpoint", checkpoint, "--work-dir", tmp_path / "work", "--output", output)
    run_command("codex_worker.cli", "data", project.repository, *options)
    page = read_page(output.read_text(encoding="utf-8"))
    found = findings_of(page)
    for cell in project.truth.planted(Plant.SWAPPED):
        said = found.get(cell.reference, [])
        assert any(re.search(FOUND_AS[Plant.SWAPPED], sentence) for sentence in said), (cell.reference, said)
    assert alarms(page, project.truth) == {}


def alarms(page: ReadPage, truth: Truth) -> dict[str, list[str]]:
    """What is said of recordings that nothing is wrong with."""
    clean = references(truth.with_role(Role.TRAINING, planted=False))
    return {
        reference: said
        for reference, sentences in findings_of(page).items()
        if reference in clean and (said := [one for one in sentences if not NO_ALARM.search(one)])
    }


def findings_of(page: ReadPage) -> dict[str, list[str]]:
    """The sentences about each recording."""
    said: dict[str, list[str]] = {}
    for sentence, labels in page.findings.items():
        for label in labels:
            said.setdefault(label, []).append(sentence)
    return said


def test_both_jobs_learn_from_every_clean_recording_and_from_no_spoilt_one(worked):
    wanted = references(worked.truth.with_role(Role.TRAINING))
    for job in (worked.asr, worked.tts):
        assert job.response["state"] == "completed", job.log[-4000:]
        reasons = left_out(job, wanted)
        assert references(worked.truth.planted(*NEVER_LEARNT)) <= set(reasons)
        assert not references(worked.truth.with_role(Role.TRAINING, planted=False)) & set(reasons), reasons
        assert all(len(reason) > 20 for reason in reasons.values()), reasons
        said = re.search(
            r"(\d+) recordings (to learn from,|with [\d.]+ minutes of speech)", job.everything_said
        )
        assert int(present(said)[1]) == len(wanted) - len(reasons)


def test_the_page_of_a_job_lists_what_it_leaves_out_and_alarms_for_no_clean_recording(worked):
    wanted = references(worked.truth.with_role(Role.TRAINING))
    for job in (worked.asr, worked.tts):
        page = read_page(job.published("report/data-").decode())
        assert set(page.reasons) & wanted == set(left_out(job, wanted))
        assert alarms(page, worked.truth) == {}


def left_out(job: JobDone, wanted: set[str]) -> dict[str, str]:
    """The recordings that a job did not learn from, and why; the two models report it differently."""
    report = job.report("training_data")
    if "left_out" in report:
        return dict(report["left_out"])
    marked = [line.removeprefix("left out ") for line in report["recordings"] if line.startswith("left out ")]
    reasons = dict(line.split(": ", 1) for line in (*marked, *report["cells_not_used"]))
    return {reference: reason for reference, reason in reasons.items() if reference in wanted}


def test_every_recording_without_text_is_read_and_no_other_text_is_touched(worked):
    unheard = ids(worked.truth.with_role(Role.UNHEARD))
    readings = worked.asr.report("transcripts")
    assert sorted(reading["cell"] for reading in readings) == sorted(unheard)
    assert [reading["error"] for reading in readings] == [None] * len(unheard)
    result = worked.asr.response["result"]
    assert result["cells_written"] + result["cells_skipped"] == len(unheard)
    after = worked.after.cells()
    written = {cell.cell for cell in worked.truth.cells if cell.cell in unheard and after[cell.cell].value}
    assert len(written) == result["cells_written"]
    for cell in worked.truth.cells:
        if cell.cell not in unheard:
            assert plain_text(after[cell.cell].value) == cell.text


def test_the_transcriber_knows_the_letters_that_people_wrote_and_names_the_rare_ones(worked, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(worked.asr.published("checkpoint/asr_model-"))
    symbols = load_checkpoint(file).vocabulary.symbols
    known = {symbol for symbol in symbols if len(symbol) == 1} - {"|"}
    training = worked.truth.with_role(Role.TRAINING)
    unused = left_out(worked.asr, references(training))
    learnt = [letters_of([cell.text]) for cell in training if cell.reference not in unused]
    rare = worked.asr.report("training_data")["rare_letters"]
    assert "".join(sorted(known | set(rare))) == "".join(sorted(set().union(*learnt)))
    assert not known & set(rare)
    for letter, count in rare.items():
        assert count == sum(letter in letters for letters in learnt), letter
        assert re.search(rf"\b{letter} \({count}\)", worked.asr.log), letter


def test_every_text_without_recording_gets_a_take_with_sound_and_no_other_cell_does(worked, tmp_path):
    unspoken = ids(worked.truth.with_role(Role.UNSPOKEN))
    assert worked.tts.response["result"]["cells_written"] == len(unspoken)
    before, after = worked.before.cells(), worked.after.cells()
    for cell in worked.truth.cells:
        takes = after[cell.cell].live_attachments
        if cell.cell not in unspoken:
            assert takes == before[cell.cell].live_attachments
            continue
        (take,) = takes
        assert after[cell.cell].selected_audio_id == take.id
        pointer = present(take.url).replace("/files/", "/pointers/")
        file = tmp_path / pointer.rpartition("/")[2]
        file.write_bytes(worked.after.content(pointer))
        assert decode(file, sample_rate=16_000).duration_s > 0.3


def test_what_a_voice_cannot_speak_is_said_of_texts_that_it_was_to_speak(worked):
    said = [note for note in worked.tts.response["result"]["notes"] if "does not speak" in note]
    if not worked.tts.has_report("speech"):
        assert not said
        return
    report = worked.tts.report("speech")
    assert report["failed"] == []
    unspoken = references(worked.truth.with_role(Role.UNSPOKEN))
    assert set(report["not_spoken"]) <= unspoken
    assert bool(said) == bool(report["not_spoken"])
