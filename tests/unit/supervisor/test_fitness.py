"""What follows from what is found of a machine: the probe's answer, the clock, disk, weights."""

import json
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from codex_worker.contract.manifest import JobEntry
from codex_worker.hub.fetch import Hub, HubSettings
from codex_worker.hub.known import WEIGHTS
from codex_worker.supervisor import fitness
from codex_worker.supervisor.fitness import MachineProbe
from codex_worker.supervisor.needs import FullNeeds, needs_of, weights_of
from codex_worker.supervisor.probing import Computing, computing_condition, probe_computing, read_answer
from codex_worker.supervisor.server_date import clock_condition
from codex_worker.supervisor.settings import RuntimeSettings
from codex_worker.supervisor.weights import WeightsAtHand
from tests.support.clock import FakeClock
from tests.support.jobs import ROOT, handlers_with

GPU = {
    "device": "cuda", "name": "NVIDIA H100", "memory_bytes": 80 * 10**9, "capability": "9.0",
    "torch": "2.11", "agrees": True,
}  # fmt: skip
H100 = Computing("cuda", "NVIDIA H100", 80 * 10**9, "9.0", "2.11")
Usage = namedtuple("Usage", "total used free")


def runtime(work_dir: Path, handlers_root: Path) -> RuntimeSettings:
    return RuntimeSettings(work_dir, code_root=ROOT, handlers_root=handlers_root, version="test")


def entry(**keys) -> JobEntry:
    return JobEntry.model_validate({"job_id": "j1", "job_type": "asr", **keys})


@pytest.mark.parametrize(
    ("output", "code", "complaints", "found"),
    [
        (json.dumps(GPU), 0, "", H100),
        ("a library's own line\n" + json.dumps(GPU), 0, "a warning", H100),
        (json.dumps(GPU | {"agrees": False}), 0, "", "NVIDIA H100 multiplies wrongly"),
        (
            json.dumps({"device": "cpu", "error": "torch cannot be loaded: no libcudart"}),
            0,
            "",
            "no libcudart",
        ),
        (json.dumps(GPU), -9, "", "crashed with signal 9"),
        ("", -11, "Fatal error", r"crashed with signal 11 \(Fatal error\)"),
        ("", 1, "Traceback: no driver", r"exit code 1 \(Traceback: no driver\)"),
        ("no JSON", 0, "", "without an answer"),
        ("[1, 2]", 0, "", "without an answer"),
        (json.dumps({"device": "cpu"}), 0, "", "cpu multiplies wrongly"),
    ],
)
def test_what_the_probes_output_says(output, code, complaints, found):
    answer = read_answer(output.encode(), code, complaints)
    if isinstance(found, Computing):
        assert answer == found
    else:
        assert re.search(found, answer.error)


@pytest.mark.parametrize(
    ("found", "driver", "allow_cpu", "is_fatal", "stops_full", "words"),
    [
        (H100, "NVIDIA H100, 80 GB, 570", False, False, False, "NVIDIA H100, 80 GB, capability 9.0"),
        (Computing(torch="2.11"), None, False, False, True, "there is no GPU that torch can use"),
        (Computing(torch="2.11"), " \n", False, False, True, "there is no GPU that torch can use"),
        (
            Computing(torch="2.11"),
            "NVIDIA H100,  80 GB\n",
            False,
            False,
            True,
            "the driver sees NVIDIA H100, 80 GB, but",
        ),
        (Computing(torch="2.11"), None, True, False, False, "the processor does all jobs"),
        (Computing("cuda", error="it cannot compute: no kernel"), "x", True, True, False, "no kernel"),
    ],
)
def test_what_follows_from_the_probe(found, driver, allow_cpu, is_fatal, stops_full, words):
    condition = computing_condition(found, driver, allow_cpu)
    assert (condition.is_fatal, condition.stops_full) == (is_fatal, stops_full)
    assert words in condition.sentence
    assert bool(condition.remedy) is (is_fatal or stops_full)


@pytest.mark.parametrize(
    ("server_s", "words", "is_fatal"),
    [
        (1000.0, "within 1 s", False),
        (1000.0 - 299, "within 299 s", False),
        (1000.0 + 3600, "60 minutes behind", True),
        (1000.0 - 3 * 86400, "4320 minutes ahead of", True),
    ],
)
def test_a_clock_five_minutes_off_is_a_reason_to_do_nothing(server_s, words, is_fatal):
    condition = clock_condition(server_s, 1000.0)
    assert condition is not None and words in condition.text and condition.is_fatal is is_fatal


def test_a_server_that_does_not_tell_its_time_says_nothing_of_the_clock():
    assert clock_condition(None, 1000.0) is None


def test_the_probe_loads_what_a_job_would_load_and_sees_no_secret(tmp_path):
    code = handlers_with(tmp_path / "code")
    (code / "torch.py").write_text(
        "import os; raise ImportError(' '.join(sorted(os.environ)) + os.environ.get('PATH', ''))"
    )
    environment = {"PATH": "/usr/bin:/bin", "GITLAB_TOKEN": "glpat-secret", "LANG": "glpat-secret"}
    found = probe_computing(
        environment, runtime(tmp_path, code), lambda text: text.replace("glpat-secret", "***")
    )
    assert "/usr/bin:/bin" in found.error
    assert "GITLAB_TOKEN" not in found.error and "LANG" not in found.error
    assert not list(tmp_path.glob(".probe-*"))


def test_a_driver_that_hangs_is_not_waited_for(tmp_path):
    code = handlers_with(tmp_path / "code")
    (code / "torch.py").write_text("import threading; threading.Event().wait()")
    found = probe_computing({"PATH": "/usr/bin:/bin"}, runtime(tmp_path, code), str, limit_s=0.5)
    assert "took more than" in found.error


def test_this_machine_computes_with_the_real_torch(tmp_path):
    found = probe_computing({"PATH": "/usr/bin:/bin"}, runtime(tmp_path, ROOT), str)
    assert not found.error and found.torch


@pytest.mark.parametrize(
    ("job_type", "mode"),
    [(kind, mode) for kind in ("asr", "tts") for mode in ("training", "training_and_inference")],
)
def test_the_trainings_of_this_repository_declare_what_they_need(job_type, mode):
    needs = needs_of(ROOT, entry(job_type=job_type, mode=mode))
    assert needs.official_weights and min(needs.memory_gb, needs.disk_gb, needs.model_gb) > 0


@pytest.mark.parametrize("body", ["", "return {}"])
def test_a_handler_that_declares_nothing_needs_nothing(tmp_path, body):
    root = handlers_with(tmp_path, **({"asr_w2v2bert_training": body} if body else {}))
    assert needs_of(root, entry()) == FullNeeds()


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ({"job_type": "asr"}, ("w2v-bert-2.0",)),
        ({"job_type": "asr", "model": {"base_model": "facebook/mms-300m"}}, ("mms-300m",)),
        ({"job_type": "asr", "model": {"base_model": "auto"}}, ("w2v-bert-2.0",)),
        ({"job_type": "asr", "model": {"base_model": "omniASR-CTC-300M-v2"}}, ("omniasr-ctc-300m-v2",)),
        ({"job_type": "asr", "model": {"base_checkpoint": "a/b.safetensors"}}, ()),
        (
            {
                "job_type": "asr",
                "model": {"base_checkpoint": "a/b.safetensors"},
                "training": {"synthetic": "a/voice.safetensors"},
            },
            ("vocos",),
        ),
        ({"job_type": "tts"}, ("stabletts", "vocos")),
        ({"job_type": "tts", "model": {"base_checkpoint": "a/b.safetensors"}}, ("vocos",)),
        ({"job_type": "asr", "epochs": "many"}, ()),
    ],
)
def test_which_official_weights_a_training_starts_from(keys, names):
    assert weights_of(entry(**keys)) == names


@pytest.fixture
def hub(tmp_path):
    return Hub(HubSettings(tmp_path / "hub", offline=True))


def put_weights(hub: Hub, *names: str) -> None:
    for name in names:
        wanted = WEIGHTS[name]
        assert wanted.revision is not None
        revision = "a" * 40 if wanted.revision == "main" else wanted.revision
        folder = hub.settings.cache_folder / f"models--{wanted.repository.replace('/', '--')}"
        for file in wanted.files:
            path = folder / "snapshots" / revision / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")


def test_weights_that_are_not_here_stop_only_the_jobs_that_start_from_them(hub):
    weights = WeightsAtHand(hub, FakeClock())
    put_weights(hub, "stabletts", "vocos")
    assert weights.why_not(entry(job_type="tts")) is None
    reason = weights.why_not(entry(job_type="asr"))
    assert reason and "w2v-bert-2.0" in reason and "HF_HUB_OFFLINE" in reason
    assert weights.why_not(entry(job_type="asr", model={"base_checkpoint": "a.safetensors"})) is None
    assert weights.condition().remedy
    put_weights(hub, "w2v-bert-2.0")
    assert weights.why_not(entry(job_type="asr")) is None and not weights.condition().remedy


def test_a_job_that_names_weights_without_a_known_commit_is_left_with_what_to_do(tmp_path):
    weights = WeightsAtHand(Hub(HubSettings(tmp_path / "hub")), FakeClock())
    reason = weights.why_not(entry(job_type="asr", model={"base_model": "hf-audio/omniasr-ctc-1b-v2"}))
    assert reason and "CODEX_WEIGHTS_FOLDER" in reason and "facebook/w2v-bert-2.0" in reason


def test_weights_in_the_operators_folder_need_no_hub(tmp_path):
    weights = WeightsAtHand(
        Hub(HubSettings(tmp_path / "hub", offline=True, local_folder=tmp_path)), FakeClock()
    )
    assert weights.why_not(entry(job_type="tts"))
    for name in ("checkpoint_0.pt", "vocos.pt"):
        (tmp_path / name).write_bytes(b"x")
    assert weights.why_not(entry(job_type="tts")) is None


def test_a_hub_that_does_not_answer_is_asked_again_only_after_a_while(tmp_path):
    clock = FakeClock()
    weights = WeightsAtHand(Hub(HubSettings(tmp_path, endpoint="http://127.0.0.1:9")), clock)
    reason = weights.why_not(entry())
    assert reason and "http://127.0.0.1:9 does not answer" in reason
    weights._hub = Hub(HubSettings(tmp_path, endpoint="http://127.0.0.1:99999"))  # asking would raise
    assert "does not answer" in str(weights.why_not(entry()))


@pytest.mark.parametrize(
    ("free_gb", "memory_gb", "words"),
    [(100, 64, None), (3, 64, "needs 5 GB of disk, and 3.0 GB"), (100, 2, "needs 4 GB of memory")],
)
def test_a_machine_too_small_for_a_full_job_leaves_it(tmp_path, hub, monkeypatch, free_gb, memory_gb, words):
    put_weights(hub, "stabletts", "vocos")
    code = handlers_with(tmp_path / "code", tts_stabletts_training="return {}")
    handler = code / "handlers/tts/stabletts/training.py"
    handler.write_text('FULL_NEEDS = {"disk_gb": 5, "memory_gb": 4}\n' + handler.read_text())
    probe = MachineProbe(
        runtime(tmp_path, code),
        {"PATH": "/usr/bin:/bin"},
        str,
        WeightsAtHand(hub, FakeClock()),
        allow_cpu=True,
    )
    found = probe()
    assert found.unfit == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free_gb * 10**9))
    monkeypatch.setattr(fitness, "memory_limit", lambda: memory_gb * 10**9)
    reason = found.why_not(entry(job_type="tts"), "full")
    assert (words in str(reason)) if words else reason is None
    assert found.why_not(entry(job_type="tts"), "tiny") is None
