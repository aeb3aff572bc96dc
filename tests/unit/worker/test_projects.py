"""The address of a project, as people give it: what it names, and what is refused at once."""

import pytest

from codex_worker.errors import UserError
from codex_worker.worker.projects import FixedProjects, job_of, project_at


@pytest.mark.parametrize(
    "address",
    [
        "https://host.example/team/mark",
        "https://host.example/team/mark/",
        "https://host.example/team/mark.git",
        " HTTPS://host.example/team/mark.git\n",
        "https://host.example/team/mark/-/tree/main/files?ref_type=heads",
        "https://host.example/team/mark?tab=readme#top",
    ],
)
def test_a_project_is_named_by_every_address_of_it(address):
    project = project_at(address)
    assert (project.name, project.address) == ("team/mark", "https://host.example/team/mark.git")


def test_one_project_in_two_spellings_is_looked_at_once(tmp_path):
    (tmp_path / "mark.git").mkdir()
    folder = str(tmp_path / "mark.git")
    given = [
        folder,
        f"{folder}/",
        f"{tmp_path}/./mark.git",
        "https://h.example/a/b",
        "https://h.example/a/b.git",
    ]
    assert len(FixedProjects(given).changed()) == 2


@pytest.mark.parametrize(
    "address",
    [
        "", " ", "https://", "https:///team/mark", "https:/host.example/team/mark", "http:host.example/mark",
        "https://host.example", "https://host.example/", "https://host.example/.git",
        "https://host.example:port/a/b", "https://host.example:99999/a/b", "https://[host.example/a/b",
        "https://host.example/a b", "https://evil.example\\@host.example/a/b", "ssh://host.example/a/b.git",
        "git@host.example:a/b.git", "team/mark", "host.example/team/mark", "~nobody-at-all/mark.git", "a\0b",
        "file:///nowhere/mark.git",
    ],
)  # fmt: skip
def test_what_names_no_project_is_refused(address):
    with pytest.raises(UserError) as error:
        project_at(address)
    assert "https://" in str(error.value)
    with pytest.raises(UserError):
        job_of(f"{address}:j1")


@pytest.mark.parametrize("scheme", ["https://", "http://", "ssh://", ""])
@pytest.mark.parametrize("user", ["oauth2:glpat-secret", "glpat-secret"])
def test_a_token_in_an_address_is_refused_and_not_shown(scheme, user):
    for text in (f"{scheme}{user}@host.example/a/b", f"{scheme}{user}@host.example/a/b:j1"):
        for read in (project_at, job_of):
            with pytest.raises(UserError) as error:
                read(text)
            assert "glpat-secret" not in str(error.value)
