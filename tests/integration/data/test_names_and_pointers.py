"""Recordings out of real repositories: by any spelling of their names, from pointers in any state."""

import hashlib
import subprocess
import unicodedata
from collections import Counter
from functools import cached_property
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_worker.cli.reading import FolderReader
from codex_worker.clock import SystemClock
from codex_worker.data.faults import Fault
from codex_worker.data.recordings import read_recorded
from codex_worker.doctor.examine import examine
from codex_worker.errors import DataError, UserError
from codex_worker.git.git_transport import GitTransport
from codex_worker.git.lfs.cache import LfsCache
from codex_worker.git.lfs.http import HttpSettings, HttpStore
from codex_worker.git.lfs.pointer import Pointer
from codex_worker.git.lfs.store import FileStore
from codex_worker.git.repository import Repository
from codex_worker.hub.fetch import Hub, hub_settings
from codex_worker.job.api import Absence
from codex_worker.settings import Settings
from codex_worker.supervisor.job_folder import JobFolder
from codex_worker.supervisor.project_access import RepositoryReader
from tests.integration.data.test_requests import Site
from tests.support.gitlab import GitLabServer
from tests.support.notebooks import PATH, cell, notebook, take

POINTERS = ".project/attachments/pointers"
FILES = ".project/attachments/files"
DOCUMENT = "Génesis-(3)"
SENTENCES = sorted((Path(__file__).parents[3] / "sample" / "recordings").iterdir())


def nfc(text):
    return unicodedata.normalize("NFC", text)


def nfd(text):
    return unicodedata.normalize("NFD", text)


def pointer_to(sound):
    return Pointer(hashlib.sha256(sound).hexdigest(), len(sound))


def git(folder, *words):
    identity = ("-c", "user.name=ana", "-c", "user.email=a@example.org", "-c", "core.precomposeUnicode=false")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, stdout=subprocess.DEVNULL)


def commit(folder, files):
    """A working folder with these files in a commit."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a project")
    return folder


def keep(folder, sound):
    """Puts an object beside the repository; answers the pointer's text."""
    pointer = pointer_to(sound)
    object_path = folder / "lfs" / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
    object_path.parent.mkdir(parents=True, exist_ok=True)
    object_path.write_bytes(sound)
    return pointer.render()


class Desk:
    """A bare repository and a reader of its head."""

    def __init__(self, folder, files, sounds=()):
        tree = commit(folder / "tree", files)
        self.bare = folder / "project.git"
        git(folder, "clone", "-q", "--bare", str(tree), str(self.bare))
        for sound in sounds:
            keep(self.bare, sound)
        self.folder = folder

    @cached_property
    def reader(self):
        """Of the head as it is when it is first asked for."""
        transport = GitTransport(
            str(self.bare), self.folder / "cache.git", author="worker", email="worker@example.org"
        )
        return RepositoryReader(
            Repository(transport, SystemClock()).snapshot(),
            FileStore(self.bare),
            LfsCache(self.folder / "lfs", 10**9),
            Hub(hub_settings(Settings(), {})),
            JobFolder(self.folder / "job"),
        )


SPELLINGS = {
    "as it is": f"{DOCUMENT}/a 1.webm",
    "decomposed": nfd(f"{DOCUMENT}/a 1.webm"),
    "in capitals": f"{DOCUMENT}/A 1.WEBM",
    "its folder in capitals": f"{DOCUMENT.upper()}/a 1.webm",
    "coded": "G%C3%A9nesis-%283%29/a%201.webm",
    "coded and decomposed": "Ge%CC%81nesis-(3)/a%201.webm",
    "its slash coded": f"{DOCUMENT}%2Fa 1.webm",
}


@pytest.fixture
def desk(tmp_path):
    files = {
        f"{POINTERS}/{nfc(DOCUMENT)}/a 1.webm": pointer_to(b"sound").render(),
        f"{POINTERS}/{nfd('Hébreux')}/a 1.webm": pointer_to(b"sound").render(),
        f"{POINTERS}/two/É.webm": pointer_to(b"sound").render(),
        f"{POINTERS}/two/é.webm": pointer_to(b"other").render(),
        ".project/attachments/OLD/a.webm": b"an early recording",
    }
    return Desk(tmp_path, files, [b"sound", b"other"])


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_recording_is_found_by_any_spelling_of_its_name(desk, spelling):
    path = f"{POINTERS}/{spelling}"
    fetched = desk.reader.fetch_recordings([path])
    assert fetched.missing == {}
    assert fetched.files[path].read_bytes() == b"sound"


def test_many_spellings_are_found_at_once_beside_what_is_not_there(desk):
    paths = [f"{POINTERS}/{spelling}" for spelling in SPELLINGS.values()]
    others = [f"{POINTERS}/{nfc('Hébreux')}/a 1.webm", ".project/attachments/old/A.webm"]
    fetched = desk.reader.fetch_recordings([*paths, *others, f"{POINTERS}/{DOCUMENT}/gone.webm"])
    assert fetched.files.keys() == {*paths, *others}
    assert list(fetched.absences.values()) == [Absence.NEVER_SENT]


def test_where_two_files_could_be_meant_neither_is_read(desk):
    written = f"{POINTERS}/two/{nfd('É')}.webm"
    fetched = desk.reader.fetch_recordings([written, f"{POINTERS}/two/é.webm"])
    assert fetched.absences == {written: Absence.TWO_ALIKE}
    assert all(f"two/{name}.webm" in fetched.missing[written] for name in "Éé")
    assert fetched.files[f"{POINTERS}/two/é.webm"].read_bytes() == b"other"


NAMES = st.lists(
    st.sampled_from(["é", nfd("é"), "É", "e", "%C3%A9", "%c3%a9", "%41", "a", "A"]), min_size=1, max_size=2
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=NAMES.map("".join), present=st.sets(NAMES.map("".join), max_size=3))
def test_a_folder_of_any_names_gives_the_exact_file_or_the_only_one(tmp_path_factory, written, present):
    folder = tmp_path_factory.mktemp("folder")
    for name in present:
        file = folder / POINTERS / "MRK" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\x01" + name.encode())
    path = f"{POINTERS}/MRK/{written}"
    fetched = FolderReader(folder, LfsCache(folder / "lfs", 10**9)).fetch_recordings([path])
    if written in present:
        assert fetched.files[path].name == written
        return
    alike = {name for name in present if _plain(name) & _plain(written)}
    assert ([file.name for file in fetched.files.values()] == list(alike)) == (len(alike) < 2)
    expected = {0: [Absence.NEVER_SENT], 1: []}.get(len(alike), [Absence.TWO_ALIKE])
    assert list(fetched.absences.values()) == expected


def _plain(name):
    """The names that a name of this test stands for, said in another way than the rule says it."""
    decoded = name.replace("%C3%A9", "é").replace("%c3%a9", "é").replace("%41", "A")
    return {nfc(each).lower() for each in (name, decoded)}


def test_a_translators_folder_may_hold_sound_and_pointer_in_different_forms(tmp_path):
    folder = commit(tmp_path / "tree", {f"{POINTERS}/{nfc('é')}/a.webm": pointer_to(b"sound").render()})
    local = folder / FILES / nfd("é") / "A.webm"
    local.parent.mkdir(parents=True)
    local.write_bytes(b"sound here")
    path = f"{POINTERS}/{nfc('É')}/a.webm"
    fetched = FolderReader(folder, LfsCache(tmp_path / "lfs", 10**9)).fetch_recordings([path])
    assert fetched.files[path] == local


@pytest.mark.parametrize(
    "spoilt", [b"", b"<<<<<<< HEAD\noid sha256:1\n", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_a_spoilt_pointer_in_a_translators_folder_hides_no_whole_one(tmp_path, spoilt):
    folder = commit(tmp_path / "tree", {f"{POINTERS}/MRK/a.webm": pointer_to(b"sound").render()})
    keep(folder / ".git", b"sound")
    local = folder / FILES / "MRK" / "a.webm"
    local.parent.mkdir(parents=True)
    local.write_bytes(spoilt)
    path = f"{POINTERS}/MRK/a.webm"
    fetched = FolderReader(folder, LfsCache(tmp_path / "lfs", 10**9)).fetch_recordings([path])
    assert fetched.files[path].read_bytes() == b"sound"


SOUND = b"OggS of some kind"
PLAIN = pointer_to(SOUND).render()
OTHER = pointer_to(b"another sound").render()
STATES = {
    "whole": (PLAIN, None),
    "byte-order mark": (b"\xef\xbb\xbf" + PLAIN, None),
    "UTF-16": (PLAIN.decode().encode("utf-16"), None),
    "blank line": (b"\n" + PLAIN, None),
    "Windows": (PLAIN.replace(b"\n", b"\r\n"), None),
    "settled": (b"<<<<<<< HEAD\n" + PLAIN + b"=======\n" + PLAIN + b">>>>>>> main\n", None),
    "size wrong": (PLAIN.replace(b"size 17", b"size 12"), Absence.OTHER_ON_SERVER),
    "size wrong, larger": (PLAIN.replace(b"size 17", b"size 1700"), Absence.OTHER_ON_SERVER),
    "not uploaded": (pointer_to(b"elsewhere").render(), Absence.NOT_ON_SERVER),
    "empty": (b"", Absence.NEVER_SENT),
}


@pytest.mark.parametrize("server", ["disk", "GitLab"])
def test_the_state_of_a_pointer_and_of_its_object_is_told_apart(tmp_path, server):
    files = {f"{POINTERS}/MRK/{name}.webm": content for name, (content, _) in STATES.items()}
    if server == "disk":
        fetched = Desk(tmp_path, files, [SOUND]).reader.fetch_recordings(list(files))
        _check_states(fetched)
        return
    with GitLabServer(tmp_path) as gitlab:
        site = Site(gitlab, tmp_path, files)
        site.put_object(SOUND)
        store = HttpStore(  # what came damaged is asked for once more
            gitlab.git_url(site.project),
            site.credentials,
            settings=HttpSettings(tries=2),
            sleep=lambda s: None,
        )
        with JobFolder(tmp_path / "job") as folder:
            reader = RepositoryReader(
                site.head(), store, site.cache, Hub(hub_settings(Settings(), {})), folder
            )
            _check_states(reader.fetch_recordings(list(files)))


def _check_states(fetched):
    for name, (_, absence) in STATES.items():
        path = f"{POINTERS}/MRK/{name}.webm"
        assert fetched.absences.get(path) is absence, f"{name}: {fetched.missing.get(path)}"
        assert (absence is None) == (path in fetched.files)
    assert all(file.read_bytes() == SOUND for file in fetched.files.values())
    wrong = fetched.missing[f"{POINTERS}/MRK/size wrong.webm"]
    assert "not uploaded" not in wrong and "restore the pointer" in wrong


CUT_OFF = SENTENCES[0].read_bytes()
FAULTY: dict[Fault, list[bytes | None]] = {
    Fault.MISSING: [None, b"", b"", pointer_to(b"one").render(), pointer_to(b"two").render()],
    Fault.OTHER_ON_SERVER: [PLAIN.replace(b"size 17", b"size 12")],
    Fault.SPOILT_POINTER: [b"<<<<<<< HEAD\n" + PLAIN + b"=======\n" + OTHER + b">>>>>>> main\n", PLAIN[:70]],
    Fault.NO_SOUND: [b"<html>Sign in</html>", b"a note of Ana's", pointer_to(b"").render()],
    Fault.CUT_OFF: [CUT_OFF[: len(CUT_OFF) // 2]],
}
SENTENCES_OF = {
    Fault.MISSING: "5 recordings are not there and have to be synchronised",
    Fault.OTHER_ON_SERVER: "1 recording is not what its pointer names",
    Fault.SPOILT_POINTER: "2 recordings have damaged LFS pointers",
    Fault.NO_SOUND: "3 recordings are no sound at all",
    Fault.CUT_OFF: "1 recording is cut off",
    Fault.TWO_ALIKE: "1 recording could be either of two files",
}


def test_each_kind_of_fault_has_its_own_line_and_count(tmp_path):
    contents = [content for several in FAULTY.values() for content in several]
    contents += [sentence.read_bytes() for sentence in SENTENCES[1:3]]
    files, cells = {f"{POINTERS}/MRK/{name}.webm": OTHER for name in ("x", "X")}, []
    for verse, name in enumerate([*map(str, range(len(contents))), "%58"], start=1):
        selected = take(name, 1, url=f"{FILES}/MRK/{name}.webm", metadata={})
        cells.append(
            cell(f"MRK 1:{verse}", "kata yang baik", attachments={name: selected}, selectedAudioId=name)
        )
    for number, content in enumerate(contents):
        if content is not None:
            files[f"{POINTERS}/MRK/{number}.webm"] = content
    desk = Desk(tmp_path, {PATH: notebook(*cells), **files}, [SOUND, b""])
    report = examine(read_recorded(desk.reader), workers=1)
    assert len(report.examined) == 2
    assert {kind: len(several) for kind, several in FAULTY.items()} | {Fault.TWO_ALIKE: 1} == dict(
        Counter(entry.fault for entry in report.left_out)
    )
    sentences = {finding.kind: finding.sentence for finding in report.findings}
    for fault, beginning in SENTENCES_OF.items():
        assert sentences[fault.value].startswith(beginning)


CHECKPOINT = "gpu_jobs/job_a/checkpoint/model-1-Ab.safetensors"


@pytest.mark.parametrize(
    "written", [CHECKPOINT, CHECKPOINT.replace("Ab", "aB"), CHECKPOINT.replace("job_a", "job%5Fa")]
)
def test_a_checkpoint_is_found_by_any_spelling_of_its_name(tmp_path, written):
    desk = Desk(tmp_path, {CHECKPOINT: PLAIN}, [SOUND])
    assert desk.reader.fetch_checkpoint(written).read_bytes() == SOUND


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({CHECKPOINT: FAULTY[Fault.SPOILT_POINTER][0]}, "merge conflict"),
        ({CHECKPOINT: PLAIN[:70]}, "damaged LFS pointer"),
        ({CHECKPOINT: pointer_to(b"gone").render()}, "was not uploaded"),
        ({CHECKPOINT: PLAIN.replace(b"size 17", b"size 12")}, "longer than its pointer says"),
        (
            {CHECKPOINT.upper().replace("GPU_JOBS", "gpu_jobs"): PLAIN, CHECKPOINT.lower(): PLAIN},
            "could mean",
        ),
        ({"gpu_jobs/job_a/logs.txt": b"a log"}, "no checkpoint at"),
    ],
)
def test_a_checkpoint_that_cannot_be_had_says_why(tmp_path, files, words):
    with pytest.raises((DataError, UserError), match=words) as caught:
        Desk(tmp_path, files, [SOUND]).reader.fetch_checkpoint(CHECKPOINT)
    assert "record" not in str(caught.value)


@pytest.mark.parametrize(
    "written", ["n" * 300 + ".webm", "%C3%A9" * 150 + ".webm", "a%0A.webm", "%2E%2E%2Fx.webm"]
)
def test_a_name_that_no_file_here_can_have_costs_its_recording_only(tmp_path, written):
    tree = commit(tmp_path / "odd", {f"{POINTERS}/MRK/a.webm": b"sound"})
    blob = (
        subprocess.run(
            ["git", "-C", str(tree), "hash-object", "-w", "--stdin"],
            input=b"sound",
            stdout=subprocess.PIPE,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    names = ["n" * 300 + ".webm", "%C3%A9" * 150 + ".webm", "é" * 150 + ".webm", "a\n.webm"]
    listing = "".join(f"100644 blob {blob}\t{POINTERS}/MRK/{name}\0" for name in names)
    git_with_input = ["git", "-C", str(tree), "update-index", "-z", "--index-info"]
    subprocess.run(git_with_input, input=listing.encode(), check=True)
    git(tree, "commit", "-qm", "odd names")
    desk = Desk(tmp_path, {"x": b"y"})
    subprocess.run(["git", "-C", str(desk.bare), "fetch", "-q", str(tree), "+main:main"], check=True)
    paths = [f"{POINTERS}/MRK/{written}", f"{POINTERS}/MRK/A.webm"]
    fetched = desk.reader.fetch_recordings(paths)
    assert list(fetched.files) == paths[1:]
    assert fetched.absences == {paths[0]: Absence.NEVER_SENT}
