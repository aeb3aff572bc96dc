"""How much of a GPU jobs have taken is kept, whatever becomes of the file."""

import json
from dataclasses import asdict, replace

import pytest

from codex_worker.supervisor.gpu_peaks import FILE, KEPT, MOST_KINDS, GpuPeaks, JobKind
from tests.support.nvml import GIB

KIND = JobKind("asr", "training", "w2v2bert", "full", "NVIDIA T4")


@pytest.mark.parametrize(
    ("noted", "known"),
    [
        ([], None),
        ([(0, True)], None),
        ([(3, True)], 3),
        ([(3, True), (5, True), (4, True)], 5),
        ([(3, False)], 3),
        ([(3, True), (1, False)], 3),
        ([(3, True), (9, False)], 9),
        # An old version, or one large job, is forgotten after some more that end well.
        ([(9, True)] + [(3, True)] * (KEPT - 1), 9),
        ([(9, True)] + [(3, True)] * KEPT, 3),
        ([(9, True)] + [(3, False)] * KEPT, 9),
    ],
)
def test_the_most_that_recent_jobs_took_is_known_to_the_next_worker(tmp_path, noted, known):
    peaks = GpuPeaks(tmp_path)
    for peak, is_whole in noted:
        peaks.note(KIND, peak * GIB, is_whole=is_whole)
    expected = None if known is None else known * GIB
    assert peaks.of(KIND) == expected
    assert GpuPeaks(tmp_path).of(KIND) == expected


@pytest.mark.parametrize("key", ["job_type", "mode", "model", "preset", "gpu"])
def test_kinds_are_kept_apart(tmp_path, key):
    peaks = GpuPeaks(tmp_path)
    peaks.note(KIND, GIB, is_whole=True)
    assert peaks.of(replace(KIND, **{key: "another"})) is None


ROW = '{"job_type": "asr", "mode": "m", "model": "w", "preset": "p", "gpu": "g", "peaks": [%s]}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"3",
        b'{"kinds": 3}',
        b'{"kinds": [{"gpu": "x"}]}',
        b"[" * 100_000,
        *(f'{{"kinds": [{ROW % peaks}]}}'.encode() for peaks in ("", "-1", "1e99", '"much"', "null")),
    ],
)
def test_a_file_that_makes_no_sense_is_measured_anew(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    peaks = GpuPeaks(tmp_path)
    assert peaks.of(KIND) is None
    peaks.note(KIND, GIB, is_whole=True)
    assert GpuPeaks(tmp_path).of(KIND) == GIB


def test_the_file_stays_small(tmp_path):
    row = {**asdict(KIND), "peaks": [GIB] * 50}
    rows = [{**row, "gpu": f"card {number}"} for number in range(MOST_KINDS + 20)]
    (tmp_path / FILE).write_text(json.dumps({"kinds": rows}))
    peaks = GpuPeaks(tmp_path)
    for number in range(2 * KEPT):
        peaks.note(replace(KIND, gpu="new"), GIB + number, is_whole=True)
    again = GpuPeaks(tmp_path)
    assert len(again.all()) == MOST_KINDS
    assert again.of(replace(KIND, gpu="new")) == GIB + 2 * KEPT - 1
    found = json.loads((tmp_path / FILE).read_text())["kinds"]
    assert max(len(each["peaks"]) for each in found) == KEPT


def test_a_folder_that_cannot_be_written_ends_no_job(tmp_path):
    peaks = GpuPeaks(tmp_path / "not there")
    peaks.note(KIND, GIB, is_whole=True)
    assert peaks.of(KIND) == GIB
