"""The stand-in answers real clients as GitLab would: python-gitlab, git, GraphQL."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import gitlab
import pytest
import requests
from gql.transport.exceptions import TransportQueryError

from codex_worker.git.credentials import Credentials
from codex_worker.git.lfs.pointer import Pointer
from tests.support.gitlab import DEVELOPER, MAINTAINER, NO_ONE, OWNER, REPORTER, GitLabServer
from tests.support.gitlab.signed_in import signed_in

WORKER_SCOPES = ["read_api", "read_repository", "write_repository"]
SWEEP = """
query($after: String, $first: Int) { projects(membership: true, first: $first, after: $after) {
  pageInfo { endCursor hasNextPage }
  nodes { id fullPath archived repository { rootRef
    blobs(paths: ["gpu_jobs/manifest.yaml"], first: 1) { nodes { oid rawTextBlob } }
    root: tree { lastCommit { sha } trees { nodes { name sha } } }
  } } } queryComplexity { score limit } }
"""


@pytest.fixture
def server(tmp_path):
    with GitLabServer(tmp_path) as server:
        yield server


@pytest.fixture
def client(server):
    return gitlab.Gitlab(server.url, private_token=server.create_token("worker", WORKER_SCOPES))


class Checkout:
    """A person's working copy of a project."""

    def __init__(self, server, project, folder: Path, scopes=("write_repository",), user="worker"):
        self.url = server.git_url(project)
        self.folder = folder
        identity = {
            f"GIT_{role}_{key}": "a@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for key in ("NAME", "EMAIL")
        }
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            **identity,
            **signed_in(server.create_token(user, list(scopes))),
        }
        self.git("init", "-q", "-b", "main", str(folder), inside=False)
        self.git("remote", "add", "origin", self.url)

    def git(self, *arguments, inside=True, check=True):
        command = ["git", *(["-C", str(self.folder)] if inside else []), *arguments]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert not check or result.returncode == 0, result.stderr
        return result

    def commit(self, path, content):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self.git("add", ".")
        self.git("commit", "-qm", f"Write {path}")
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, *arguments, check=True):
        return self.git("push", "origin", *(arguments or ("main",)), check=check)


@pytest.fixture
def project(server):
    return server.create_project("team/mark", {"worker": DEVELOPER})


@pytest.fixture
def checkout(server, project, tmp_path):
    return Checkout(server, project, tmp_path / "checkout")


def test_the_token_and_its_user_are_known(server, client):
    client.auth()
    assert client.user.username == "worker"
    assert client.version()[0].startswith("17.")
    token = client.personal_access_tokens.get("self")
    assert token.scopes == sorted(WORKER_SCOPES)


@pytest.mark.parametrize("spoil", ["unknown", "revoked", "expired"])
def test_a_token_that_is_not_valid_is_401(server, spoil):
    token = server.create_token("worker", ["api"], date(2020, 1, 1) if spoil == "expired" else None)
    server.state.tokens[token].revoked = spoil == "revoked"
    token = "glpat-unknown" if spoil == "unknown" else token
    with pytest.raises(gitlab.GitlabAuthenticationError):
        gitlab.Gitlab(server.url, private_token=token).auth()
    # GitLab's 401 has a GraphQL body here, which the client reads as the error of a query.
    with (
        gitlab.GraphQL(server.url, token=token) as graphql,
        pytest.raises(TransportQueryError, match="Invalid token"),
    ):
        graphql.execute(SWEEP)


def test_only_member_projects_are_listed_and_archived_ones_can_be_left_out(server, client):
    server.create_project("team/mark", {"worker": DEVELOPER})
    server.create_project("team/old", {"worker": DEVELOPER}).archived = True
    server.create_project("team/secret", {"other": DEVELOPER})
    listed = client.projects.list(membership=True, archived=False, simple=True, get_all=True)
    assert [found.path_with_namespace for found in listed] == ["team/mark"]
    assert len(client.projects.list(membership=True, get_all=True)) == 2
    with pytest.raises(gitlab.GitlabGetError, match="404"):
        client.projects.get("team/secret")


@pytest.mark.parametrize("paging", [{}, {"pagination": "keyset", "order_by": "id", "sort": "asc"}])
def test_python_gitlab_walks_through_all_pages(server, client, project, paging):
    for number in range(24):
        server.create_project(f"team/{number}", {"worker": DEVELOPER}, repository=project.repository)
    server.requests.clear()
    listed = client.projects.list(membership=True, per_page=10, get_all=True, **paging)
    assert len({found.id for found in listed}) == 25
    assert len(server.requests) == 3


def test_activity_is_shown_with_the_granularity_of_an_hour(server, client, project, checkout):
    start = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    project.last_activity_at = start
    checkout.commit("a", b"1")
    server.state.clock = lambda: start + timedelta(minutes=59)
    checkout.push()
    assert project.last_activity_at == start
    server.state.clock = lambda: start + timedelta(minutes=61)
    checkout.commit("a", b"2")
    checkout.push()

    def active_after(moment):
        return client.projects.list(membership=True, last_activity_after=moment.isoformat(), get_all=True)

    assert len(active_after(start + timedelta(minutes=60))) == 1
    assert active_after(start + timedelta(minutes=61)) == []


def test_files_and_trees_are_read_over_rest(server, client, project, checkout):
    head = checkout.commit("gpu_jobs/job_1/ä file.txt", b"content\n")
    checkout.push()
    found = client.projects.get("team/mark")
    assert found.default_branch == "main"
    paths = [entry["path"] for entry in found.repository_tree(recursive=True, get_all=True)]
    assert paths == ["gpu_jobs", "gpu_jobs/job_1", "gpu_jobs/job_1/ä file.txt"]
    file = found.files.get("gpu_jobs/job_1/ä file.txt", ref="HEAD")
    assert file.decode() == b"content\n"
    assert file.last_commit_id == head
    assert file.blob_id == checkout.git("hash-object", "gpu_jobs/job_1/ä file.txt").stdout.strip()
    assert found.files.raw("gpu_jobs/job_1/ä file.txt", ref="main") == b"content\n"
    with pytest.raises(gitlab.GitlabGetError, match="404"):
        found.files.get("gpu_jobs/none", ref="HEAD")


def test_a_sweep_reads_many_projects_in_one_query(server, project, checkout):
    checkout.commit("gpu_jobs/manifest.yaml", b"version: 1\n")
    head = checkout.commit("gpu_jobs/job_1/response.yaml", b"state: running\n")
    checkout.push()
    for number in range(5):
        server.create_project(f"team/{number}", {"worker": DEVELOPER}, repository=project.repository)
    server.create_project("team/empty", {"worker": DEVELOPER})
    token = server.create_token("worker", WORKER_SCOPES)
    found, after = [], None
    with gitlab.GraphQL(server.url, token=token) as graphql:
        while True:
            query = SWEEP.replace(
                "$after: String, $first: Int", f'$after: String = "{after or ""}", $first: Int = 4'
            )
            page = graphql.execute(query)["projects"]
            found += page["nodes"]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
    assert len(found) == 7
    by_path = {node["fullPath"]: node["repository"] for node in found}
    assert by_path["team/empty"]["rootRef"] is None
    assert by_path["team/mark"]["blobs"]["nodes"][0]["rawTextBlob"] == "version: 1\n"
    assert by_path["team/mark"]["root"]["lastCommit"]["sha"] == head
    tree = checkout.git("rev-parse", "HEAD:gpu_jobs").stdout.strip()
    assert by_path["team/mark"]["root"]["trees"]["nodes"] == [{"name": "gpu_jobs", "sha": tree}]


def test_a_query_that_is_too_complex_is_refused_and_a_smaller_page_is_not(server):
    token = server.create_token("worker", WORKER_SCOPES)
    server.set_complexity_limit(60)

    def ask(first):
        body = {"query": SWEEP, "variables": {"first": first}}
        return requests.post(f"{server.url}/api/graphql", json=body, headers={"PRIVATE-TOKEN": token}).json()

    assert "exceeds max complexity of 60" in ask(100)["errors"][0]["message"]
    answer = ask(10)["data"]["queryComplexity"]
    assert answer["limit"] == 60
    assert answer["score"] <= 60


def test_leaving_needs_the_api_scope_and_somebody_who_stays(server, client, project):
    worker = server.user("worker")
    with pytest.raises(gitlab.GitlabDeleteError, match="403") as refusal:
        client.projects.get(project.id).members.delete(worker.id)
    assert refusal.value.response_code == 403
    full = gitlab.Gitlab(server.url, private_token=server.create_token("worker", ["api"]))
    assert [
        member.access_level for member in full.projects.get(project.id).members_all.list(get_all=True)
    ] == [30, 50]
    full.projects.get(project.id).members.delete(worker.id)
    assert worker.id not in project.members
    own = server.create_project("worker/own", {"worker": OWNER}, creator="worker")
    with pytest.raises(gitlab.GitlabDeleteError, match="403"):
        full.projects.get(own.id).members.delete(worker.id)


def test_writing_over_rest_needs_the_api_scope(client, project):
    with pytest.raises(gitlab.GitlabCreateError) as refusal:
        client.projects.get(project.id).commits.create(
            {"branch": "main", "commit_message": "x", "actions": []}
        )
    assert refusal.value.response_code == 403


def test_git_pushes_with_options_atomically_to_any_ref_and_clones_without_blobs(project, checkout, tmp_path):
    checkout.commit("large", os.urandom(200_000))
    checkout.push("-o", "ci.skip", "--atomic", "main", "HEAD:refs/gpu-jobs/1")
    assert "refs/gpu-jobs/1" in checkout.git("ls-remote", "origin").stdout
    partial = tmp_path / "partial"
    checkout.git(
        "clone", "-q", "--bare", "--depth=1", "--filter=blob:none", checkout.url, str(partial), inside=False
    )
    listed = subprocess.run(
        ["git", "-C", str(partial), "rev-list", "--objects", "--missing=print", "HEAD"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line for line in listed.stdout.splitlines() if line.startswith("?")]


def test_large_pushes_arrive_whole_though_git_sends_them_chunked(server, checkout):
    checkout.commit("large", os.urandom(3_000_000))
    checkout.push()
    assert any(exchange.chunked for exchange in server.requests_to("git-receive-pack", "POST"))
    checkout.git("fsck")


def test_a_push_is_refused_when_somebody_was_faster(server, project, checkout, tmp_path):
    checkout.commit("a", b"1")
    checkout.push()
    other = Checkout(server, project, tmp_path / "other")
    other.commit("b", b"1")
    assert "rejected" in other.push(check=False).stderr


@pytest.mark.parametrize(
    ("scopes", "level", "archived", "said"),
    [
        (["read_repository"], DEVELOPER, False, "403"),
        (["write_repository"], REPORTER, False, "403"),
        (["write_repository"], DEVELOPER, True, "403"),
        (["write_repository"], 0, False, "not found"),
    ],
)
def test_who_may_not_push_cannot(server, tmp_path, scopes, level, archived, said):
    project = server.create_project("team/mark", {"worker": level})
    project.archived = archived
    checkout = Checkout(server, project, tmp_path / "checkout", scopes)
    checkout.commit("a", b"1")
    assert said in checkout.push(check=False).stderr


def test_protected_branches_are_closed_to_developers(server, client, project, checkout, tmp_path):
    project.protect("main", MAINTAINER)
    project.protect("release/*", NO_ONE)
    checkout.commit("a", b"1")
    assert "not allowed to push code to protected branches" in checkout.push(check=False).stderr
    checkout.push("main:refs/heads/other")
    maintainer = Checkout(server, project, tmp_path / "maintainer", user="creator")
    maintainer.commit("b", b"1")
    maintainer.push()
    maintainer.git("commit", "--amend", "-qm", "Another history")
    assert "not allowed to force push" in maintainer.push("--force", "main", check=False).stderr
    rules = client.projects.get(project.id).protectedbranches.list(get_all=True)
    levels = {rule.name: rule.push_access_levels[0]["access_level"] for rule in rules}
    assert levels == {"main": 40, "release/*": 0}
    assert not client.projects.get(project.id).branches.get("main").can_push


def test_a_project_may_refuse_other_refs_and_atomic_pushes(project, checkout):
    project.branches_and_tags_only = True
    subprocess.run(
        ["git", "-C", str(project.repository), "config", "receive.advertiseAtomic", "false"], check=True
    )
    checkout.commit("a", b"1")
    assert "only push branches and tags" in checkout.push("main:refs/gpu-jobs/1", check=False).stderr
    assert "does not support --atomic" in checkout.push("--atomic", "main", check=False).stderr
    checkout.push()


def test_a_push_whose_pointers_have_no_object_is_refused(server, project, checkout):
    pointer = Pointer("ab" * 32, 5)
    checkout.commit("a.webm", pointer.render())
    assert "LFS objects are missing" in checkout.push(check=False).stderr
    project.lfs_enabled = False
    checkout.push()


def test_an_object_of_another_project_does_not_count(server, project, checkout):
    pointer = Pointer("ab" * 32, 5)
    other = server.create_project("team/luke", {"worker": DEVELOPER})
    link = server.state.link_path(other, pointer.oid)
    link.parent.mkdir(parents=True)
    link.touch()
    checkout.commit("a.webm", pointer.render())
    assert "LFS objects are missing" in checkout.push(check=False).stderr


def test_ten_pushes_at_once_land_one_by_one(server, project, checkout, tmp_path):
    checkout.commit("a", b"1")
    checkout.push()
    others = [Checkout(server, project, tmp_path / f"other-{number}") for number in range(10)]
    for number, other in enumerate(others):
        other.git("fetch", "-q", "origin")
        other.git("reset", "-q", "--hard", "origin/main")
        other.commit(f"by-{number}", b"1")
    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda other: other.push(check=False).returncode, others))
    assert results.count(0) == 1


def test_a_lock_is_had_by_one(server, project):
    url = f"{server.git_url(project)}/info/lfs/locks"
    credentials = Credentials(server.create_token("worker", WORKER_SCOPES), server.url)

    def lock():
        return requests.post(url, json={"path": "gpu_jobs/job_1"}, headers=credentials.headers_for(url))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: lock(), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    number = requests.get(url, headers=credentials.headers_for(url)).json()["locks"][0]["id"]
    assert requests.post(f"{url}/{number}/unlock", json={}, headers=credentials.headers_for(url)).ok
    assert lock().status_code == 201


@pytest.mark.parametrize("says_when", [True, False])
def test_more_requests_than_allowed_are_429(server, client, says_when):
    server.limit_rate(2, window_s=60, path="/api/", says_when=says_when)
    answers = [requests.get(f"{server.url}/api/v4/version", headers=client.headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert ("Retry-After" in answers[2].headers) is says_when


def test_faults_hit_the_request_they_are_meant_for(server, client):
    server.faults.answer(503, "/version", nth=2)
    server.faults.drop("after", "/user")
    client.http_get("/version")
    with pytest.raises(gitlab.GitlabHttpError, match="503"):
        client.http_get("/version")
    client.http_get("/version")
    with pytest.raises(requests.ConnectionError):
        client.auth()
    assert server.faults.injected == {"answer 503": 1, "drop after": 1}


def test_slow_answers_wait_with_the_clock_they_are_given(tmp_path):
    waits: list[float] = []
    with GitLabServer(tmp_path, latency_s=0.05, sleep=waits.append) as server:
        server.faults.slow(30, "/version")
        requests.get(f"{server.url}/api/v4/version")
        requests.get(f"{server.url}/api/v4/user")
    assert waits == [30.05, 0.05]


def test_ten_thousand_projects_stand_over_one_repository(server, client, project):
    for number in range(10_000):
        server.create_project(f"team/{number}", {"worker": DEVELOPER}, repository=project.repository)
    page = client.projects.list(membership=True, per_page=100, page=1)
    assert len(page) == 100
    assert len(list((server.state.folder / "repositories").iterdir())) == 1
