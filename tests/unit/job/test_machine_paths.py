"""What leaves for a project names no folder of the worker's machine."""

from pathlib import Path

import pytest

from codex_worker.job.machine_paths import MachinePaths

PATHS = MachinePaths(
    Path("/srv/work/job_one_1-0a"), {Path("/srv/work"): "(work folder)", Path("/root"): "~", Path("/"): "/"}
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/work/job_one_1-0a", "(job folder)"),
        ("kept in /srv/work/job_one_1-0a.", "kept in (job folder)."),
        ("/srv/work/job_one_1-0a/recordings/.project/a/b.wav is empty", ".project/a/b.wav is empty"),
        ("'/srv/work/job_one_1-0a/files/files/target/GEN.codex'", "'files/target/GEN.codex'"),
        ("/srv/work/job_one_1-0a/fetched/gpu_jobs/m.pt", "gpu_jobs/m.pt"),
        ("/srv/work/job_one_1-0a/training/x", "(job folder)/training/x"),
        ("/srv/work/job_one_1-0ab/x", "(work folder)/job_one_1-0ab/x"),
        ("/srv/work/cache/repositories", "(work folder)/cache/repositories"),
        ("/srv/workshop and /mnt/root/x, a/root", "/srv/workshop and /mnt/root/x, a/root"),
        ("file:///root/.cache/hub", "file://~/.cache/hub"),
        ("/rooted / alone", "/rooted / alone"),
    ],
)
def test_a_folder_of_the_machine_has_a_short_name(text, shown):
    assert PATHS.shortened(text) == shown
    assert PATHS.in_values({"notes": [text, 1, None]}) == {"notes": [shown, 1, None]}
