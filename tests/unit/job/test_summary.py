"""The sentence that a translator reads of a job."""

import pytest

from codex_worker.job.summary import with_saved


@pytest.mark.parametrize(
    ("path", "cells", "said"),
    [
        (None, 0, "It ended."),
        ("gpu_jobs/m.safetensors", 0, "It ended. Saved: the model gpu_jobs/m.safetensors."),
        (None, 1, "It ended. Saved: 1 cell."),
        ("m.safetensors", 5, "It ended. Saved: 5 cells and the model m.safetensors."),
    ],
)
def test_a_job_that_did_not_finish_says_what_is_saved(path, cells, said):
    assert with_saved("It ended.", path, cells) == said
