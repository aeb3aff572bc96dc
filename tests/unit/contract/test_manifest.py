"""The manifest as the plugin, other programs and tired people write it."""

from datetime import UTC, datetime

import pytest

from codex_worker.contract import yaml_text
from codex_worker.contract.ids import check_repository_path, job_id_problem, worker_folder
from codex_worker.contract.manifest import read_manifest
from codex_worker.errors import DataError, UserError

PLUGIN = b"""\
version: 1
jobs:
  - job_id: mwp8h7f0_kg5l2mb4d6h
    name: 'Run: #1'
    job_type: tts
    mode: training_and_inference
    submitted_at: '2026-11-20T17:08:58.956Z'
    model:
      type: StableTTS
      base_checkpoint: gpu_jobs/job_x/checkpoint/a.safetensors
    epochs: 250
    training:
      include_verses: [MRK 1:1]
    voice_reference: .project/attachments/pointers/JON/audio-1.webm
    canceled: false
"""


def entries(text: bytes):
    return read_manifest(yaml_text.load(text, "gpu_jobs/manifest.yaml"))


def only(**keys):
    entry = {"job_id": "j1", "job_type": "asr", "mode": "training", "model": {"type": "W2V2BERT"}} | keys
    return read_manifest({"version": 1, "jobs": [entry]})


def test_the_plugins_entry_is_read_and_unknown_keys_are_kept():
    job = entries(PLUGIN.replace(b"canceled: false", b"canceled: false\n    colour: blue")).jobs[
        "mwp8h7f0_kg5l2mb4d6h"
    ]
    assert (job.job_type, job.mode, job.model_type) == ("tts", "training_and_inference", "stabletts")
    assert job.submitted_at == datetime(2026, 11, 20, 17, 8, 58, 956000, tzinfo=UTC)
    assert job.config["colour"] == "blue"
    assert job.config["training"] == {"include_verses": ["MRK 1:1"]}


@pytest.mark.parametrize(
    "written", [b"2026-11-20T17:08:58Z", b"2026-11-20 17:08:58", b"'2026-11-20T18:08:58+01:00'"]
)
def test_a_time_may_be_text_or_a_yaml_timestamp(written):
    job = entries(PLUGIN.replace(b"'2026-11-20T17:08:58.956Z'", written)).jobs["mwp8h7f0_kg5l2mb4d6h"]
    assert job.submitted_at == datetime(2026, 11, 20, 17, 8, 58, tzinfo=UTC)


@pytest.mark.parametrize("written", [None, "soon", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"])
def test_a_time_that_cannot_be_read_counts_as_none(written):
    assert only(submitted_at=written).jobs["j1"].submitted_at is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("StableTTS", "stabletts"),
        ("stable_tts", "stabletts"),
        ("STABLE-TTS", "stabletts"),
        (None, "stabletts"),
    ],
)
def test_the_voice_model_is_known_in_any_spelling(name, model):
    assert only(job_type="TTS", model={"type": name}).jobs["j1"].model_type == model


@pytest.mark.parametrize("name", ["W2V2BERT", "w2v2-bert", "Wav2Vec2-BERT", "wav2vec2bert"])
def test_the_transcriber_is_known_in_any_spelling(name):
    assert only(model={"type": name}).jobs["j1"].model_type == "w2v2bert"


def test_null_sub_objects_and_keys_count_as_absent():
    job = only(training=None, timeout=None, canceled=None, name=None).jobs["j1"]
    assert job.timeout is None
    assert job.canceled is False


def test_an_id_that_yaml_read_as_a_number_is_text_again():
    assert list(entries(b"version: 1\njobs:\n- job_id: 12345\n  job_type: tts\n").jobs) == ["12345"]


@pytest.mark.parametrize(
    "bad",
    [
        {"mode": "dance"},
        {"job_type": "../asr"},
        {"model": {"type": ""}},
        {"model": {"type": "../x"}},
        {"model": {"preset": "huge"}},
        {"model": "W2V2BERT"},
        {"canceled": "perhaps"},
        {"model": ["x"]},
    ],
)
def test_one_bad_entry_spoils_no_other_and_says_why(bad):
    good = {"job_id": "good", "job_type": "tts", "mode": "training"}
    entry = {"job_id": "bad1", "job_type": "asr", "mode": "training"} | bad
    manifest = read_manifest({"version": 1, "jobs": [entry, good]})
    assert list(manifest.jobs) == ["good"]
    assert manifest.bad[0].job_id == "bad1"
    assert "gpu_jobs/manifest.yaml" in manifest.bad[0].message
    assert next(iter(bad)) in manifest.bad[0].message


@pytest.mark.parametrize(
    "job_id", ["../x", "a/b", "a..b", ".hidden", "x.lock", "", "a b", "ü", "x" * 129, "a\nb", "a."]
)
def test_an_id_that_could_leave_its_folder_is_refused(job_id):
    assert job_id_problem(job_id)
    manifest = read_manifest({"version": 1, "jobs": [{"job_id": job_id}]})
    assert manifest.jobs == {}
    assert manifest.bad[0].job_id is None


def test_two_entries_with_one_id_are_one_job_and_any_of_them_cancels():
    twice = [
        {"job_id": "j1", "job_type": "tts"},
        {"job_id": "j1", "job_type": "asr", "canceled": True},
    ]
    job = read_manifest({"version": 1, "jobs": twice}).jobs["j1"]
    assert (job.job_type, job.canceled) == ("tts", True)


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, {"version": 2, "jobs": []}, {"version": 1, "jobs": "x"}]
)
def test_a_manifest_without_jobs_to_read_is_refused_with_a_sentence(value):
    with pytest.raises(UserError, match="manifest"):
        read_manifest(value)


def test_an_empty_list_of_jobs_is_fine():
    assert read_manifest({"version": 1, "jobs": []}).jobs == {}
    assert read_manifest({"version": 1, "jobs": None}).jobs == {}


def test_a_timeout_is_a_time_or_so_many_hours_after_the_claim():
    claimed = datetime(2026, 1, 1, tzinfo=UTC)
    assert only(timeout="2026-01-02T00:00:00Z").jobs["j1"].deadline(claimed) == datetime(
        2026, 1, 2, tzinfo=UTC
    )
    assert only(timeout=6).jobs["j1"].deadline(claimed) == datetime(2026, 1, 1, 6, tzinfo=UTC)
    assert only(timeout=None).jobs["j1"].deadline(claimed) is None


@pytest.mark.parametrize(
    "timeout", ["3 hours", -1, 0, True, float("nan"), 1e300, [], "9999-12-31T23:00:00-14:00"]
)
def test_a_timeout_that_cannot_be_read_leaves_a_job_a_job(timeout):
    job = only(timeout=timeout).jobs["j1"]
    assert job.deadline(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"a: [",
        b"\xff\xfe",
        b"a: !!python/object:os.system x",
        b"- &a x\n" + b"- *a\n" * 200,
        b"x" * 6_000_000,
    ],
)
def test_unreadable_hostile_and_huge_yaml_is_refused_with_a_sentence(data):
    with pytest.raises(DataError, match="the file"):
        yaml_text.load(data, "the file")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", ".git/config", "a/.GIT/x", "a/git~1/x", "a\\b", ""]
)
def test_a_path_that_leaves_the_repository_is_refused(path):
    with pytest.raises(UserError):
        check_repository_path(path)


@pytest.mark.parametrize(
    ("worker_id", "folder"),
    [
        ("gpu-1", "gpu-1"),
        ("../../x", "-x"),
        (".hidden", "hidden"),
        ("a b/c", "a-b-c"),
        ("ü" * 100, "-" * 64),
        ("", "worker"),
    ],
)
def test_a_worker_id_is_reduced_to_what_is_safe_in_a_path(worker_id, folder):
    reduced = worker_folder(worker_id)
    assert ".." not in reduced
    assert "/" not in reduced
    assert reduced == folder or reduced.lstrip("-") == folder.lstrip("-")
