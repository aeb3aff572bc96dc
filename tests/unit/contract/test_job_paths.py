"""Paths of checkpoints as people and programs write them."""

import pytest

from codex_worker.contract.paths import plain_job_path

PATH = "gpu_jobs/job_a/checkpoint/model-1-x.safetensors"


@pytest.mark.parametrize(
    "written",
    [
        PATH,
        f" {PATH} ",
        f"./{PATH}",
        f"/{PATH}",
        PATH.replace("/", "\\"),
        "C:\\Users\\Ana\\mark\\" + PATH.replace("/", "\\"),
        f"/home/ana/gpu_jobs/mark/{PATH}",
    ],
)
def test_any_form_of_a_path_leads_to_the_file_of_a_job(written):
    assert plain_job_path(written) == PATH


@pytest.mark.parametrize(
    "written", ["", f"../{PATH}", f"https://example.org/{PATH}", f"x/{PATH}", "/etc/passwd"]
)
def test_a_path_that_is_none_of_this_project_stays_one(written):
    assert plain_job_path(written) == written
