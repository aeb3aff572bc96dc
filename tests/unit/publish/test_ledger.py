"""A page of the ledger: what was written is read again, and a forged line costs only itself."""

import json

import pytest

from codex_worker.codex.attachments import NewRecording
from codex_worker.codex.cell import CellState
from codex_worker.codex.patch import RecordingPatch, TextPatch
from codex_worker.errors import DataError
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.ports import blob_id
from codex_worker.publish.ledger import CellLine, FileLine, cell_line, file_line, read_page
from codex_worker.queue.recording import MAX_PAGE_BYTES, Pages
from tests.support.notebooks import PATH

POINTER = Pointer("a" * 64, 7).render()
FOLDER = "gpu_jobs/job_one"


def state() -> CellState:
    return CellState("", None, "", None, None, False)


def text_patch(cell_id: str = "MRK 1:1", text: str = "kìkà") -> TextPatch:
    return TextPatch(cell_id, state(), text, "ASR model")


def recording_patch(document: str = "MRK") -> RecordingPatch:
    recording = NewRecording(
        "audio-1767225700000-000000001", document, "webm", "TTS", "audio/webm", 7, 48000, 1, 1.0
    )
    return RecordingPatch("MRK 1:1", state(), recording)


def good_lines() -> list[str]:
    return [
        cell_line(PATH, text_patch(), None),
        cell_line(PATH, recording_patch(), POINTER),
        file_line(f"{FOLDER}/checkpoint/voice-1.safetensors", POINTER),
        file_line(f"{FOLDER}/report/data-1.html", b"<p>long</p>" * 100),
    ]


def page_of(*lines: str | bytes) -> bytes:
    return b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)


def changed(line: str, **fields: object) -> str:
    return json.dumps({**json.loads(line), **fields})


def changed_patch(line: str, **fields: object) -> str:
    return changed(line, patch={**json.loads(line)["patch"], **fields})


def changed_recording(**fields: object) -> str:
    line = good_lines()[1]
    return changed_patch(line, recording={**json.loads(line)["patch"]["recording"], **fields})


def file_of(path: str, content: bytes = POINTER) -> str:
    return file_line(path, content)


def test_what_was_written_is_read_again():
    page = read_page("one", page_of(*good_lines()))
    assert page.cells == [CellLine(PATH, text_patch()), CellLine(PATH, recording_patch(), POINTER)]
    long = b"<p>long</p>" * 100
    assert page.files == [
        FileLine(f"{FOLDER}/checkpoint/voice-1.safetensors", blob_id(POINTER), POINTER),
        FileLine(f"{FOLDER}/report/data-1.html", blob_id(long)),
    ]
    assert page.notebooks == {PATH}
    assert page.paths == {recording_patch().recording.pointer_path, *(line.path for line in page.files)}


TEXT, RECORDING, FILE, LONG = good_lines()
FORGED = {
    "no JSON": "{ nothing",
    "no text": b"\xff\xfe",
    "a number": "7",
    "a list": "[]",
    "an empty object": "{}",
    "very deep": "[" * 40_000,
    "deep inside of a line": '{"notebook":' + '{"a":' * 20_000,
    "a huge number": '{"notebook":' + "9" * 10_000 + "}",
    "not a number": changed_recording(duration_s=float("nan")),
    "a notebook that is none": changed(TEXT, notebook="files/target/MRK.txt"),
    "a source text": changed(TEXT, notebook=".project/sourceTexts/MRK.source"),
    "a notebook outside the target": changed(TEXT, notebook="files/source/MRK.codex"),
    "a notebook by way of ..": changed(TEXT, notebook="files/target/../../MRK.codex"),
    "a notebook in .git": changed(TEXT, notebook="files/target/.git/MRK.codex"),
    "a notebook that is a number": changed(TEXT, notebook=5),
    "no patch": changed(TEXT, patch=None),
    "a patch of another kind": changed_patch(TEXT, kind="delete"),
    "a cell that is a list": changed_patch(TEXT, cell_id=["MRK 1:1"]),
    "a text with a pointer": changed(TEXT, pointer=POINTER.decode()),
    "a recording without a pointer": changed(RECORDING, pointer=None),
    "a pointer that is none": changed(RECORDING, pointer="version x"),
    "a pointer that is an object": changed(RECORDING, pointer={}),
    "a pointer with Windows line ends": changed(RECORDING, pointer=POINTER.decode().replace("\n", "\r\n")),
    "a pointer with an extension": changed(
        RECORDING,
        pointer=POINTER.decode().replace("\noid", "\next-0-x sha256:" + "b" * 64 + "\noid"),
    ),
    "a recording's folder by way of ..": changed_recording(document="../../.."),
    "a recording's folder in .git": changed_recording(document=".git"),
    "a recording with a path as id": changed_recording(attachment_id="audio-1767225700000-../../../x"),
    "a recording that is a script": changed_recording(extension="sh"),
    "another job's file": file_of("gpu_jobs/job_two/checkpoint/voice-1.safetensors"),
    "a job whose name begins alike": file_of("gpu_jobs/job_one2/checkpoint/voice-1.safetensors"),
    "another job's file by way of ..": file_of(f"{FOLDER}/checkpoint/../../job_two/checkpoint/a.html"),
    "the manifest": file_of("gpu_jobs/manifest.yaml"),
    "git's settings": file_of(".git/config"),
    "git's settings in the folder": file_of(f"{FOLDER}/checkpoint/.git/config"),
    "a path outside": file_of("../x"),
    "an absolute path": file_of("/etc/passwd"),
    "an attempt": file_of(f"{FOLDER}/workers/w/attempt-2-00000000.yaml"),
    "the response": file_of(f"{FOLDER}/response.yaml"),
    "the curve, which has a way of its own": file_of(f"{FOLDER}/checkpoint/training_metrics.csv"),
    "a folder instead of a file": file_of(f"{FOLDER}/checkpoint"),
    "a file below a file": file_of(f"{FOLDER}/checkpoint/voice-1.safetensors/more.html"),
    "half a character in a path": changed(FILE, file=f"{FOLDER}/checkpoint/\ud800.html"),
    "a content that is not its id's": changed(FILE, content="something else"),
    "an id that is none": changed(LONG, blob="../../../attempt.yaml"),
    "an id that is a list": changed(LONG, blob=[]),
    "an empty file": file_of(f"{FOLDER}/report/a.html", b""),
    "a text with NUL": file_of(f"{FOLDER}/report/a.html", b"a\0b"),
    "a text with a byte order mark": file_of(f"{FOLDER}/report/a.html", "\ufeffa".encode()),
}


@pytest.mark.parametrize("line", FORGED.values(), ids=FORGED.keys())
def test_a_forged_or_damaged_line_costs_only_itself(line):
    page = read_page("one", page_of(TEXT, line, FILE))
    assert page == read_page("one", page_of(TEXT, FILE))


@pytest.mark.parametrize("data", [b"x" * 200_001, b"\n" * 2_001], ids=["bytes", "lines"])
def test_a_page_that_is_longer_than_one_can_be_is_not_read(data):
    with pytest.raises(DataError, match="longer than one can be"):
        read_page("one", data)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\0" * 1000])
def test_a_page_without_lines_holds_nothing(data):
    page = read_page("one", data)
    assert (list(page.cells), list(page.files)) == ([], [])


def test_pages_grow_to_their_limit_and_the_full_ones_stay_as_they_are():
    lines = [cell_line(PATH, text_patch(f"MRK 1:{verse}"), None) for verse in range(1_000)]
    pages = Pages(3)
    for start in range(0, len(lines), 100):
        before = pages.pages
        pages = pages.with_lines(lines[start : start + 100])
        assert tuple(pages.pages[: max(0, len(before) - 1)]) == tuple(before[:-1])
    assert len(pages.pages) > 3
    assert all(len(page) <= MAX_PAGE_BYTES for page in pages.pages)
    read = [line for page in pages.pages for line in read_page("one", page).cells]
    assert [line.patch.cell_id for line in read] == [f"MRK 1:{verse}" for verse in range(1_000)]
    assert list(pages.files()) == [f"published/{3 + place}.jsonl" for place in range(len(pages.pages))]


def test_a_line_is_not_written_twice_into_a_page():
    pages = Pages(1).with_lines(good_lines())
    assert pages.with_lines(good_lines()) == pages
