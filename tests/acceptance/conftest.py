"""What acceptance tests share: projects of real speech, and what a worker makes of each."""

import pytest

from sample.real_speech.__main__ import FOLDER
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.make import RealProject, make_real_project
from sample.real_speech.packages import PackagesMissingError
from tests.support.real_speech import WorkedProject, worked_project


@pytest.fixture(scope="session", params=["en", "ru"])
def project(request) -> RealProject:
    """A project of real speech; where its recordings are not to be had, the test is skipped."""
    try:
        return make_real_project(LANGUAGES[request.param], FOLDER)
    except PackagesMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def worked(project, tmp_path_factory) -> WorkedProject:
    """The project after a worker has done a transcriber's job, with every default, and a voice's job."""
    return worked_project(project, tmp_path_factory)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process takes all tests of a language, so that no other waits while it trains."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        language = parameters and parameters.params.get("project")
        if language:
            item.add_marker(pytest.mark.xdist_group(language))
