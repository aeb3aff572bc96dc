"""The data doctor hears what is wrong with recordings, and says it in plain words."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from codex_worker.codex.choose import Why
from codex_worker.data.project import SkippedCell
from codex_worker.data.recordings import FetchedCells, read_recorded
from codex_worker.doctor.examine import examine, require_usable
from codex_worker.doctor.measures import measure_voice
from codex_worker.doctor.page import data_page
from codex_worker.doctor.speakers import guess_speakers
from codex_worker.errors import DataError, UserError
from codex_worker.job.memory import MemoryScanner, files_below, job_in
from sample.make_codex_project import make_project
from tests.support.notebooks import PATH, notebook, recorded_cell, take
from tests.unit.audio.made import speech_like

RATE = 16_000


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    project = make_project(folder / "project")
    return read_recorded(MemoryScanner(files_below(project.folder), job_in(folder / "job")))


@pytest.fixture(scope="module")
def sample_report(sample):
    return examine(sample, lost_letters=lambda text: set(text) & {"’", "ö"})


def recorded_with(tmp_path, sounds, texts=None):
    """A project with one chapter whose verses have these sounds."""
    cells, files = [], {}
    for verse, (name, samples) in enumerate(sounds.items(), start=1):
        identity = f"audio-{verse}-{name}"
        file = tmp_path / f"{name}.wav"
        soundfile.write(file, samples, RATE)
        cell = recorded_cell(f"MRK 1:{verse}", (texts or {}).get(name, f"Some words of verse {verse}."))
        cell["metadata"] |= {
            "attachments": {identity: take(identity, 1, metadata={})},
            "selectedAudioId": identity,
        }
        cells.append(cell)
        files[f".project/attachments/pointers/MRK/{identity}.wav"] = file
    return read_recorded(MemoryScanner({PATH: notebook(*cells), **files}, job_in(tmp_path / "job")))


def finding(report, kind):
    return next((found for found in report.findings if found.kind == kind), None)


def good(seed=0, duration_s=2.0):
    return speech_like(duration_s, RATE, pauses=[(0.0, 0.2)], seed=seed)


def test_the_sample_is_counted_by_book_and_its_two_voices_are_told_apart(sample, sample_report):
    assert len(sample_report.examined) == len(sample.cells)
    assert {"MRK", "JON", "RUT", "PHM"} <= set(sample_report.hours_by_book())
    assert sum(sample_report.hours_by_book().values()) == pytest.approx(sample_report.hours)
    assert len(sample_report.hours_by_speaker()) == 2
    assert sum(sample_report.hours_by_speaker().values()) == pytest.approx(sample_report.hours)


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("overdriven", lambda sound: np.clip(sound * 20, -1, 1)),
        ("noise", lambda sound: sound + 0.1 * np.random.default_rng(1).standard_normal(sound.size)),
        ("quiet", lambda sound: sound * 0.01),
        ("silence", lambda sound: np.concatenate([np.zeros(5 * RATE), sound])),
        ("long", lambda sound: np.tile(sound, 16)),
    ],
)
def test_a_spoiled_recording_is_named_and_the_others_are_not(tmp_path, kind, spoil):
    report = examine(recorded_with(tmp_path, {"good": good(), "bad": spoil(good(2))}))
    found = finding(report, kind)
    assert found is not None
    assert found.cells == ("MRK 1:2",)


def test_a_silent_recording_is_left_out_and_a_good_project_goes_on(tmp_path):
    report = examine(recorded_with(tmp_path, {"good": good(), "silent": np.zeros(RATE)}))
    assert [entry.label for entry in report.left_out] == ["MRK 1:2"]
    assert "silent" in report.left_out[0].reason
    require_usable(report)


def test_the_same_recording_in_two_verses_is_noticed(tmp_path):
    report = examine(recorded_with(tmp_path, {"one": good(1), "two": good(1), "three": good(3)}))
    assert finding(report, "same-recording").cells == ("MRK 1:1", "MRK 1:2")


def test_a_text_that_is_too_long_for_its_recording_is_noticed(tmp_path):
    sounds = {f"v{number}": good(number) for number in range(12)}
    texts = dict.fromkeys(sounds, "Words enough.") | {"v3": "Far too many words for this. " * 2}
    report = examine(recorded_with(tmp_path, sounds, texts))
    assert finding(report, "pace-fast").cells == ("MRK 1:4",)
    assert finding(report, "pace-slowly") is None


def test_an_aligner_finds_texts_that_are_not_what_is_said(tmp_path):
    def align(samples, text):
        if "3" in text:
            raise DataError("too short")
        return 0.1 if "2" in text else 0.9

    report = examine(recorded_with(tmp_path, {"a": good(1), "b": good(2), "c": good(3)}), align=align)
    assert finding(report, "mismatch").cells == ("MRK 1:2",)
    assert [each.fit for each in report.examined] == [0.9, 0.1, None]


def test_a_reader_is_asked_which_of_several_texts_each_recording_says(tmp_path):
    asked = []

    def compare(samples, texts):
        asked.append(list(texts))
        return [-20.0 * (1 + number) for number, _ in enumerate(texts)]

    sounds = {f"v{number}": good(number) for number in range(8)}
    # Of like length, with letters that no other has: texts that are alike are not compared.
    texts = {
        name: f"{' '.join('abcdefgh'[number] * 5 for _ in range(4))} {name}"
        for number, name in enumerate(sounds)
    }
    report = examine(recorded_with(tmp_path, sounds, texts), compare=compare)
    assert {tuple(sorted(each)) for each in asked} == {tuple(sorted(texts.values()))}
    assert all(each.likelihoods[each.key] > -1 for each in report.examined)
    assert not {"mismatch", "exchanged", "poor-reader"} & {found.kind for found in report.findings}


def test_letters_that_a_model_would_lose_are_listed(sample_report, tmp_path):
    report = examine(
        recorded_with(tmp_path, {"a": good(1)}, {"a": "Größe"}), lost_letters=lambda text: set(text) & {"ö"}
    )
    assert report.lost_letters == {"ö": 1}
    assert "ö (1)" in finding(report, "letters").sentence


def test_nothing_usable_is_the_only_thing_that_is_refused(tmp_path):
    report = examine(FetchedCells((), (SkippedCell("MRK 1:1", "MRK 1:1", "MRK", "no recording"),)))
    with pytest.raises(UserError, match="1 x no recording"):
        require_usable(report)
    assert "No verse" in data_page(report, "sample")


def test_the_pitch_of_a_voice_is_measured():
    t = np.arange(RATE) / RATE
    overtones = (np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 12))
    voice = sum(overtones, np.zeros(RATE)).astype(np.float32)
    assert measure_voice(voice, RATE).pitch_hz == pytest.approx(130, rel=0.02)
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.isnan(measure_voice(noise, RATE).pitch_hz)


def test_one_voice_is_not_taken_for_two(sample_report):
    voices = [
        each.voice
        for each, speaker in zip(sample_report.examined, sample_report.speakers, strict=True)
        if speaker == 0
    ]
    assert len(voices) > 15
    assert set(guess_speakers(voices)) == {0}


class Checker(HTMLParser):
    """Every element is closed, and nothing is loaded from outside."""

    VOID = frozenset({"meta", "rect"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        assert not any(name in {"src", "href", "onclick"} for name, _ in attributes)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_escaped_and_needs_nothing_from_outside(sample_report, tmp_path):
    page = data_page(sample_report, "<Größe & Co>")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.seen
    assert "svg" in checker.seen
    assert "&lt;Größe &amp; Co&gt;" in page
    for expected in ("Minutes by book", "a guess", "not used", "arXiv 2305.13516", "deleted", "merged"):
        assert expected in checker.text
    assert not re.search(r"\bnan\b", page)


def test_a_log_has_the_sum_and_each_finding(sample_report):
    lines = sample_report.lines()
    assert "recordings with text can be used" in lines[0]
    assert any("different voices" in line for line in lines)


def test_what_machines_made_is_counted_in_the_log_and_on_the_page(tmp_path):
    recorded = recorded_with(tmp_path, {"one": good(1)})
    left_out = tuple(
        SkippedCell(f"MRK 2:{verse}", f"MRK 2:{verse}", "MRK", "made by a machine", Why.MACHINE_MADE)
        for verse in (1, 2)
    )
    report = examine(FetchedCells(recorded.cells, left_out))
    assert finding(report, "machine-made").cells == ("MRK 2:1", "MRK 2:2")
    said = "Usable recordings: 1 human, 2 machine-made left out"
    assert any(said in line for line in report.lines())
    assert said in data_page(report, "p")


def test_nothing_is_said_of_machines_where_people_made_everything(sample_report):
    assert finding(sample_report, "machine-made") is None
    assert "machine" not in data_page(sample_report, "p")
