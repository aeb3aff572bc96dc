"""Which project a manifest means, and that none is opened that the operator does not share."""

from typing import cast

import pytest

from codex_worker.errors import AccessDenied, SystemFault, UserError
from codex_worker.git.lfs.store import LfsStore
from codex_worker.worker.shared_projects import SharedProjects

SERVER = "https://gitlab.example.org"
MARK = f"{SERVER}/team/mark"


class Opened:
    """What was opened, and what the server would say."""

    def __init__(self, *shared, numbers=None, error=None):
        self.addresses = []
        self.asked = []
        self.numbers = numbers or {}
        self.error = error
        self.projects = SharedProjects(shared, self.files, self.store, self.address_of)

    def files(self, address):
        self.addresses.append(address)
        if self.error:
            raise self.error

    def store(self, address) -> LfsStore:
        return cast(LfsStore, None)  # nobody fetches anything here

    def address_of(self, number):
        self.asked.append(number)
        if number not in self.numbers:
            raise SystemFault("404")
        return self.numbers[number]


@pytest.mark.parametrize(
    "name", ["team/mark", "Team/Mark", MARK, f"{MARK}.git", f"{MARK}/", " team/mark ", "4711"]
)
def test_a_project_is_meant_by_its_path_its_address_or_its_number(name):
    opened = Opened(MARK, f"{SERVER}/team/luke", numbers={4711: f"{MARK}.git"})
    opened.projects.open(name)
    assert opened.addresses == [f"{MARK}.git"]


def test_a_repository_on_disk_is_meant_by_its_name_or_its_path(tmp_path):
    bare = tmp_path / "mark.git"
    bare.mkdir()
    opened = Opened(str(bare))
    for name in ("mark", "mark.git", str(bare), str(bare).removesuffix(".git")):
        opened.projects.open(name)
    assert opened.addresses == [str(bare)] * 4


@pytest.mark.parametrize(
    "name",
    [
        "team/secret",
        f"{SERVER}/team/secret",
        "mark",
        "team",
        "../team/mark",
        "https://evil.example/team/mark",
        "12",
        "9" * 400,
        "\n",
    ],
)
@pytest.mark.parametrize("shared", [(), (MARK,)], ids=["none shared", "another shared"])
def test_any_other_project_is_refused_with_one_answer_and_nothing_is_opened(name, shared):
    opened = Opened(*shared, numbers={12: f"{SERVER}/team/secret.git"})
    with pytest.raises(UserError, match=r"shares no checkpoints of a project .*--shared-checkpoints"):
        opened.projects.open(name)
    assert opened.addresses == []
    if not shared:
        assert opened.asked == [], "nothing is shared: no need to ask a server"


def test_a_name_that_means_two_projects_is_refused(tmp_path):
    folders = [tmp_path / one / "mark.git" for one in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    opened = Opened(*map(str, folders))
    with pytest.raises(UserError, match="2 projects"):
        opened.projects.open("mark")
    opened.projects.open(str(folders[1]))
    assert opened.addresses == [str(folders[1])]


def test_a_project_that_the_token_cannot_read_is_said():
    opened = Opened(MARK, error=AccessDenied("403 forbidden."))
    with pytest.raises(UserError, match=r"cannot read it \(403 forbidden\)\. Add the worker to its members"):
        opened.projects.open("team/mark")


def test_a_token_in_a_manifest_is_not_repeated():
    with pytest.raises(UserError) as caught:
        Opened().projects.open("https://oauth2:glpat-secret@gitlab.example.org/team/mark")
    assert "glpat" not in str(caught.value)


def test_a_shared_project_that_is_none_is_found_when_the_worker_starts():
    with pytest.raises(UserError, match="no repository at"):
        Opened("/no/such/repository.git")
