"""What acceptance tests share: projects of real speech, and a transcriber that has learnt from each."""

import pytest

from sample.real_speech.__main__ import FOLDER
from sample.real_speech.languages import LANGUAGES
from sample.real_speech.make import RealProject, make_real_project
from sample.real_speech.packages import PackagesMissingError
from tests.support.real_speech import LearntProject, learnt_project


def real_project(code: str) -> RealProject:
    """A language's project; where its recordings are not to be had, the test is skipped."""
    try:
        return make_real_project(LANGUAGES[code], FOLDER)
    except PackagesMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=["en", "ru"])
def learnt(request, tmp_path_factory) -> LearntProject:
    """A project after a job of preset tiny with every default, in English and in Russian."""
    return learnt_project(real_project(request.param), tmp_path_factory)
