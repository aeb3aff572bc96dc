"""Which manifests tell all that a claim needs to know of the jobs, without a look at the repository."""

import pytest

from codex_worker.contract.limits import MANIFEST_BYTES
from codex_worker.contract.state import State
from codex_worker.worker.glimpse import waiting_jobs
from tests.support.queues import job, manifest


def test_jobs_that_nobody_has_begun_wait():
    views = waiting_jobs(manifest(job("one"), job("two", submitted_at="soon")).decode())
    assert views is not None
    assert [(view.job_id, view.state, view.rests_until) for view in views] == [
        ("one", State.PENDING, None),
        ("two", State.PENDING, None),
    ]
    assert views[0].entry is not None and views[0].entry.submitted_at is not None


@pytest.mark.parametrize(
    "text",
    [
        manifest().decode(),
        manifest(job("one"), job("two", canceled=True)).decode(),
        manifest(job("one"), job("two", mode="sing")).decode(),
        manifest(job("one"), job("../two")).decode(),
        "jobs: [unclosed",
        "version: 9",
        "3",
        "",
        "\ufffd\x00",
        "#" * (MANIFEST_BYTES + 1),
    ],
)
def test_what_has_to_be_written_or_told_takes_a_look(text):
    assert waiting_jobs(text) is None
