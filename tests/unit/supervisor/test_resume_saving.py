"""Saving where a training stands: on this disk, and to a server that may or may not take it."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from codex_worker.contract.records import ResumePointer
from codex_worker.errors import (
    AccessDenied,
    DataError,
    LeaseLost,
    ResourceError,
    ServerUnreachable,
    SystemFault,
)
from codex_worker.supervisor import local_states
from codex_worker.supervisor.local_states import KEPT_JOBS, LocalState, StateNote, is_at_least_as_far
from codex_worker.supervisor.resume_saving import CarryLimits, ResumeSaver, StateOwner
from tests.support.event_clock import ManualClock, until

CODE = "handlers.asr.w2v2bert.training 1"
FIRST, SECOND = "1-aaaaaaaa", "2-bbbbbbbb"


class Server:
    """What is carried to it, in order; `refusal` is raised instead, and uploads wait for `free`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.carried: list[tuple[bytes, float]] = []
        self.asked = 0
        self.forgotten = 0
        self.refusal: Exception | None = None
        self.takes_s = 0.0
        self.free = threading.Event()
        self.free.set()

    def is_asked(self, times: int) -> None:
        until(lambda: self.asked == times)

    def save_resume(self, file: Path, epochs: float) -> None:
        self.asked += 1
        content = file.read_bytes()
        assert self.free.wait(30)
        self.clock.advance(self.takes_s)
        if self.refusal is not None:
            raise self.refusal
        self.carried.append((content, epochs))

    def forget_resume(self) -> None:
        self.forgotten += 1


class Saving:
    """One attempt's saver, and the file that its child writes."""

    def __init__(
        self,
        folder: Path,
        attempt=FIRST,
        earlier=(),
        job="one",
        code=CODE,
        carried=None,
        most=10**9,
        shared=None,
    ):
        self.folder = folder
        self.clock = ManualClock()
        self.server = Server(self.clock)
        self.local = LocalState(folder / "work", "https://server/project", job)
        self.refreshed = 0
        self.saver = ResumeSaver(
            self.local,
            StateOwner(attempt, frozenset(earlier), code, carried),
            CarryLimits(600.0, most),
            self.clock,
            self.server,
            self.refresh,
            shared,
        )

    def refresh(self) -> None:
        self.refreshed += 1

    def write(self, content: bytes, epochs: float = 1.0) -> None:
        """The child replaces its file, as the training loop does, and says so."""
        partial = self.folder / "partial"
        partial.write_bytes(content)
        self.saver.save(partial.replace(self.folder / "resume.pt"), epochs)

    def carried(self, *contents: bytes) -> None:
        until(lambda: [content for content, _ in self.server.carried] == list(contents))
        self.at_rest()

    def newest(self) -> str:
        return "".join(note.oid for note in self.local.found({FIRST, SECOND}, CODE))

    def at_rest(self) -> None:
        until(lambda: self.clock.idle == 1)

    def fetch(self, carried: bytes | None = None) -> bytes | None:
        def fetch_carried():
            return None if carried is None else self.put(carried)

        found = self.saver.fetch(self.folder / "fetched", fetch_carried)
        return None if found is None else found.read_bytes()

    def put(self, content: bytes) -> Path:
        path = self.folder / "from-the-server"
        path.write_bytes(content)
        return path


def finish(saving: Saving, *, is_over: bool = False, is_wanted: bool = True) -> None:
    saving.saver.finish(is_over=is_over, is_wanted=is_wanted, timeout_s=60.0)


def test_the_first_state_is_carried_at_once_and_the_next_after_the_interval(tmp_path):
    saving = Saving(tmp_path)
    saving.write(b"one", 1.0)
    saving.carried(b"one")
    saving.write(b"two", 2.0)
    saving.write(b"three", 3.0)
    saving.at_rest()
    saving.clock.advance(599)
    saving.at_rest()
    assert saving.server.asked == 1
    saving.clock.advance(1)
    saving.carried(b"one", b"three")
    assert saving.server.carried[-1] == (b"three", 3.0)


def test_uploads_that_take_long_come_more_rarely(tmp_path):
    saving = Saving(tmp_path)
    saving.server.takes_s = 300.0
    saving.write(b"one")
    saving.carried(b"one")
    saving.write(b"two")
    saving.at_rest()
    saving.clock.advance(2699)
    saving.at_rest()
    assert saving.server.asked == 1, "an upload of five minutes is a tenth of fifty"
    saving.clock.advance(1)
    saving.carried(b"one", b"two")


def test_the_training_goes_on_while_a_state_is_uploaded_and_the_newest_follows(tmp_path):
    saving = Saving(tmp_path)
    saving.server.free.clear()
    saving.write(b"one")
    until(lambda: saving.server.asked == 1)
    saving.write(b"two")
    saving.write(b"three")
    saving.server.free.set()
    saving.carried(b"one")
    finish(saving)
    assert [content for content, _ in saving.server.carried] == [b"one", b"three"]


@pytest.mark.parametrize(
    "refusal",
    [
        ServerUnreachable("The connection failed."),
        AccessDenied("The token was refused."),
        ResourceError("Its storage is full."),
        DataError("The server says no (422)."),
        SystemFault("The server refuses the upload: HTTP 403."),
        LeaseLost("Another worker holds the lease."),
        OSError(5, "Input/output error"),
        KeyError("a defect of ours"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_a_server_that_takes_no_state_stops_nothing_and_is_asked_again(tmp_path, caplog, refusal):
    saving = Saving(tmp_path)
    saving.server.refusal = refusal
    saving.write(b"one")
    saving.server.is_asked(times=1)
    for times in (2, 3):
        saving.at_rest()
        saving.clock.advance(600)
        saving.server.is_asked(times)
    saving.at_rest()
    if not isinstance(refusal, KeyError):
        assert caplog.text.count("could not be saved on the server") == 1, "once is enough"
        assert saving.refreshed == 3
    saving.server.refusal = None
    saving.clock.advance(600)
    saving.carried(b"one")


def test_a_disk_that_takes_no_state_stops_nothing(tmp_path, caplog):
    saving = Saving(tmp_path)
    (tmp_path / "work").write_text("a file where the folder should be")
    saving.write(b"one")
    saving.write(b"two")
    assert caplog.text.count("could not be saved on this disk") == 1
    finish(saving)


@pytest.mark.parametrize(
    ("is_over", "is_wanted", "carried", "kept"),
    [
        (False, True, [b"one", b"two"], b"two"),
        (False, False, [b"one"], b"two"),
        (True, True, [b"one"], None),
    ],
    ids=["another attempt follows", "somebody else goes on", "the job is over"],
)
def test_the_last_state_is_carried_only_where_an_attempt_may_follow(
    tmp_path, is_over, is_wanted, carried, kept
):
    saving = Saving(tmp_path)
    saving.write(b"one")
    saving.carried(b"one")
    saving.write(b"two")
    until(lambda: saving.newest() == hashlib.sha256(b"two").hexdigest())
    finish(saving, is_over=is_over, is_wanted=is_wanted)
    assert [content for content, _ in saving.server.carried] == carried
    assert Saving(tmp_path, SECOND, [FIRST]).fetch() == kept


def test_leaving_waits_for_no_server_longer_than_there_is_time(tmp_path, caplog):
    saving = Saving(tmp_path)
    saving.server.free.clear()
    saving.write(b"one")
    until(lambda: saving.server.asked == 1)
    leaving = threading.Thread(target=finish, args=(saving,))
    leaving.start()
    until(lambda: saving.clock.idle == 1)
    saving.clock.advance(60)
    leaving.join(30)
    assert not leaving.is_alive() and "no time to carry" in caplog.text
    saving.server.free.set()


def test_a_state_that_arrives_while_an_older_one_is_settled_is_not_lost(tmp_path, monkeypatch):
    local = LocalState(tmp_path / "work", "https://example.org/mark.git", "one")
    older, newer = tmp_path / "older.pt", tmp_path / "newer.pt"
    older.write_bytes(b"older")
    newer.write_bytes(b"newer")
    local.take(older, FIRST, CODE, 1.0)
    link = os.link

    def link_while_another_thread_settles(*arguments, **options):
        link(*arguments, **options)
        local.settle(FIRST, CODE, 1.0)

    monkeypatch.setattr(os, "link", link_while_another_thread_settles)
    local.take(newer, FIRST, CODE, 2.0)
    monkeypatch.undo()
    note = local.settle(FIRST, CODE, 2.0)
    assert note is not None and local.path_of(note).read_bytes() == b"newer"


@pytest.mark.parametrize("is_taken", [False, True], ids=["arrived", "being read for its digest"])
@pytest.mark.parametrize("has_lost_its_power", [False, True])
def test_what_arrived_while_an_older_one_was_uploaded_outlives_a_kill(
    tmp_path, monkeypatch, is_taken, has_lost_its_power
):
    saving = Saving(tmp_path)
    saving.server.free.clear()
    saving.write(b"one", 1.0)
    until(lambda: saving.server.asked == 1)
    saving.write(b"two", 2.0)  # nobody settles it: the thread uploads, and then the worker is killed
    if is_taken:
        (arrived,) = (tmp_path / "work/states").glob("*/arrived.pt")
        arrived.rename(arrived.with_name("taken.pt"))
    if has_lost_its_power:
        monkeypatch.setattr(local_states, "_boot_id", lambda: "another")
    assert Saving(tmp_path, SECOND, [FIRST]).fetch() == (b"one" if has_lost_its_power else b"two")
    saving.server.free.set()


def test_a_state_that_is_too_large_stays_on_this_disk(tmp_path, caplog):
    saving = Saving(tmp_path, most=3)
    saving.write(b"large")
    saving.write(b"larger")
    finish(saving)
    assert saving.server.asked == 0 and caplog.text.count("--resume-max-gib") == 1
    assert Saving(tmp_path, SECOND, [FIRST]).fetch() == b"larger"


def test_a_carried_state_that_is_too_large_is_not_fetched(tmp_path, caplog):
    carried = ResumePointer(oid="0" * 64, size=4, attempt=1, epochs=1.0)
    assert Saving(tmp_path, SECOND, [FIRST], carried=carried, most=3).fetch(b"large") is None
    assert "--resume-max-gib" in caplog.text


@pytest.mark.parametrize(
    ("attempt", "epochs", "far_enough"),
    [
        (None, None, False),  # by a version that did not say
        (1, 0.5, True),
        (1, 9.0, True),  # of the same attempt: this disk had it first
        (2, 0.5, True),
        (3, 0.5, True),  # a later attempt that had to begin anew
        (3, 2.0, True),
        (3, 2.5, False),
        (3, None, True),
    ],
)
def test_of_two_states_the_one_that_is_further_counts(attempt, epochs, far_enough):
    local = StateNote(attempt="2-aaaaaaaa", number=2, code=CODE, epochs=2.0, oid="0" * 64, size=1)
    carried = ResumePointer(oid="1" * 64, size=1, attempt=attempt, epochs=epochs)
    assert is_at_least_as_far(local, carried) is far_enough
    assert is_at_least_as_far(local, None)


@pytest.mark.parametrize(
    "other",
    [
        {"earlier": []},
        {"earlier": ["1-cccccccc"]},
        {"job": "two"},
        {"code": "handlers.asr.w2v2bert.training 2"},
    ],
    ids=["a job that was submitted anew", "another attempt", "another job", "another version"],
)
def test_a_state_of_something_else_is_not_gone_on_from(tmp_path, other):
    saving = Saving(tmp_path)
    saving.write(b"state")
    finish(saving)
    assert Saving(tmp_path, SECOND, [FIRST]).fetch(b"carried") == b"state"
    assert Saving(tmp_path, SECOND, **{"earlier": [FIRST], **other}).fetch(b"carried") == b"carried"


@pytest.mark.parametrize("damage", ["bytes", "length", "gone", "note", "endless note"])
def test_where_this_disks_state_is_damaged_the_carried_one_counts(tmp_path, damage):
    saving = Saving(tmp_path)
    saving.write(b"state")
    finish(saving)
    (state,) = (tmp_path / "work/states").glob("*/*.pt")
    note = state.with_name("newest.json")
    {
        "bytes": lambda: state.write_bytes(b"stale"),
        "length": lambda: state.write_bytes(b"sta"),
        "gone": state.unlink,
        "note": lambda: note.write_text(note.read_text().replace('"epochs":1.0', '"epochs":-1')),
        "endless note": lambda: note.write_bytes(b" " * 20_000_000),
    }[damage]()
    assert Saving(tmp_path, SECOND, [FIRST]).fetch(b"carried") == b"carried"


def test_what_the_child_does_to_its_file_later_does_not_change_what_was_saved(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("somebody else's")
    link = tmp_path / "link.pt"
    link.symlink_to(secret)
    saving = Saving(tmp_path)
    saving.saver.save(link, 1.0)
    finish(saving)
    assert saving.server.asked == 0
    assert Saving(tmp_path, SECOND, [FIRST]).fetch() is None


def test_only_the_last_few_jobs_states_are_kept(tmp_path):
    for number in range(KEPT_JOBS + 3):
        saving = Saving(tmp_path, job=f"job{number}")
        saving.write(b"state")
        finish(saving)
        (folder,) = (tmp_path / "work/states").glob(f"job{number}-*")
        os.utime(folder, (number, number))
    left = {path.name.partition("-")[0] for path in (tmp_path / "work/states").iterdir()}
    assert f"job{KEPT_JOBS + 2}" in left and "job0" not in left and len(left) <= KEPT_JOBS + 1
