"""A sample of the acceptance tests that send every signal at every stage of a job."""

import pytest

from tests.support.signalled import Interrupted, is_as_documented


@pytest.mark.parametrize(("stage", "name"), [("training", "SIGTERM"), ("inference", "SIGKILL")])
def test_a_worker_that_is_interrupted_loses_nothing(tmp_path, stage, name):
    is_as_documented(Interrupted(tmp_path, stage), name)
