"""Every signal at every stage of a job: nothing is lost, the job ends once, and goes on from where it was."""

import pytest

from tests.support.signalled import SIGNALS, STAGES, Interrupted, is_as_documented

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_that_is_interrupted_anywhere_loses_nothing(tmp_path, stage, name):
    is_as_documented(Interrupted(tmp_path, stage), name)
