"""From a project to its recorded cells: everything is accounted for, one wrong cell costs itself only."""

import unicodedata

import pytest

from codex_worker.audio.decode import Recording
from codex_worker.codex.choose import Selection, cells_for_training, cells_to_transcribe
from codex_worker.contract.options import TrainingOptions
from codex_worker.data.explore import holdings
from codex_worker.data.faults import Fault
from codex_worker.data.project import Project
from codex_worker.data.recordings import decoded, fetch_recordings, read_recorded
from codex_worker.errors import DataError, UserError
from codex_worker.job.api import Absence, Fetched
from codex_worker.job.memory import MemoryScanner, files_below, job_in
from sample.make_codex_project import make_project
from tests.support.notebooks import PATH, notebook, recorded_cell, take


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("sample") / "project")


class Counting(MemoryScanner):
    """Counts its calls."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.calls = []

    def fetch_recordings(self, pointer_paths):
        self.calls.append(len(pointer_paths))
        return super().fetch_recordings(pointer_paths)


def scanner_of(files, tmp_path, **keywords):
    return Counting(files, job_in(tmp_path / "job"), **keywords)


def test_every_cell_of_the_sample_is_either_recorded_or_skipped_with_a_reason(sample, tmp_path):
    scanner = scanner_of(files_below(sample.folder), tmp_path)
    recorded = read_recorded(scanner)
    assert {cell.chosen.cell.id for cell in recorded.cells} == set(sample.recorded)
    project = Project(scanner)
    total = sum(len(notebook.cells) + len(notebook.problems) for notebook in project.notebooks)
    assert len(recorded.cells) + len(recorded.skipped) == total
    assert all(entry.reason for entry in recorded.skipped)


def test_all_recordings_are_asked_for_at_once(sample, tmp_path):
    scanner = scanner_of(files_below(sample.folder), tmp_path)
    recorded = read_recorded(scanner)
    assert len(scanner.calls) == 1
    assert len(recorded.cells) > 40


def test_cells_to_transcribe_come_with_their_recordings_too(sample, tmp_path):
    recorded = read_recorded(scanner_of(files_below(sample.folder), tmp_path), rule=cells_to_transcribe)
    assert {cell.chosen.cell.id for cell in recorded.cells} == set(sample.unheard)


def test_recordings_decode_in_order_and_a_broken_one_costs_its_cell_only(sample, tmp_path):
    recorded = read_recorded(scanner_of(files_below(sample.folder), tmp_path))
    recorded.cells[1].path.write_bytes(b"no sound at all")
    outcomes = list(decoded(recorded.cells[:4], sample_rate=16_000))
    assert [cell.key for cell, _ in outcomes] == [cell.key for cell in recorded.cells[:4]]
    broken = outcomes.pop(1)[1]
    assert isinstance(broken, DataError)
    assert all(isinstance(outcome, Recording) and outcome.duration_s > 0.5 for _, outcome in outcomes)


def test_a_recording_of_an_early_project_is_found_in_its_old_place(tmp_path):
    old = take("audio-1-a", 1, url=".project/attachments/MRK/audio-1-a.wav")
    cell = recorded_cell("MRK 1:1", "One.")
    cell["metadata"] |= {"attachments": {"audio-1-a": old}, "selectedAudioId": "audio-1-a"}
    files = {PATH: notebook(cell), ".project/attachments/MRK/audio-1-a.wav": b"RIFF"}
    recorded = read_recorded(scanner_of(files, tmp_path))
    assert recorded.cells[0].path.read_bytes() == b"RIFF"


def test_two_notebooks_with_the_same_cell_id_keep_their_own_recordings(tmp_path):
    files = {}
    for document in ("MRK", "COPY"):
        cell = recorded_cell("MRK 1:1", "One.")
        name = cell["metadata"]["selectedAudioId"]
        cell["metadata"]["attachments"] = {name: take(name, 1, document)}
        files[f"files/target/{document}.codex"] = notebook(cell)
        files[f".project/attachments/pointers/{document}/{name}.wav"] = document.encode()
    recorded = read_recorded(scanner_of(files, tmp_path))
    assert len({cell.key for cell in recorded.cells}) == 2
    assert {cell.path.read_bytes() for cell in recorded.cells} == {b"MRK", b"COPY"}


def test_a_missing_recording_is_skipped_with_the_reason(tmp_path):
    recorded = read_recorded(scanner_of({PATH: notebook(recorded_cell("MRK 1:1", "One."))}, tmp_path))
    assert recorded.cells == ()
    assert "not on the server" in recorded.skipped[0].reason
    assert recorded.skipped[0].label == "MRK 1:1"


def test_a_notebook_that_cannot_be_read_costs_itself_only(tmp_path):
    files = {PATH: notebook(recorded_cell("MRK 1:1", "One.")), "files/target/BAD.codex": b"{"}
    project = Project(scanner_of(files, tmp_path))
    assert [notebook.path for notebook in project.notebooks] == [PATH]
    assert "BAD.codex" in project.notes[0]


def test_a_project_without_notebooks_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="open it in the editor"):
        Project(scanner_of({"readme.md": b"no project"}, tmp_path))


def test_an_entry_of_the_verse_list_that_means_nothing_is_noted(tmp_path):
    project = Project(scanner_of({PATH: notebook(recorded_cell("MRK 1:1", "One."))}, tmp_path))
    cells = project.choose_from(cells_for_training, Selection(include=("MRK 1:1", "GEN.1.1")))
    assert len(cells.chosen) == 1
    assert any("GEN.1.1" in note for note in project.notes)


def test_the_clip_of_a_cell_is_cut_out_of_its_file(tmp_path):
    cell = recorded_cell("MRK 1:1", "One.")
    name = cell["metadata"]["selectedAudioId"]
    cell["metadata"]["attachments"][name] |= {"startTime": 1.5, "endTime": 2.25}
    pointer = f".project/attachments/pointers/MRK/{name}.wav"
    scanner = scanner_of({PATH: notebook(cell), pointer: b"RIFF"}, tmp_path)
    chosen = Project(scanner).choose(cells_for_training, TrainingOptions()).chosen
    (recorded,) = fetch_recordings(scanner, chosen).cells
    assert (recorded.start_s, recorded.end_s) == (1.5, 2.25)
    assert recorded.expected_duration_s is None


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("MRK", "mrk", True),
        ("Génesis", unicodedata.normalize("NFD", "Génesis"), True),
        ("MRK", "JON", False),
        ("a b", "a%20b", False),
    ],
)
def test_two_notebooks_that_an_editor_takes_for_one_are_both_read_and_named(tmp_path, one, other, alike):
    files = {
        f"files/target/{name}.codex": notebook(recorded_cell("MRK 1:1", "One.")) for name in (one, other)
    }
    project = Project(scanner_of(files, tmp_path))
    assert [notebook.document for notebook in project.notebooks] == sorted([one, other])
    named = [note for note in project.notes if "one file on Windows" in note]
    assert len(named) == alike
    assert all(f"{name}.codex" in note for note in named for name in (one, other))


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({}, 12.0),
        ({"startTime": 2}, 10.0),
        ({"startTime": 2, "endTime": 5.5}, 3.5),
        ({"endTime": 30}, 12.0),
        ({"startTime": 20}, 0.0),
        ({"metadata": {}, "startTime": 2, "endTime": 5}, 3.0),
        ({"metadata": {}}, 0.0),
    ],
)
def test_the_minutes_that_a_project_notes_are_of_the_parts_that_its_cells_play(tmp_path, times, seconds):
    cell = recorded_cell("MRK 1:1", "One.")
    name = cell["metadata"]["selectedAudioId"]
    cell["metadata"]["attachments"][name] |= {"metadata": {"durationSec": 12}, **times}
    (holding,) = holdings(Project(scanner_of({PATH: notebook(cell)}, tmp_path)))
    assert holding.noted_s == seconds


class Refusing(MemoryScanner):
    """Has no recording, and says why."""

    def __init__(self, files, job, absences):
        super().__init__(files, job)
        self.absences = absences

    def fetch_recordings(self, pointer_paths):
        found = {path: self.absences[path] for path in pointer_paths if path in self.absences}
        return Fetched({}, {path: f"{kind} it is" for path, kind in found.items()}, found)


NEW, OLD = ".project/attachments/pointers/MRK/a.wav", ".project/attachments/MRK/a.wav"


@pytest.mark.parametrize(
    ("absences", "fault"),
    [
        *(
            ({NEW: kind}, Fault(str(kind)))
            for kind in sorted(set(Absence) - {Absence.NEVER_SENT, Absence.NOT_ON_SERVER})
        ),
        ({NEW: Absence.NEVER_SENT}, Fault.MISSING),
        ({NEW: Absence.NOT_ON_SERVER}, Fault.MISSING),
        ({}, Fault.MISSING),
        ({NEW: Absence.NEVER_SENT, OLD: Absence.TWO_ALIKE}, Fault.TWO_ALIKE),
        ({NEW: Absence.TWO_ALIKE, OLD: Absence.NOT_FETCHED}, Fault.TWO_ALIKE),
    ],
)
def test_why_a_recording_is_missing_is_counted_by_its_kind(tmp_path, absences, fault):
    cell = recorded_cell("MRK 1:1", "One.")
    cell["metadata"] |= {"attachments": {"a": take("a", 1, url=OLD)}, "selectedAudioId": "a"}
    recorded = read_recorded(Refusing({PATH: notebook(cell)}, job_in(tmp_path / "job"), absences))
    assert [entry.fault for entry in recorded.skipped] == [fault]
