"""Every test of the queue runs on the in-memory twin and on real git."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.queues import GitProject, MemoryProject, Project


@pytest.fixture(params=["memory", pytest.param("git", marks=pytest.mark.slow)])
def make_project(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Mapping[str, bytes]], Project]:
    if request.param == "memory":
        return MemoryProject
    return lambda files: GitProject(files, tmp_path)
