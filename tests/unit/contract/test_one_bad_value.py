"""One value of a manifest that cannot be read spoils neither the other entries nor anybody's time."""

from datetime import UTC, date, datetime

import pytest

from codex_worker.contract.manifest import read_manifest
from codex_worker.contract.options import options_of
from codex_worker.contract.yaml_nodes import MOST_LEVELS
from codex_worker.contract.yaml_text import load
from codex_worker.errors import UserError
from codex_worker.job.channel import as_json

BOMB = "\n".join(
    ["    a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"    a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 11)]
)


def manifest_with(line):
    jobs = f"  - job_id: bad\n    job_type: asr\n    {line}\n  - {{job_id: good, job_type: asr}}"
    text = f"version: 1\njobs:\n{jobs}"
    return read_manifest(load(text.encode(), "gpu_jobs/manifest.yaml"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed: " + "9" * 5000, "seed: "),
        ("timeout: 2026-13-45", "timeout: '2026-13-45' is neither a time"),
        ("timeout: 2026-02-30T00:00:00Z", "timeout: "),
        ("timeout: 2026-11-22T25:00:00Z", "timeout: "),
        ("timeout: 2026-11-22T00:00:00+99:99", "timeout: "),
        ("timeout: 12:00", "timeout: '12:00'"),
        ("epochs: 1:30", "epochs: '1:30'"),
        ("epochs: 0x10", "epochs: '0x10'"),
        ("epochs: !days 5 ", None),
        ("epochs: !days many", "epochs: 'many'"),
        ("epochs: !!int many", "epochs: 'many'"),
        ("epochs: !!timestamp many", "epochs: 'many'"),
        ("epochs: =", "epochs: '='"),
        ("epochs: &a [*a]", "epochs: ['(a part of itself)']"),
        ("epochs: " + "[" * 500 + "]" * 500, "epochs: "),
        ("? [a, b]\n    : 1", None),
        ("? {a: b}\n    : 1", None),
        ("<<: 3", None),
        ("<<: {epochs: many}", "epochs: 'many'"),
        ("1: x", None),
        ("null: x", None),
        ("true: x", None),
        ("2026-01-01: x", None),
        (".nan: x", None),
        (f"new:\n{BOMB}", None),
        (f"new: 1\n{BOMB}\n    epochs: *a10", "epochs: "),
        (f"new: 1\n{BOMB}\n    training: {{include_verses: *a10}}", "training.include_verses: "),
        (f"new: 1\n{BOMB}\n    ? *a10\n    : 1", None),
    ],
)
def test_it_is_said_for_its_own_entry_alone(line, said):
    manifest = manifest_with(line)
    assert "good" in manifest.jobs
    entry = manifest.jobs["bad"]
    assert len(str(as_json(entry.config))) < 10_000_000
    if said is None:
        options_of(entry)
        return
    with pytest.raises(UserError) as error:
        options_of(entry)
    assert said in str(error.value) and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("canceled: maybe", "canceled: 'maybe' is neither true nor false"),
        ("canceled: 2", "canceled: 2"),
        ("canceled: []", "canceled: []"),
        ("mode: trian", "mode: "),
        (f"new: 1\n{BOMB}\n    mode: *a10", "mode: "),
        (f"new: 1\n{BOMB}\n    model: {{type: *a10}}", "model.type"),
    ],
)
def test_an_entry_that_is_no_job_is_said_alone(line, said):
    manifest = manifest_with(line)
    assert list(manifest.jobs) == ["good"]
    (bad,) = manifest.bad
    assert bad.job_id == "bad" and said in bad.message and len(bad.message) < 700


@pytest.mark.parametrize("text", ["yes", "'Yes'", "' true '", "on", "1", "'1'", "Y", "TRUE"])
def test_canceled_is_read_as_every_other_yes_or_no(text):
    assert manifest_with(f"canceled: {text}").jobs["bad"].canceled
    (bad,) = manifest_with(f"canceled: {text}\n    mode: trian").bad
    assert bad.canceled


@pytest.mark.parametrize(
    "mode", ["Training-And-Inference", "training and inference", " TRAINING_AND_INFERENCE "]
)
def test_a_mode_is_read_in_any_spelling(mode):
    assert manifest_with(f"mode: '{mode}'").jobs["bad"].mode == "training_and_inference"


@pytest.mark.parametrize("job_id", ["007", "1_000", "0x1F", "0b11", "2026-11-20", "12"])
def test_an_id_that_looks_like_a_number_stays_as_it_is_written(job_id):
    text = f"version: 1\njobs: [{{job_id: {job_id}, job_type: asr}}]"
    assert list(read_manifest(load(text.encode(), "m")).jobs) == [job_id]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("1_000", "1_000"), ("010", "010"), ("5.0", 5.0), ("1.0e-05", 1e-5),
        ("true", True), ("no", False), ("~", None), ("", None), ("2026-11-20", date(2026, 11, 20)),
        ("2026-11-20T01:02:03Z", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)), ("'5'", "5"), ("!!str 5", "5"),
        ("[1, {a: b}]", [1, {"a": "b"}]), ("!!set {a, b}", {"a": None, "b": None}),
        ("[&a {x: 1, y: 2}, {<<: *a, y: 3}]", [{"x": 1, "y": 2}, {"x": 1, "y": 3}]),
        ("[&a {x: 1}, &b {x: 2}, {<<: [*a, *b]}]", [{"x": 1}, {"x": 2}, {"x": 1}]),
    ],
)  # fmt: skip
def test_what_can_be_read_has_its_own_type(text, value):
    found = load(text.encode(), "m")
    assert (found, type(found)) == (value, type(value))


def test_levels_beyond_any_use_are_cut_off():
    value = load(("[" * 500 + "]" * 500).encode(), "m")
    for _ in range(MOST_LEVELS - 1):
        (value,) = value
    assert value == ["(nested too deeply)"]
