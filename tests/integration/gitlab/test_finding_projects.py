"""Finding projects with jobs on a server: what is asked, how often, and what counts as news."""

import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from codex_worker.errors import AccessDenied, ServerUnreachable, SystemFault
from codex_worker.git.credentials import Credentials
from codex_worker.gitlab.client import GitLabClient, ScopeMissing, TokenRefused
from codex_worker.gitlab.projects import ProjectFinder
from tests.support.clock import FakeClock
from tests.support.gitlab import DEVELOPER, GitLabServer, Project
from tests.support.queues import GitProject, job, manifest

SCOPES = ["read_api", "read_repository", "write_repository"]
MANIFEST = {"gpu_jobs/manifest.yaml": manifest(job("one"))}


@pytest.fixture
def server(tmp_path):
    with GitLabServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def repositories(tmp_path):
    """`repositories(name, files)` makes a bare repository that people can edit."""

    def make(name: str, files: dict[str, bytes]) -> GitProject:
        folder = tmp_path / name
        folder.mkdir()
        return GitProject(files, folder)

    return make


def share(server: GitLabServer, name: str, repository: GitProject, level: int = DEVELOPER) -> Project:
    return server.create_project(name, {"worker": level}, repository=repository.bare)


def finder_on(
    server: GitLabServer, clock: FakeClock | None = None, token: str | None = None
) -> ProjectFinder:
    clock = clock or FakeClock()
    credentials = Credentials(token or server.create_token("worker", SCOPES), server.url)
    return ProjectFinder(GitLabClient(server.url, credentials, clock), clock)


def names(found) -> list[str]:
    return sorted(project.name for project in found)


def many(server: GitLabServer, count: int, repository: GitProject) -> None:
    for number in range(count):
        server.create_project(f"team/p{number}", {"worker": DEVELOPER}, repository=repository.bare)


def test_a_project_with_jobs_is_found_once_and_again_when_its_jobs_change(server, repositories):
    repository = repositories("mark", MANIFEST)
    project = share(server, "team/mark", repository)
    share(server, "team/empty-of-jobs", repositories("luke", {"README.md": b"x"}))
    finder = finder_on(server)
    found = finder.changed()
    assert [(p.name, p.url, p.project_id) for p in found] == [
        ("team/mark", server.git_url(project), project.id)
    ]
    assert finder.changed() == []
    repository.edit(lambda files: files.update({"gpu_jobs/job_one/response.yaml": b"state: completed\n"}))
    assert names(finder.changed()) == ["team/mark"]
    assert names(finder.members) == ["team/empty-of-jobs", "team/mark"]


def test_a_change_outside_the_jobs_is_no_news(server, repositories):
    repository = repositories("mark", MANIFEST)
    share(server, "team/mark", repository)
    finder = finder_on(server)
    finder.changed()
    repository.edit(lambda files: files.update({"files/target/MRK.codex": b"{}"}))
    assert finder.changed() == []


def test_a_change_on_another_branch_is_no_news(server, repositories):
    repository = repositories("mark", MANIFEST)
    share(server, "team/mark", repository)
    finder = finder_on(server)
    finder.changed()
    work = repository.folder / "person"
    (work / "gpu_jobs" / "manifest.yaml").write_bytes(manifest(job("one"), job("two")))
    identity = ["-c", "user.name=m", "-c", "user.email=m@example.org"]
    subprocess.run(["git", "-C", work, *identity, "commit", "-qam", "a draft"], check=True)
    subprocess.run(["git", "-C", work, "push", "-q", "origin", "HEAD:refs/heads/draft"], check=True)
    assert finder.changed() == []


def test_jobs_that_vanish_are_news(server, repositories):
    repository = repositories("mark", MANIFEST | {"README.md": b"x"})
    share(server, "team/mark", repository)
    finder = finder_on(server)
    finder.changed()
    repository.edit(lambda files: files.pop("gpu_jobs/manifest.yaml"))
    assert names(finder.changed()) == ["team/mark"]


def test_other_peoples_and_archived_projects_are_not_found(server, repositories):
    repository = repositories("mark", MANIFEST)
    share(server, "team/ours", repository)
    server.create_project("team/theirs", {"somebody": DEVELOPER}, repository=repository.bare)
    share(server, "team/archived", repository).archived = True
    assert names(finder_on(server).changed()) == ["team/ours"]


def test_a_project_that_is_shared_later_is_news_and_one_that_is_not_shared_any_more_is_gone(
    server, repositories
):
    repository = repositories("mark", MANIFEST)
    first = share(server, "team/first", repository)
    finder = finder_on(server)
    finder.changed()
    share(server, "team/second", repository)
    first.members.clear()
    assert names(finder.changed()) == ["team/second"]
    assert names(finder.members) == ["team/second"]


def test_a_renamed_project_is_found_under_its_new_name(server, repositories):
    project = share(server, "team/mark", repositories("mark", MANIFEST))
    finder = finder_on(server)
    finder.changed()
    del server.state.by_path[project.path]
    project.path = "team/marc"
    server.state.by_path[project.path] = project
    assert names(finder.changed()) == ["team/marc"]
    assert names(finder.members) == ["team/marc"]


def test_an_empty_repository_is_passed_over(server):
    server.create_project("team/new", {"worker": DEVELOPER})
    finder = finder_on(server)
    assert finder.changed() == [] and names(finder.members) == ["team/new"]


def test_among_very_many_folders_any_commit_is_news(server, repositories):
    files = {f"a{number:03}/x": b"x" for number in range(120)}
    repository = repositories("wide", files | MANIFEST)
    share(server, "team/wide", repository)
    finder = finder_on(server)
    assert names(finder.changed()) == ["team/wide"]
    assert finder.changed() == []
    repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": manifest()}))
    assert names(finder.changed()) == ["team/wide"]


@pytest.mark.parametrize(("projects", "requests"), [(10, 1), (1_000, 11)])
def test_a_poll_of_idle_projects_takes_one_request_for_each_hundred(server, repositories, projects, requests):
    many(server, projects, repositories("mark", MANIFEST))
    finder = finder_on(server)
    assert len(finder.changed()) == projects
    server.requests.clear()
    assert finder.changed() == []
    assert len(server.requests) <= requests


def test_a_poll_of_ten_thousand_projects_takes_a_hundred_requests(server, repositories):
    many(server, 10_000, repositories("quiet", {"README.md": b"nobody asks for jobs here"}))
    finder = finder_on(server)
    assert finder.changed() == [] and len(finder.members) == 10_000
    assert len(server.requests) <= 101


def test_pages_shrink_when_the_server_finds_them_too_much_and_stay_small(server, repositories):
    many(server, 60, repositories("mark", MANIFEST))
    server.set_complexity_limit(30)
    finder = finder_on(server)
    assert len(finder.changed()) == 60
    refused_first = len(server.requests)
    server.requests.clear()
    finder.changed()
    assert len(server.requests_to("/api/graphql")) == len(server.requests) < refused_first


def test_where_graphql_is_refused_projects_are_found_by_rest(server, repositories):
    repository = repositories("mark", MANIFEST)
    share(server, "team/mark", repository)
    share(server, "team/empty-of-jobs", repositories("luke", {"README.md": b"x"}))
    server.create_project("team/new", {"worker": DEVELOPER})
    share(server, "team/archived", repository).archived = True
    server.set_complexity_limit(1)
    finder = finder_on(server)
    assert names(finder.changed()) == ["team/mark"]
    assert names(finder.members) == ["team/empty-of-jobs", "team/mark", "team/new"]
    assert finder.changed() == []
    repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": manifest()}))
    assert names(finder.changed()) == ["team/mark"]


def test_where_there_is_no_graphql_at_all_it_is_not_asked_at_every_poll(server, repositories):
    share(server, "team/mark", repositories("mark", MANIFEST))
    server.faults.answer(404, "/api/graphql", times=None)
    finder = finder_on(server)
    assert names(finder.changed()) == ["team/mark"]
    server.requests.clear()
    finder.changed()
    assert server.requests_to("/api/graphql") == []


def test_by_rest_idle_projects_cost_one_request_for_each_hundred_an_hour_and_one_in_between(
    server, repositories
):
    clock = FakeClock()
    server.state.clock = lambda: datetime.fromtimestamp(clock.time(), UTC)
    many(server, 120, repositories("mark", MANIFEST))
    clock.advance(3 * 3600)
    server.set_complexity_limit(1)
    finder = finder_on(server, clock)
    assert len(finder.changed()) == 120
    server.requests.clear()
    assert finder.changed() == []
    assert len(server.requests) == 1
    clock.advance(3600)
    server.requests.clear()
    assert finder.changed() == []
    assert len(server.requests_to("/api/v4")) == 2


def test_by_rest_a_push_is_seen_although_the_time_of_activity_is_an_hour_old(server, repositories):
    clock = FakeClock()
    server.state.clock = lambda: datetime.fromtimestamp(clock.time(), UTC)
    repository = repositories("mark", MANIFEST)
    project = share(server, "team/mark", repository)
    server.set_complexity_limit(1)
    finder = finder_on(server, clock)
    finder.changed()
    clock.advance(59 * 60)
    repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": manifest()}))
    project.touch(server.state.clock())
    assert datetime.fromtimestamp(clock.time(), UTC) - project.last_activity_at == timedelta(minutes=59)
    assert names(finder.changed()) == ["team/mark"]


def test_by_rest_a_broken_project_hides_no_other(server, repositories):
    broken = share(server, "team/broken", repositories("luke", MANIFEST))
    share(server, "team/mark", repositories("mark", MANIFEST))
    server.set_complexity_limit(1)
    server.faults.answer(500, rf"/projects/{broken.id}/repository/tree", times=8)
    finder = finder_on(server)
    assert names(finder.changed()) == ["team/mark"]
    assert names(finder.changed()) == []


def test_what_may_pass_is_waited_out_as_long_as_the_server_says_but_not_longer_than_a_minute(
    server, repositories
):
    share(server, "team/mark", repositories("mark", MANIFEST))
    server.faults.answer(429, "/api/graphql", headers={"Retry-After": "7"})
    server.faults.answer(503, "/api/graphql", nth=2, headers={"Retry-After": "86400"})
    server.faults.drop("after", "/api/graphql", nth=3)
    clock = FakeClock()
    began = clock.time()
    assert names(finder_on(server, clock).changed()) == ["team/mark"]
    assert 7 + 60 <= clock.time() - began <= 7 + 60 + 60
    assert server.faults.injected.total() == 3


def test_after_an_outage_the_news_is_still_news(server, repositories):
    repository = repositories("mark", MANIFEST)
    share(server, "team/mark", repository)
    finder = finder_on(server)
    finder.changed()
    repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": manifest()}))
    server.faults.answer(502, "/api/", times=4)
    with pytest.raises(ServerUnreachable, match="502"):
        finder.changed()
    assert names(finder.changed()) == ["team/mark"]


def test_a_refused_token_is_a_sentence_that_says_what_to_do(server):
    token = server.create_token("worker", SCOPES)
    server.state.tokens[token].revoked = True
    with pytest.raises(TokenRefused, match=r"expired, revoked or mistyped.*read_api.*--env-file") as caught:
        finder_on(server, token=token).changed()
    assert token not in str(caught.value)


def test_a_token_without_the_scope_is_a_sentence_that_names_it(server):
    with pytest.raises(ScopeMissing, match=r"lacks a scope.*read_api"):
        finder_on(server, token=server.create_token("worker", ["write_repository"])).changed()


def test_a_newer_token_in_the_file_is_used_when_the_old_one_is_refused(server, repositories, tmp_path):
    share(server, "team/mark", repositories("mark", MANIFEST))
    old = server.create_token("worker", SCOPES)
    env_file = tmp_path / "env"
    env_file.write_text(f"GITLAB_TOKEN={server.create_token('worker', SCOPES)}\n")
    clock = FakeClock()
    finder = ProjectFinder(
        GitLabClient(server.url, Credentials(old, server.url, env_file=env_file), clock), clock
    )
    server.state.tokens[old].revoked = True
    assert names(finder.changed()) == ["team/mark"]


def test_the_token_does_not_follow_a_redirect_to_another_host(server):
    with server.object_storage() as elsewhere:
        location = {"Location": f"{elsewhere.url}/api/v4/projects"}
        server.faults.answer(404, "/api/graphql", times=None)
        server.faults.answer(302, "/api/v4/projects", times=None, headers=location)
        with pytest.raises(SystemFault, match=rf"sends us on to {re.escape(elsewhere.url)}.*--gitlab-url"):
            finder_on(server).changed()


def test_a_page_of_somebody_elses_is_not_taken_for_an_answer(server):
    server.faults.answer(200, "/api/graphql", times=None, headers={"Content-Type": "text/html"})
    with pytest.raises((SystemFault, AccessDenied), match="JSON"):
        finder_on(server).changed()
