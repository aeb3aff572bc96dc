"""`codex-worker check`: every line says what is wrong and how to mend it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from codex_worker.cli.main import main
from codex_worker.git.credentials import Credentials
from codex_worker.gitlab.client import GitLabClient
from codex_worker.gitlab.preflight import Level, check_project, check_server, token_findings
from codex_worker.supervisor.machine import git_condition, gpu_condition
from codex_worker.worker import assembly
from tests.support.clock import FakeClock
from tests.support.gitlab import DEVELOPER, GUEST, MAINTAINER, NO_ONE, REPORTER, GitLabServer
from tests.support.jobs import handlers_with
from tests.support.queues import GitProject, job, manifest

SCOPES = ["read_api", "read_repository", "write_repository"]
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
FILES = {"gpu_jobs/manifest.yaml": manifest(job("one"))}


@pytest.fixture
def server(tmp_path):
    with GitLabServer(tmp_path / "server") as server:
        yield server


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return GitProject(FILES, folder)


def client_of(server: GitLabServer, scopes=SCOPES, clock: FakeClock | None = None) -> GitLabClient:
    token = server.create_token("worker", scopes)
    return GitLabClient(server.url, Credentials(token, server.url), clock or FakeClock())


def problems(findings) -> list[str]:
    return [str(finding) for finding in findings if finding.level is Level.PROBLEM]


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        (["api"], []),
        (["read_api", "read_repository", "write_repository"], []),
        (["read_api", "write_repository"], []),
        (["read_api", "read_repository"], ["write_repository"]),
        (["read_api"], ["read_repository", "write_repository"]),
        (["write_repository"], ["read_api"]),
        ([], ["read_api", "read_repository", "write_repository"]),
    ],
)
def test_a_missing_scope_is_named_with_what_it_is_for(scopes, missing):
    found = problems(token_findings({"scopes": scopes}, NOW))
    assert len(found) == len(missing)
    for name, line in zip(missing, found, strict=True):
        assert f"the scope {name} is missing; it is needed to" in line and "Make a new token" in line


@pytest.mark.parametrize(
    ("expires", "level"),
    [
        (None, None),
        ("2027-01-01", Level.OK),
        ("2026-06-10", Level.WARNING),
        ("2026-06-01", Level.PROBLEM),
        ("soon", Level.WARNING),
    ],
)
def test_a_token_that_ends_soon_is_reported_before_it_does(expires, level):
    found = token_findings({"scopes": ["api"], "expires_at": expires}, NOW)[1:]
    assert [finding.level for finding in found] == ([level] if level else [])


def test_a_good_server_and_token_have_no_problem(server):
    clock = FakeClock(datetime.now(UTC).timestamp())
    findings = check_server(client_of(server, clock=clock), clock)
    assert {finding.level for finding in findings} == {Level.OK}
    assert "GitLab 17.5.2-ee" in str(findings[0])
    assert "worker; share projects with this user" in str(findings[-1])


@pytest.mark.parametrize(("ahead_s", "words"), [(600, "ahead of"), (-600, "behind")])
def test_a_wrong_clock_is_reported_with_its_direction(server, ahead_s, words):
    clock = FakeClock(datetime.now(UTC).timestamp() + ahead_s)
    line = next(f for f in check_server(client_of(server, clock=clock), clock) if f.subject == "clock")
    assert line.level is Level.WARNING and words in line.text and "timedatectl" in line.remedy


def test_a_token_for_writing_only_is_told_what_it_lacks(server):
    clock = FakeClock()
    found = problems(check_server(client_of(server, ["write_repository"], clock), clock))
    assert len(found) == 1 and "the scope read_api is missing" in found[0]


@pytest.mark.parametrize(
    ("level", "change", "expected"),
    [
        (DEVELOPER, lambda project: None, None),
        (GUEST, lambda project: None, "Guest there and may not push. Ask a maintainer"),
        (REPORTER, lambda project: None, "Reporter there and may not push. Ask a maintainer"),
        (DEVELOPER, lambda p: p.protect("main"), "the branch main may be pushed to by Maintainers only. Ask"),
        (MAINTAINER, lambda p: p.protect("main"), None),
        (MAINTAINER, lambda p: p.protect("ma*", NO_ONE), "main may be pushed to by nobody. Ask a maintainer"),
        (DEVELOPER, lambda p: setattr(p, "archived", True), "it is archived. Ask an owner"),
        (DEVELOPER, lambda p: setattr(p, "lfs_enabled", False), "Git LFS is switched off"),
    ],
)  # fmt: skip
def test_what_keeps_results_out_of_a_project_is_named(server, repository, level, change, expected):
    project = server.create_project("team/mark", {"worker": level}, repository=repository.bare)
    change(project)
    found = problems(check_project(client_of(server), project.id))
    assert (found == []) if expected is None else (len(found) == 1 and expected in found[0])


def test_a_project_that_is_not_shared_is_a_sentence(server):
    server.create_project("team/theirs")
    assert (
        "Check the name, and add the worker's user"
        in problems(check_project(client_of(server), "team/theirs"))[0]
    )


def test_an_empty_project_is_a_warning(server):
    server.create_project("team/new", {"worker": DEVELOPER})
    assert [finding.level for finding in check_project(client_of(server), "team/new")] == [Level.WARNING]


@pytest.mark.parametrize(
    ("text", "fatal"),
    [(None, True), ("git version 2.29.3", True), ("git version 2.30.0", False), ("git version 3.1.w", False)],
)  # fmt: skip
def test_an_old_git_is_fatal(text, fatal):
    assert git_condition(text).is_fatal is fatal


def test_gpus_are_listed_and_their_absence_is_a_warning_only():
    assert gpu_condition("NVIDIA H200,  143771 MiB, 570.1\n").text == "NVIDIA H200, 143771 MiB, 570.1"
    assert gpu_condition(None).remedy and not gpu_condition("").is_fatal


class TestCommand:
    """The command itself, as an operator runs it."""

    @pytest.fixture(autouse=True)
    def _environment(self, server, tmp_path, monkeypatch):
        self.code = code = handlers_with(tmp_path / "code")
        monkeypatch.setattr(assembly, "handlers_root", lambda: code)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("GITLAB_URL", server.url)
        monkeypatch.setenv("WORK_DIR", str(tmp_path / "work"))
        self.server = server
        self.monkeypatch = monkeypatch

    def check(self, *arguments: str, scopes=SCOPES) -> int:
        self.token = self.server.create_token("worker", scopes, date.today() + timedelta(days=90))
        self.monkeypatch.setenv("GITLAB_TOKEN", self.token)
        return main(["check", *arguments])

    def test_a_fit_worker_gets_a_line_for_everything_and_0(self, repository, capsys):
        self.server.create_project("team/mark", {"worker": DEVELOPER}, repository=repository.bare)
        assert self.check() == 0
        text = capsys.readouterr().out
        lines = ("git: version", "disk:", "GitLab 17", "token: valid until", "Fit for work.")
        project = ("team/mark: Developer, may push", "team/mark: its manifest can be read; jobs: 1")
        for words in lines + project:
            assert words in text
        assert self.token not in text

    def test_a_problem_is_said_and_the_exit_code_is_1(self, repository, capsys):
        project = self.server.create_project("team/mark", {"worker": DEVELOPER}, repository=repository.bare)
        project.protect("main")
        assert self.check(scopes=["read_api", "read_repository"]) == 1
        text = capsys.readouterr().out
        assert "the scope write_repository is missing" in text and "2 problems found." in text

    def test_a_machine_that_cannot_compute_is_a_problem_and_the_exit_code_is_78(self, repository, capsys):
        (self.code / "torch.py").write_text("raise ImportError('no libcudart')")
        self.monkeypatch.delenv("GITLAB_TOKEN", raising=False)
        assert main(["check", "--project", str(repository.bare)]) == 78
        text = capsys.readouterr().out
        assert "problem  computing: torch cannot be loaded: ImportError: no libcudart." in text

    def test_what_stops_only_full_jobs_is_a_warning(self, repository, capsys):
        assert main(["check", "--project", str(repository.bare)]) == 0
        text = capsys.readouterr().out
        assert "warning  computing: there is no GPU" in text and "warning  weights:" in text
        assert main(["check", "--allow-cpu", "--project", str(repository.bare)]) == 0
        assert "ok       computing: no GPU; the processor does all jobs" in capsys.readouterr().out

    def test_a_clock_that_is_far_off_is_a_problem_of_the_machine(self, capsys):
        self.server.shift_clock(-7200)
        assert self.check() == 78
        assert "problem  clock: it is 120 minutes ahead of the server's" in capsys.readouterr().out

    def test_one_project_can_be_named_by_its_address(self, repository, capsys):
        self.server.create_project("team/mark", {"worker": DEVELOPER}, repository=repository.bare)
        self.server.create_project("team/luke", {"worker": GUEST})
        assert self.check("--project", f"{self.server.url}/team/mark") == 0
        assert "team/luke" not in capsys.readouterr().out

    def test_a_repository_on_disk_needs_no_server(self, repository, capsys):
        bad = manifest(job("good"), job("sings", mode="sing"))
        repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": bad}))
        self.monkeypatch.delenv("GITLAB_TOKEN", raising=False)
        assert main(["check", "--project", str(repository.bare)]) == 0
        assert "mode" in capsys.readouterr().out
        assert self.server.requests == []

    def test_a_manifest_that_cannot_be_read_is_a_problem(self, repository, capsys):
        repository.edit(lambda files: files.update({"gpu_jobs/manifest.yaml": b"jobs: [unclosed"}))
        assert main(["check", "--project", str(repository.bare)]) == 1
        assert "gpu_jobs/manifest.yaml" in capsys.readouterr().out

    def test_without_a_token_it_says_where_to_put_one(self, capsys):
        self.monkeypatch.delenv("GITLAB_TOKEN", raising=False)
        assert main(["check"]) == 1
        assert "--env-file or $GITLAB_TOKEN" in capsys.readouterr().out
