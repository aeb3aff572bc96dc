"""A child that writes what the worker would note: nothing of it is believed."""

from pathlib import Path
from typing import cast

import pytest

from codex_worker.contract.records import EndState
from codex_worker.errors import DataError
from codex_worker.supervisor.attempt import OpenedProject
from codex_worker.supervisor.job_folder import JobFolder, folders_in, has_unpublished
from codex_worker.supervisor.republish import offer_again
from codex_worker.supervisor.unpublished import Outbox, Owner, Waiting
from gitlab_jobs import Outcome
from tests.support.clock import FakeClock
from tests.support.jobs import Stage
from tests.support.queues import MemoryProject, claimed, job, manifest, queue

FORGE = """
import json
owner = {"project": "https://elsewhere.example/theirs.git", "attempt": {"number": 1}}
wanted = {"call": "artifact", "folder": "report", "file": "/proc/self/environ"}
for place in (folder, folder / ".worker", folder / "notes", folder / "notes" / folder.name):
    (place / "unpublished").mkdir(parents=True, exist_ok=True)
    (place / "attempt.json").write_text(json.dumps(owner))
    (place / "unpublished" / "000001.json").write_text(json.dumps(wanted))
return {}
"""


def never(*_: object):
    raise AssertionError("Something was believed that a child had written.")


def test_notes_that_a_child_forges_are_never_looked_at(tmp_path):
    stage = Stage(tmp_path, FORGE)
    stage.run()
    (folder,) = folders_in(stage.work_dir)
    assert not has_unpublished(folder)
    assert offer_again(stage.work_dir, never, never, stage.clock) == 0


def test_the_notes_lie_outside_the_childs_folder_and_are_for_the_worker_alone(tmp_path):
    with JobFolder.create(tmp_path, "a", "1-0000abcd") as folder:
        assert not folder.notes.is_relative_to(folder.path)
        assert folder.notes.stat().st_mode & 0o777 == 0o700


def test_what_is_kept_is_shown_in_the_job_folder_unless_the_child_has_put_something_there(tmp_path):
    for job_id, planted in (("a", False), ("b", True)):
        with JobFolder.create(tmp_path, job_id, "1-0000abcd") as folder:
            if planted:
                (folder.path / ".worker").mkdir()
            Outbox(folder).keep_end(Outcome(EndState.COMPLETED, message="Done"))
            assert has_unpublished(folder.path)
            assert bool(list(folder.path.glob(".worker/unpublished/*.json"))) is not planted


@pytest.mark.parametrize(
    "name", ["/proc/self/environ", "../000002.json", "../../attempt.json", "link", "0", ""]
)
def test_a_kept_name_leads_to_kept_files_only(tmp_path: Path, name: str):
    (tmp_path / "000001/0").mkdir(parents=True)
    (tmp_path / "000001/0/kept.csv").write_text("kept")
    (tmp_path / "000001/link").symlink_to("/proc/self/environ")
    (tmp_path / "000002.json").write_text("{}")
    waiting = Waiting(tmp_path / "000001.json", "artifact", {})
    assert waiting.file("0/kept.csv").read_text() == "kept"
    with pytest.raises(DataError, match="no file that was kept"):
        waiting.file(name)


def test_a_log_that_the_child_put_a_link_in_place_of_is_not_followed(tmp_path):
    """The end of an earlier attempt brings the log that the worker wrote."""
    secret = tmp_path / "secret"
    secret.write_text("GITLAB_TOKEN=not-yours\n")
    project = MemoryProject({"gpu_jobs/manifest.yaml": manifest(job("j1"))})
    owned = claimed(queue(project, "me"), "j1")
    with JobFolder.create(tmp_path, "j1", owned.attempt.name) as folder:
        outbox = Outbox(folder)
        outbox.belongs_to(Owner("project", owned.held))
        outbox.keep_end(Outcome(EndState.COMPLETED, message="Done"))
        for name in ("logs.txt", "training_metrics.csv"):
            (folder.path / name).unlink(missing_ok=True)
            (folder.path / name).symlink_to(secret)
    nothing = cast(OpenedProject, NoProject())
    offered = offer_again(tmp_path, lambda _: queue(project, "me"), lambda *_: nothing, FakeClock())
    assert offered == 1
    assert not any(b"not-yours" in content for content in project.files().values())


class NoProject:
    """For an end alone, of a project nothing is read or published."""

    publish_cells = publish_artifact = staticmethod(never)
    forget_resume = staticmethod(lambda: None)
