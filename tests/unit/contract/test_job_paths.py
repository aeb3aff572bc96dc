"""Paths of checkpoints as people and programs write them."""

import pytest

from codex_worker.contract.paths import plain_job_path, project_and_path

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


@pytest.mark.parametrize(
    ("written", "project"),
    [
        (f"group/sub/mark:{PATH}", "group/sub/mark"),
        (f" 4711:{PATH} ", "4711"),
        (
            f"https://gitlab.example.org:8080/group/mark.git:{PATH}",
            "https://gitlab.example.org:8080/group/mark.git",
        ),
        (f"/srv/mark.git:{PATH}", "/srv/mark.git"),
        ("group/mark:" + PATH.replace("/", "\\"), "group/mark"),
        (PATH, ""),
        ("C:\\Users\\Ana\\mark\\" + PATH.replace("/", "\\"), ""),
    ],
)
def test_a_checkpoint_of_another_project_is_told_from_one_of_this(written, project):
    assert project_and_path(written) == (project, PATH)


@pytest.mark.parametrize(
    "written", ["group/mark:models/x.safetensors", f"X:{PATH}", f":{PATH}", "group/mark:"]
)
def test_what_names_no_job_of_another_project_is_a_path_of_this(written):
    assert project_and_path(written) == ("", plain_job_path(written))
