"""Every signal at every stage of a job: nothing is lost, the job ends once, and goes on from where it was."""

import pytest

from tests.support.signalled import SIGNALS, STAGES, STATE, Interrupted, is_as_documented

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_that_is_interrupted_anywhere_loses_nothing(tmp_path, stage, name):
    is_as_documented(Interrupted(tmp_path, stage), name)


def test_workers_that_share_a_volume_go_on_from_it_and_upload_no_state(tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    job = Interrupted(tmp_path, "validating", "--state-dir", volume)
    job.interrupt("SIGTERM")
    assert any(volume.rglob("*.pt")) and "resume" not in job.lease()
    assert not any(path.read_bytes().startswith(STATE) for path in job.repository.rglob("lfs/objects/*/*/*"))
    job.go_on(elsewhere=True)
    assert job.response()["result"]["began_at"] == 2
    assert not any(path.is_file() for path in volume.rglob("*")), "nothing is left of a job that is over"
