"""A project of voice prompts holds what its truth says, cell by cell and file by file."""

import functools
import hashlib
import itertools
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from codex_worker.audio.decode import decode
from codex_worker.codex.choose import Selection, cells_for_training, cells_to_speak, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.text import plain_text
from sample.real_speech import encoding, plants, verses
from sample.real_speech import make as making
from sample.real_speech.corpus import RATE
from sample.real_speech.encoding import FORMS
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.make import make_real_project
from sample.real_speech.project import write_project
from sample.real_speech.truth import CellTruth, Plant, Role, Truth, letters_of, read_truth
from tests.support.present import present
from tests.support.prompts import made_up_packages

ENGLISH = LANGUAGES["en"]


@dataclass(frozen=True)
class Made:
    folder: Path
    repository: Path
    truth: Truth
    said: dict[str, str]

    @functools.cached_property
    def notebooks(self) -> dict[str, Notebook]:
        names = {cell.document for cell in self.truth.cells}
        return {name: Notebook.parse(self.show(f"files/target/{name}.codex"), name) for name in names}

    def show(self, path: str) -> bytes:
        command = ["git", "--git-dir", str(self.repository), "show", f"main:{path}"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def pointer(self, truth: CellTruth) -> bytes:
        (cell,) = (c for c in self.notebooks[truth.document].cells if c.id == truth.cell)
        (take,) = cell.live_attachments
        assert take.id == cell.selected_audio_id
        return self.show(present(take.url).replace("/files/", "/pointers/"))

    def large_file(self, truth: CellTruth) -> Path:
        oid = self.pointer(truth).decode().splitlines()[1].removeprefix("oid sha256:")
        return self.repository / f"lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}"

    def samples(self, truth: CellTruth) -> np.ndarray:
        return decode(self.large_file(truth), sample_rate=RATE).samples


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files are encoded once for all tests: that this gives the same bytes each time is shown on its own."""
    folder = tmp_path_factory.mktemp("real")
    said = made_up_packages(folder / "packages" / "en", ENGLISH)
    known: dict[tuple[bytes, str], bytes] = {}

    def encode(samples, extension):
        key = (samples.tobytes(), extension)
        known[key] = known.get(key) or encoding.encode(samples, extension)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verses, "encode", encode)
        patch.setattr(plants, "encode", encode)
        project = make_real_project(ENGLISH, folder)
        yield Made(folder, project.repository, project.truth, said)


@pytest.mark.parametrize("extension", FORMS)
def test_the_same_sound_gives_the_same_file_that_says_the_same(tmp_path, extension):
    times = np.arange(RATE) / RATE
    tone = (0.4 * np.sin(2 * np.pi * 300 * times)).astype(np.float32)
    content = encoding.encode(tone, extension)
    assert content == encoding.encode(tone, extension)
    path = tmp_path / f"tone.{extension}"
    path.write_bytes(content)
    read = decode(path, sample_rate=RATE).samples
    assert read.size == pytest.approx(RATE, rel=0.1)
    assert np.abs(read[RATE // 4 : RATE // 2]).max() == pytest.approx(0.4, abs=0.05)


def test_webm_is_written_forward_only_as_a_browser_does(tmp_path):
    path = tmp_path / "one.webm"
    path.write_bytes(encoding.encode(np.zeros(RATE, np.float32), "webm"))
    with av.open(str(path)) as container:
        assert container.duration is None


def test_it_is_the_same_project_every_time(made, tmp_path):
    again = write_project(
        tmp_path / "again.git", made.folder / "packages/en", ENGLISH, made.truth.fingerprint
    )
    assert again == made.truth
    assert sorted(objects(tmp_path / "again.git")) == sorted(objects(made.repository))


def test_the_truth_is_written_beside_the_repository(made):
    assert read_truth(made.folder / "truth-en.json") == made.truth


def test_every_prompt_is_in_one_cell(made):
    keys = [cell.key for cell in made.truth.cells if cell.plant is not Plant.SAME_RECORDING]
    shared = {cell.key for cell in made.truth.planted(Plant.SAME_RECORDING)}
    assert len(keys) == len(set(keys))
    assert len(shared) == 1 and not shared & set(keys)
    # One prompt gives its text to the second verse of the shared recording, and nothing else.
    assert len(made.said) == len(keys) + 2


def test_every_cell_says_and_sounds_as_the_truth_has_it(made):
    cells = {cell.id: cell for book in made.notebooks.values() for cell in book.cells}
    assert set(cells) == {truth.cell for truth in made.truth.cells}
    for truth in made.truth.cells:
        assert plain_text(cells[truth.cell].value) == truth.text
        assert bool(truth.text) == (truth.role is not Role.UNHEARD)
        assert bool(cells[truth.cell].live_attachments) == (truth.role is not Role.UNSPOKEN)
        if truth.said:
            assert truth.said == f"{made.said[truth.key].capitalize()}."


def test_a_worker_finds_the_cells_that_the_truth_names(made):
    every = Selection()
    for rule, role in (
        (cells_for_training, Role.TRAINING),
        (cells_to_transcribe, Role.UNHEARD),
        (cells_to_speak, Role.UNSPOKEN),
    ):
        found = {cell.id for book in made.notebooks.values() for cell in rule(book, every).chosen}
        assert found == {truth.cell for truth in made.truth.with_role(role)}
        assert found


def test_ordinary_recordings_are_whole_and_of_all_kinds(made):
    ordinary = [cell for cell in made.truth.cells if cell.extension and cell.plant is None]
    for truth in ordinary:
        assert made.samples(truth).size / RATE == pytest.approx(truth.duration_s, abs=0.15)
    assert len({truth.extension for truth in ordinary}) >= 4


def test_books_have_ids_of_both_kinds(made):
    old = {cell.document for cell in made.truth.cells if cell.cell == cell.reference}
    assert old == {"MRK", "JON", "JUD"}
    assert {cell.document for cell in made.truth.cells} - old == {"LUK", "RUT"}


def test_faults_are_in_a_book_of_their_own_and_each_kind_is_there(made):
    planted = [cell for cell in made.truth.cells if cell.plant]
    assert {cell.document for cell in planted} == {"JUD"}
    assert {cell.plant for cell in planted} == set(Plant)
    assert all(cell.plant for cell in made.truth.cells if cell.document == "JUD")


def test_swapped_verses_have_each_others_text(made):
    swapped = made.truth.planted(Plant.SWAPPED)
    assert len(swapped) == 6
    for one, other in zip(swapped[::2], swapped[1::2], strict=True):
        assert (one.text, one.said) == (other.said, other.text)
        assert one.reference.split(":")[0] == other.reference.split(":")[0]


def flatness(samples):
    """Near 1 where all loud samples are as loud as the loudest; lossy files let flat tops ripple."""
    return np.quantile(np.abs(samples), 0.9) / np.quantile(np.abs(samples), 0.99)


def loud_share(samples):
    return np.mean(np.abs(samples) > 0.01)


@pytest.mark.parametrize(
    ("plant", "holds"),
    [
        (Plant.OVERDRIVEN, lambda samples, _: flatness(samples) > 0.8),
        (Plant.FAINT, lambda samples, _: np.abs(samples).max() < 0.01),
        (Plant.NOISE, lambda samples, _: loud_share(samples) > 0.6),
        (Plant.MOSTLY_SILENCE, lambda samples, _: loud_share(samples) < 0.2),
        (Plant.STOPPED, lambda samples, whole_s: samples.size / RATE < 0.6 * whole_s),
        (Plant.SAID_TWICE, lambda samples, whole_s: samples.size / RATE > 2 * whole_s),
        (Plant.BEEP, lambda samples, _: peak_hz(samples[1600:6400]) == pytest.approx(1000, abs=20)),
        (Plant.DIGITAL_SILENCE, lambda samples, _: not samples.any()),
        (Plant.MISNAMED, lambda samples, _: loud_share(samples) > 0.1),
    ],
)
def test_what_is_planted_can_be_measured(made, plant, holds):
    sounds = made.folder / "packages/en/usr/share/asterisk/sounds/en_XX_f_Somebody"
    found = made.truth.planted(plant)
    assert found
    for truth in found:
        assert holds(made.samples(truth), (sounds / f"{truth.key}.g722").stat().st_size / 8000)


def test_overdriven_recordings_are_of_four_levels_in_four_formats(made):
    found = made.truth.planted(Plant.OVERDRIVEN)
    assert len({truth.extension for truth in found}) == 4
    levels = sorted(float(np.quantile(np.abs(made.samples(truth)), 0.9)) for truth in found)
    assert all(later > 1.15 * earlier for earlier, later in itertools.pairwise(levels))


def test_files_that_never_arrived_are_not_there(made):
    (lost,), (unsent,) = (made.truth.planted(plant) for plant in (Plant.LOST, Plant.NEVER_SENT))
    assert made.pointer(lost).startswith(b"version https://git-lfs")
    assert not made.large_file(lost).exists()
    assert made.pointer(unsent) == b""


def test_files_are_cut_in_the_middle_and_misnamed(made):
    for truth in made.truth.planted(Plant.CUT_FILE):
        size = made.large_file(truth).stat().st_size
        if truth.extension == "wav":
            assert size == pytest.approx(truth.duration_s * RATE, rel=0.05), "half of two bytes a sample"
        assert truth.duration_s > 2.5
    (misnamed,) = made.truth.planted(Plant.MISNAMED)
    assert misnamed.extension == "mp3"
    assert made.large_file(misnamed).read_bytes().startswith(b"RIFF")


def test_licence_and_speaker_are_named_in_what_is_made(made):
    metadata = json.loads(made.show("metadata.json"))
    (statement,) = metadata["copyright"]["shortStatements"]
    assert statement["statement"] == made.truth.credit == ENGLISH.credit
    assert made.show("COPYRIGHT") == b"Spoken by somebody.\n"
    readme = (Path(making.SAMPLE) / "README.md").read_text()
    for language in LANGUAGES.values():
        assert language.speaker in readme
        assert language.licence.name in readme


def test_the_letters_of_a_truth_are_those_that_people_wrote(made):
    assert made.truth.letters == letters_of(
        truth.text for truth in made.truth.cells if truth.role is Role.TRAINING
    )


@pytest.mark.parametrize(
    ("texts", "letters"),
    [
        (["Don’t stop – Ёж (1)!"], "don’tspёж"),
        (["'Quoted' and re-read -", "o'clock"], "'-acdeklnoqrtu"),
        (["по-этому"], "-поэтму"),
        (["12 – 3", ""], ""),
    ],
)
def test_letters_are_counted_with_the_marks_inside_of_words(texts, letters):
    assert letters_of(texts) == "".join(sorted(letters))


def test_it_is_made_once_and_again_when_the_packages_change(made, monkeypatch):
    written = []
    write = making.write_project

    def noted(*arguments):
        written.append(arguments)
        return write(*arguments)

    monkeypatch.setattr(making, "write_project", noted)
    assert make_real_project(ENGLISH, made.folder).truth == made.truth
    assert not written
    other = made.folder.parent / "other"
    shutil.copytree(made.folder, other)
    (other / "packages/en/usr/share/doc" / ENGLISH.packages[0] / "copyright").write_text("By another.\n")
    known = other / "truth-en.json"
    known.write_text(known.read_text().replace(Role.UNHEARD.value, "as an older program called it"))
    changed = make_real_project(ENGLISH, other)
    assert len(written) == 1
    assert changed.truth.commit != made.truth.commit
    assert changed.truth.cells == made.truth.cells
    shutil.rmtree(other)


def peak_hz(samples):
    return np.argmax(np.abs(np.fft.rfft(samples))) * RATE / samples.size


def objects(repository):
    found = {path.name: path.read_bytes() for path in (repository / "lfs").rglob("*") if path.is_file()}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in found.items())
    return found
