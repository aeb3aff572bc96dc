"""What holds for all tests."""

from collections.abc import Generator

import pytest

from codex_worker import cores

cores.settle()  # before any test imports torch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests of hostile projects log half characters, which the processes that run tests can't send on."""
    report = yield
    report.sections = [(name, text.encode(errors="replace").decode()) for name, text in report.sections]
    return report
