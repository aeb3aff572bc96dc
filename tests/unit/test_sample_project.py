"""The sample project is what its README says, and the same on every machine."""

import hashlib
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from codex_worker.codex.choose import Selection, cells_for_training, cells_to_speak, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from sample import make_codex_project, make_recordings
from sample.make_codex_project import SampleProject, make_project, make_repository
from sample.sentences import WORDS, choose

JOB = {
    "job_id": "mjob0001",
    "job_type": "asr",
    "mode": "training",
    "model": {"type": "W2V2BERT"},
    "epochs": 2,
}
SENTENCES = json.loads(make_recordings.SENTENCES.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SampleProject:
    return make_project(tmp_path_factory.mktemp("sample") / "project")


def test_every_voice_says_every_word_about_equally_often():
    said = Counter(
        (word, entry["voice"])
        for entry in SENTENCES
        if entry["split"] == "train"
        for word in entry["text"].split()
    )
    assert set(said) == {(word, voice) for word in WORDS for voice in make_recordings.VOICES}
    assert max(said.values()) - min(said.values()) <= 1


def test_the_unheard_sentences_are_new_ones_of_the_same_words():
    texts = {split: [e["text"] for e in SENTENCES if e["split"] == split] for split in ("train", "unheard")}
    assert len(texts["train"]) == len(set(texts["train"])) == 60
    assert len(texts["unheard"]) == len(set(texts["unheard"])) == 16
    assert not set(texts["train"]) & set(texts["unheard"])
    assert {word for text in texts["unheard"] for word in text.split()} == set(WORDS)
    assert {len(text.split()) for text in texts["train"] + texts["unheard"]} == {3, 4, 5}


def test_the_listed_sentences_are_those_that_the_script_chooses():
    training = choose(60, tuple(make_recordings.VOICES))
    unheard = choose(16, tuple(make_recordings.VOICES), already_chosen=training)
    assert [(" ".join(u.words), u.voice) for u in training + unheard] == [
        (entry["text"], entry["voice"]) for entry in SENTENCES
    ]


def test_the_recordings_are_the_listed_ones_and_small():
    files = {path.name: path for path in make_recordings.RECORDINGS.iterdir()}
    assert set(files) == {entry["file"] for entry in SENTENCES}
    assert sum(path.stat().st_size for path in files.values()) < 400_000


@pytest.mark.parametrize("entry", SENTENCES[::15], ids=lambda entry: entry["file"])
def test_a_recording_is_opus_of_the_listed_length_with_a_voice_in_it(entry):
    av = pytest.importorskip("av")
    with av.open(str(make_recordings.RECORDINGS / entry["file"])) as container:
        (stream,) = container.streams
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.layout.name) in {
            ("opus", "mono"),
            ("libopus", "mono"),
        }
    samples = sum(frame.shape[1] for frame in frames)
    assert samples / stream.rate == pytest.approx(entry["duration_s"], abs=0.03)
    assert max(abs(frame).max() for frame in frames) > 0.1


def test_it_is_the_same_project_every_time(project, tmp_path):
    again = make_project(tmp_path / "again")
    assert _digests(again.folder) == _digests(project.folder)
    assert len(_digests(project.folder)) > 150


def test_every_pointer_names_bytes_that_are_there(project):
    pointers = [path for path in project.folder.rglob("*") if path.is_file() and _is_pointer(path)]
    named = set()
    for path in pointers:
        oid, size = (line.split(" ")[1] for line in path.read_text().splitlines()[1:])
        content = project.large_files[oid.removeprefix("sha256:")]
        assert hashlib.sha256(content).hexdigest() == oid.removeprefix("sha256:")
        assert int(size) == len(content)
        named.add(oid.removeprefix("sha256:"))
    assert named == set(project.large_files)


def test_only_the_recording_that_was_never_sent_is_an_empty_file(project):
    empty = [path for path in project.folder.rglob("*") if path.is_file() and path.stat().st_size == 0]
    assert [path.name for path in empty] == ["audio-mrk-3-9-1767225700000-n0tsentyt.wav"]


def test_every_notebook_is_json_in_the_form_of_the_editor(project):
    notebooks = [*project.folder.rglob("*.codex"), *project.folder.rglob("*.source")]
    assert len(notebooks) == 12
    without_newline = set()
    for path in notebooks:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        assert list(content) == ["cells", "metadata"]
        assert text.rstrip("\n") == json.dumps(content, ensure_ascii=False, indent=2)
        assert not text.endswith("\n\n")
        if not text.endswith("\n"):
            without_newline.add(path.name)
    assert without_newline == {"JAS.codex"}


def test_cell_ids_are_unique_and_every_cell_can_be_read_by_the_plugin(project):
    cells = list(_cells(project))
    ids = [cell["metadata"]["id"] for _, cell in cells]
    assert len(ids) == len(set(ids))
    for _, cell in cells:
        for attachment in cell["metadata"].get("attachments", {}).values():
            assert attachment["url"]


def test_sixty_cells_have_text_and_a_recording_and_sixteen_a_recording_only(project):
    assert len(project.recorded) == 60
    assert len(project.unheard) == 16
    by_id = {cell["metadata"]["id"]: (path, cell) for path, cell in _cells(project)}
    clips = {entry["text"]: entry["file"] for entry in SENTENCES}
    for cell_id, words in (project.recorded | project.unheard).items():
        _, cell = by_id[cell_id]
        content = project.large_files[_selected_oid(project, *by_id[cell_id])]
        assert content == (make_recordings.RECORDINGS / clips[words]).read_bytes()
        if cell_id in project.unheard:
            assert cell["value"] in {"", "<span></span>"}
            assert cell["metadata"]["edits"] == []
    assert by_id["MRK 2:1"][1]["value"] == project.recorded["MRK 2:1"].capitalize() + "."


def test_the_text_of_a_cell_is_its_newest_edit(project):
    for _, cell in _cells(project):
        edits = [e for e in cell["metadata"]["edits"] if e.get("editMap") == ["value"]]
        if edits:
            assert max(edits, key=lambda edit: edit["timestamp"])["value"] == cell["value"]


def test_cells_that_wait_for_a_voice_have_text_and_no_recording(project):
    by_id = {cell["metadata"]["id"]: cell for _, cell in _cells(project)}
    assert len(project.text_only) == 11
    for cell_id in project.text_only:
        assert by_id[cell_id]["value"]
        assert "attachments" not in by_id[cell_id]["metadata"]


def test_the_worker_sees_the_cells_that_the_project_names(project):
    every = Selection()
    learnt, written, spoken = set(), set(), set()
    for path in (project.folder / "files/target").rglob("*.codex"):
        notebook = Notebook.parse(path.read_bytes(), path.name)
        assert notebook.problems == ()
        learnt |= {cell.id for cell in cells_for_training(notebook, every).chosen}
        written |= {cell.id for cell in cells_to_transcribe(notebook, every).chosen}
        spoken |= {cell.id for cell in cells_to_speak(notebook, every).chosen}
    never_sent = {"MRK 3:9"}  # only the server knows that these bytes never arrived
    assert learnt == {*project.recorded, *never_sent}
    assert written == set(project.unheard)
    assert spoken == set(project.text_only)
    assert set(project.unusable) == {"MRK 3:7", *never_sent}


def test_cells_to_leave_alone_are_marked_in_every_way_that_the_editor_knows(project):
    by_id = {cell["metadata"]["id"]: cell["metadata"] for _, cell in _cells(project)}
    marks = Counter(_mark(by_id[cell_id]) for cell_id in project.skipped)
    once = ("paratext", "style", "locked", "deleted", "hidden", "child")
    assert marks == {"milestone": 5, "merged": 11} | dict.fromkeys(once, 1)
    learnt = {*project.recorded, *project.unheard, *project.text_only}
    assert not learnt & set(project.skipped)
    assert {_mark(by_id[cell_id]) for cell_id in learnt} == {None}


def test_several_documents_have_several_recorded_chapters(project):
    chapters: Counter[tuple[str, str]] = Counter()
    for path, cell in _cells(project):
        metadata = cell["metadata"]
        if metadata["id"] in project.recorded:
            references = metadata["data"].get("globalReferences") or [metadata["id"]]
            chapters[path.stem, references[0].split(":")[0]] += 1
    documents = Counter(document for document, _ in chapters)
    assert documents["MRK"] == 3
    assert documents["RUT"] == 4


def test_a_folder_with_files_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        make_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_sample_jobs_are_one_in_each_state(project):
    listed = yaml.safe_load((project.folder / "gpu_jobs/manifest.yaml").read_text())
    states = {}
    for job in listed["jobs"]:
        response = project.folder / f"gpu_jobs/job_{job['job_id']}/response.yaml"
        states[job["job_id"]] = (
            yaml.safe_load(response.read_text())["state"] if response.exists() else "pending"
        )
    assert listed["version"] == 1
    assert sorted(states.values()) == ["canceled", "completed", "failed", "pending", "running"]


def test_the_repository_holds_the_project_and_its_large_files(project, tmp_path):
    bare = make_repository(tmp_path, [JOB])
    assert _git(bare, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert _git(bare, "config", "receive.advertisePushOptions") == "true"
    assert _git(bare, "config", "uploadpack.allowFilter") == "true"
    assert _git(bare, "config", "uploadpack.allowAnySHA1InWant") == "true"
    committed = set(_git(bare, "ls-tree", "-r", "-z", "--name-only", "main").rstrip("\0").split("\0"))
    on_disk = {path.relative_to(project.folder).as_posix() for path in _files(project.folder)}
    assert not [path for path in committed if path.startswith(".project/attachments/files/")]
    assert {p for p in on_disk if p.startswith(("files/", ".project/attachments/pointers/"))} <= committed
    assert not [path for path in committed if path.startswith("gpu_jobs/job_")]
    for path in _files(bare / "lfs" / "objects"):
        assert path.parent.relative_to(bare / "lfs/objects").as_posix() == f"{path.name[:2]}/{path.name[2:4]}"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert len(_files(bare / "lfs" / "objects")) == 60 + 16 + 2


def test_the_repository_asks_for_the_jobs_it_was_given_in_the_plugins_form(tmp_path):
    bare = make_repository(tmp_path, [JOB | {"submitted_at": "2026-01-01T00:00:00.000Z"}])
    assert _git(bare, "show", "main:gpu_jobs/manifest.yaml") == (
        "version: 1\n"
        "jobs:\n"
        "  - job_id: mjob0001\n"
        "    job_type: asr\n"
        "    mode: training\n"
        "    model:\n"
        "      type: W2V2BERT\n"
        "    epochs: 2\n"
        "    submitted_at: '2026-01-01T00:00:00.000Z'"
    )


def test_the_repository_has_the_same_commit_on_every_machine(tmp_path, monkeypatch):
    first = make_repository(tmp_path / "first", [JOB], with_sample_jobs=True)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
    monkeypatch.setenv("TZ", "Asia/Jakarta")
    second = make_repository(tmp_path / "second", [JOB], with_sample_jobs=True)
    assert _git(first, "rev-parse", "main") == _git(second, "rev-parse", "main")
    assert "gpu_jobs/job_mjsample0_done0000000/response.yaml" in _git(
        first, "ls-tree", "-r", "--name-only", "main"
    )


def test_a_repository_is_never_written_over(tmp_path):
    make_repository(tmp_path, [])
    with pytest.raises(FileExistsError, match=make_codex_project.REPOSITORY_NAME):
        make_repository(tmp_path, [])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(folder)
    }


def _is_pointer(path: Path) -> bool:
    return path.read_bytes().startswith(b"version https://git-lfs.github.com/spec/v1\n")


def _cells(project: SampleProject):
    for path in sorted((project.folder / "files/target").rglob("*.codex")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield path, cell


def _selected_oid(project: SampleProject, path: Path, cell: dict) -> str:
    selected = cell["metadata"]["selectedAudioId"]
    url = cell["metadata"]["attachments"][selected]["url"]
    name = url.replace("\\", "/").rsplit("/", maxsplit=1)[-1]
    assert name.startswith(f"{selected}.")
    pointer = project.folder / ".project/attachments/pointers" / path.stem / name
    return pointer.read_text().splitlines()[1].removeprefix("oid sha256:")


def _mark(metadata: dict) -> str | None:
    if metadata["type"] != "text":
        return metadata["type"]
    if metadata.get("isLocked"):
        return "locked"
    if "parentId" in metadata:
        return "child"
    return next((flag for flag in ("deleted", "hidden", "merged") if metadata["data"].get(flag)), None)


def _git(bare: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(bare), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
