"""Leaving projects of a server that had no work for long."""

import json

import pytest

from codex_worker.git.credentials import Credentials
from codex_worker.gitlab.client import GitLabClient
from codex_worker.gitlab.leaving import Leaver
from tests.support.clock import FakeClock
from tests.support.gitlab import DEVELOPER, OWNER, GitLabServer

DAY_S = 24 * 3600.0


class Idle:
    """A server with one project, a clock, and the worker's note book."""

    def __init__(self, tmp_path, level: int = DEVELOPER, scopes=("api",), creator: str = "maria") -> None:
        self.server = GitLabServer(tmp_path / "server")
        self.project = self.server.create_project("team/mark", {"worker": level}, creator=creator)
        self.clock = FakeClock()
        self.notes = tmp_path / "projects.json"
        self.token = self.server.create_token("worker", list(scopes))
        self.url = self.server.git_url(self.project)
        self.leaver = self.start()

    def start(self) -> Leaver:
        client = GitLabClient(self.server.url, Credentials(self.token, self.server.url), self.clock)
        return Leaver(client, self.clock, DAY_S, self.notes)

    def poll(self, has_work: bool = False, was_read: bool = True) -> bool:
        """What the worker does at each poll; True where it has left."""
        self.leaver.saw(self.url, has_work=has_work, was_read=was_read)
        self.leaver.keep([self.url])
        return self.leaver.is_due(self.url) and self.leaver.leave(
            self.url, self.project.id, self.project.path
        )

    @property
    def is_member(self) -> bool:
        return self.server.user("worker").id in self.project.members


@pytest.fixture
def make(tmp_path):
    made = []

    def idle(**options) -> Idle:
        made.append(Idle(tmp_path, **options))
        return made[-1]

    yield idle
    for idle_one in made:
        idle_one.server.close()


def test_a_project_without_work_for_a_day_is_left(make, caplog):
    caplog.set_level("INFO")
    idle = make()
    assert not idle.poll(has_work=True)
    idle.clock.advance(DAY_S - 1)
    assert not idle.poll() and idle.server.requests == []
    idle.clock.advance(1)
    assert idle.poll() and not idle.is_member
    assert "Left project team/mark: it has had no work for 24 hours" in caplog.text


def test_the_time_goes_on_from_one_start_of_the_worker_to_the_next(make):
    idle = make()
    idle.poll()
    idle.clock.advance(DAY_S)
    idle.leaver = idle.start()
    assert idle.poll() and not idle.is_member


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"url": 3}', '{"url": ["soon", null]}', "\x00"])
def test_notes_that_cannot_be_read_start_the_time_anew(make, content, caplog):
    idle = make()
    idle.poll()
    idle.notes.write_text(content)
    idle.clock.advance(DAY_S)
    idle.leaver = idle.start()
    assert not idle.poll() and idle.is_member
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("who", [{"level": OWNER}, {"creator": "worker"}])
def test_an_owner_or_creator_stays_and_is_asked_once_only(make, who):
    idle = make(**who)
    idle.poll()
    idle.clock.advance(DAY_S)
    assert not idle.poll() and idle.is_member
    asked = len(idle.server.requests)
    assert not idle.poll() and len(idle.server.requests) == asked
    assert idle.server.requests_to("/members/", "DELETE") == []


def test_without_the_scope_the_worker_says_so_once_and_stays(make, caplog):
    idle = make(scopes=("read_api", "read_repository", "write_repository"))
    idle.poll()
    idle.clock.advance(DAY_S)
    for _ in range(3):
        assert not idle.poll()
    assert idle.is_member
    assert caplog.text.count("takes the scope api") == 1
    assert len(idle.server.requests_to("/members/", "DELETE")) == 1


def test_an_answer_that_was_lost_on_the_way_is_no_failure(make):
    idle = make()
    idle.server.faults.drop("after", "/members/", method="DELETE")
    idle.poll()
    idle.clock.advance(DAY_S)
    assert idle.poll() and not idle.is_member


def test_a_server_in_trouble_is_asked_again_at_a_later_poll(make):
    idle = make()
    idle.poll()
    idle.clock.advance(DAY_S)
    idle.server.faults.answer(500, "/members/", times=4)
    assert not idle.poll()
    assert idle.poll() and not idle.is_member


def test_projects_that_are_not_ours_any_more_are_forgotten(make):
    idle = make()
    idle.poll()
    idle.leaver.keep([])
    assert json.loads(idle.notes.read_text()) == {}
