"""The sample project in a repository, and the command line on it."""

import pytest

from codex_worker.cli.main import main
from sample.make_codex_project import make_project, make_repository


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("repository"), [])


@pytest.fixture(scope="session")
def working_folder(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("folder") / "project")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Runs `codex-worker`; answers its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("GITLAB_TOKEN", "GITLAB_URL", "WORK_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = main([str(each) for each in arguments])
        printed = capsys.readouterr()
        return int(code), printed.out + printed.err

    return command
