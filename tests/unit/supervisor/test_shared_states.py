"""States in a folder that several workers share: one goes on from what another left, and none is uploaded."""

import hashlib
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from codex_worker.contract.records import ResumePointer
from codex_worker.supervisor.local_states import LocalState, StateNote
from codex_worker.supervisor.resume_saving import CarryLimits, ResumeSaver, StateOwner
from codex_worker.supervisor.settings import SHARED_EVERY_S
from codex_worker.supervisor.shared_states import KEPT_S, SharedStates
from tests.support.event_clock import ManualClock, until

CODE = "handlers.asr.w2v2bert.training 1"
PROJECT = "https://server/team/mark.git"
FIRST, SECOND, THIRD = "1-aaaaaaaa", "2-bbbbbbbb", "3-cccccccc"


class NoServer:
    """Nothing may be uploaded."""

    def save_resume(self, file: Path, epochs: float) -> None:
        raise AssertionError("a state was uploaded")

    def forget_resume(self) -> None:
        pass


class Attempt:
    """An attempt on a machine of its own, and the volume that all of them see."""

    def __init__(
        self, folder: Path, name: str, earlier=(), *, job="one", project=PROJECT, code=CODE, carried=None
    ) -> None:
        self.machine, self.volume = folder / f"machine-{name}", folder / "volume"
        self.machine.mkdir(exist_ok=True)
        self.volume.mkdir(exist_ok=True)
        self.clock = ManualClock()
        self.shared = SharedStates(self.volume, project, job)
        self.saver = ResumeSaver(
            LocalState(self.machine / "work", project, job),
            StateOwner(name, frozenset(earlier), code, carried),
            CarryLimits(SHARED_EVERY_S, 10**9),
            self.clock,
            NoServer(),
            shared=self.shared,
        )

    def save(self, content: bytes, epochs: float) -> None:
        partial = self.machine / "partial"
        partial.write_bytes(content)
        self.saver.save(partial.replace(self.machine / "resume.pt"), epochs)
        self.at_rest()
        self.clock.advance(SHARED_EVERY_S)
        self.at_rest()

    def at_rest(self) -> None:
        """Until the saver's thread has seen what there is, and waits."""
        until(lambda: not self.saver._wake.is_set() and self.clock.idle == 1)

    def leave(self, *, is_over: bool = False) -> None:
        self.saver.finish(is_over=is_over, is_wanted=True, timeout_s=60.0)
        if is_over:
            self.saver.forget()

    def goes_on_from(self, carried: bytes | None = None) -> bytes | None:
        def fetch_carried() -> Path | None:
            if carried is None:
                return None
            path = self.machine / "carried"
            path.write_bytes(carried)
            return path

        found = self.saver.fetch(self.machine / "fetched", fetch_carried)
        return None if found is None else found.read_bytes()


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "volume").rglob("*") if path.is_file())


def test_another_worker_with_the_same_folder_goes_on(tmp_path):
    first = Attempt(tmp_path, FIRST)
    first.save(b"one", 1.0)
    first.save(b"two", 2.0)
    first.leave()
    assert [path.suffix for path in files_of(tmp_path)] == [".pt", ".json"], "the older state is gone"
    assert Attempt(tmp_path, SECOND, [FIRST]).goes_on_from() == b"two"


@pytest.mark.parametrize(
    "other",
    [
        {"earlier": []},
        {"earlier": ["1-dddddddd"]},
        {"job": "two"},
        {"project": "https://server/team/luke.git"},
        {"code": "handlers.asr.w2v2bert.training 2"},
    ],
    ids=[
        "a job that was submitted anew",
        "another attempt",
        "another job",
        "another project",
        "another version",
    ],
)
def test_a_state_of_something_else_is_not_gone_on_from(tmp_path, other):
    first = Attempt(tmp_path, FIRST)
    first.save(b"state", 1.0)
    first.leave()
    assert Attempt(tmp_path, SECOND, **{"earlier": [FIRST], **other}).goes_on_from(b"carried") == b"carried"


@pytest.mark.parametrize(
    ("saves", "goes_on_from"),
    [
        ([(FIRST, 1.0), (SECOND, 2.0)], (SECOND, 2.0)),
        ([(FIRST, 1.0), (SECOND, 2.0), (FIRST, 3.0)], (FIRST, 3.0)),
        ([(SECOND, 2.0), (FIRST, 1.0)], (SECOND, 2.0)),
        ([(FIRST, 3.0), (SECOND, 1.0)], (FIRST, 3.0)),  # the second had to begin anew
        ([(FIRST, 1.0), (SECOND, 1.0), (FIRST, 1.0)], (SECOND, 1.0)),
    ],
)
def test_two_workers_that_write_at_once_spoil_nothing(tmp_path, saves, goes_on_from):
    """The first one was given up for lost, and wakes up while the second works."""
    workers = {FIRST: Attempt(tmp_path, FIRST), SECOND: Attempt(tmp_path, SECOND, [FIRST])}
    for name, epochs in saves:
        workers[name].save(f"{name} at {epochs}".encode(), epochs)
    for worker in workers.values():
        worker.leave()
    name, epochs = goes_on_from
    third = Attempt(tmp_path, THIRD, [FIRST, SECOND])
    assert third.goes_on_from() == f"{name} at {epochs}".encode()


@pytest.mark.parametrize("damage", ["bytes", "gone", "note", "a folder", "half a copy"])
def test_where_the_furthest_state_is_damaged_the_next_one_counts(tmp_path, damage, caplog):
    second, first = Attempt(tmp_path, SECOND, [FIRST]), Attempt(tmp_path, FIRST)
    second.save(b"good", 2.0)
    first.save(b"further", 3.0)
    for worker in (second, first):
        worker.leave()
    (state,) = (tmp_path / "volume").rglob(f"{FIRST}-*.pt")
    note = state.with_name(f"{FIRST}.json")
    {
        "bytes": lambda: state.write_bytes(b"farther"),
        "gone": state.unlink,
        "note": lambda: note.write_text(note.read_text().replace('"epochs":3.0', '"epochs":"three"')),
        "a folder": lambda: (state.unlink(), state.mkdir()),
        "half a copy": lambda: state.replace(state.with_name(f"partial-{FIRST}")),
    }[damage]()
    assert Attempt(tmp_path, THIRD, [FIRST, SECOND]).goes_on_from() == b"good"
    assert caplog.text


def test_a_state_that_was_carried_further_counts(tmp_path):
    first = Attempt(tmp_path, FIRST)
    first.save(b"shared", 2.0)
    first.leave()
    for epochs, found in ((1.0, b"shared"), (3.0, b"carried")):
        carried = ResumePointer(oid="0" * 64, size=7, attempt=2, epochs=epochs)
        third = Attempt(tmp_path, THIRD, [FIRST, SECOND], carried=carried)
        assert third.goes_on_from(b"carried") == found


def test_nothing_is_left_of_a_job_that_is_over(tmp_path):
    first, second = Attempt(tmp_path, FIRST), Attempt(tmp_path, SECOND, [FIRST])
    first.save(b"one", 2.0)
    second.save(b"two", 1.0)
    first.leave()
    second.leave(is_over=True)
    assert files_of(tmp_path) == []


def test_a_state_that_nobody_came_back_for_is_removed_after_a_month(tmp_path):
    forgotten, recent = Attempt(tmp_path, FIRST, job="old"), Attempt(tmp_path, SECOND, job="new")
    for worker in (forgotten, recent):
        worker.save(b"state", 1.0)
        worker.leave()
    now_s = 2_000_000_000.0
    for worker, age_s in ((forgotten, KEPT_S + 1), (recent, KEPT_S - 1)):
        os.utime(worker.shared._folder, (now_s - age_s, now_s - age_s))
    (tmp_path / "volume/somebody's file").touch()
    Attempt(tmp_path, THIRD).shared.forget_old(now_s)
    assert {path.parent.name for path in files_of(tmp_path)} == {"new", "volume"}


def test_a_volume_that_is_nearly_full_is_left_alone_and_the_training_goes_on(tmp_path, monkeypatch, caplog):
    usage = namedtuple("usage", "total used free")
    first = Attempt(tmp_path, FIRST)
    first.save(b"one", 1.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**9, 10**9))
    first.save(b"two", 2.0)
    first.save(b"three", 3.0)
    monkeypatch.undo()
    assert caplog.text.count("too few for") == 1, "once is enough"
    assert Attempt(tmp_path, SECOND, [FIRST]).goes_on_from() == b"one"
    first.leave()
    assert Attempt(tmp_path, SECOND, [FIRST]).goes_on_from() == b"three"


def test_a_copy_that_breaks_off_leaves_the_state_before_it(tmp_path, monkeypatch):
    first = Attempt(tmp_path, FIRST)
    first.save(b"one", 1.0)
    copyfile = shutil.copyfile

    def break_off(source, target, **options):
        if "volume" in str(target):
            Path(target).write_bytes(b"hal")
            raise OSError(5, "Input/output error")
        return copyfile(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", break_off)
    first.save(b"two", 2.0)
    monkeypatch.undo()
    assert Attempt(tmp_path, SECOND, [FIRST]).goes_on_from() == b"one"
    assert not list((tmp_path / "volume").rglob("partial-*"))


def test_a_note_that_names_another_attempt_is_not_believed(tmp_path):
    first = Attempt(tmp_path, FIRST)
    first.save(b"one", 1.0)
    first.leave()
    (note,) = (tmp_path / "volume").rglob("*.json")
    digest = hashlib.sha256(b"one").hexdigest()
    for name in ("../../../etc/passwd", "9-eeeeeeee"):
        claimed = StateNote(attempt=name, number=9, code=CODE, epochs=9.0, oid=digest, size=3)
        note.write_text(claimed.model_dump_json())
        assert Attempt(tmp_path, SECOND, [FIRST]).goes_on_from() is None
