"""`skypilot_worker.yaml` can be launched: the keys are SkyPilot's, and the worker knows its options.

SkyPilot itself is not needed. The accepted keys are those of version 0.14, from its YAML reference
(https://docs.skypilot.co/en/latest/reference/yaml-spec.html) and its JSON schema (sky/utils/schemas.py).
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "skypilot_worker.yaml"

TASK_KEYS = {
    *(
        "name",
        "workdir",
        "num_nodes",
        "resources",
        "envs",
        "secrets",
        "file_mounts",
        "volumes",
        "setup",
        "run",
    ),
    *("config", "service", "pool"),
}
CANDIDATE_KEYS = {
    *("infra", "cloud", "region", "zone", "accelerators", "accelerator_args", "cpus", "memory"),
    *("instance_type", "use_spot", "disk_size", "disk_tier", "network_tier", "image_id", "ports", "labels"),
    *("autostop", "job_recovery", "volumes", "priority", "max_hourly_cost", "local_disk"),
}
RESOURCE_KEYS = CANDIDATE_KEYS | {"any_of", "ordered"}
AUTOSTOP_KEYS = {"idle_minutes", "down", "wait_for", "hook", "hook_timeout"}
GPU_NAME = re.compile(r"[A-Z0-9]+(-[0-9]+GB)?")
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@pytest.fixture(scope="module")
def task() -> dict:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def test_every_key_is_one_that_skypilot_accepts(task):
    assert set(task) <= TASK_KEYS
    assert set(task["resources"]) <= RESOURCE_KEYS
    assert set(task["resources"]["autostop"]) <= AUTOSTOP_KEYS
    for candidate in task["resources"]["any_of"]:
        assert set(candidate) <= CANDIDATE_KEYS


def test_the_values_have_the_types_that_skypilot_accepts(task):
    resources = task["resources"]
    assert isinstance(task["setup"], str)
    assert isinstance(task["run"], str)
    assert isinstance(resources["cpus"], str | int)
    assert isinstance(resources["memory"], str | int)
    assert isinstance(resources["disk_size"], int)
    assert resources["image_id"].startswith("docker:")
    for gpu, count in resources["accelerators"].items():
        assert GPU_NAME.fullmatch(gpu)
        assert count == 1


def test_spot_comes_before_on_demand_for_several_kinds_of_gpu(task):
    # A mapping, not a list: beside candidates SkyPilot refuses GPUs in an order of preference.
    assert isinstance(task["resources"]["accelerators"], dict)
    assert len(task["resources"]["accelerators"]) >= 3
    assert task["resources"]["any_of"] == [{"use_spot": True}, {"use_spot": False}]


def test_the_machine_is_deleted_soon_after_the_worker_exits(task):
    autostop = task["resources"]["autostop"]
    assert autostop["down"] is True
    assert 0 < autostop["idle_minutes"] <= 10


def test_the_token_is_a_secret_without_a_value(task):
    assert task["secrets"] == {"GITLAB_TOKEN": None}
    assert not set(task["secrets"]) & set(task["envs"])


def test_every_environment_variable_has_a_default_value(task):
    assert task["envs"]
    for name, value in task["envs"].items():
        assert VARIABLE.fullmatch(name)
        assert isinstance(value, str)
        assert value


def test_neither_script_puts_the_token_on_a_command_line(task):
    for script in (task["setup"], task["run"]):
        assert "TOKEN" not in script
        assert "--token" not in script


def test_both_scripts_are_good_bash(task):
    for script in (task["setup"], task["run"]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_setup_is_a_venv_and_what_the_lock_holds_for_a_worker(task):
    commands = [
        shlex.split(line) for line in task["setup"].splitlines() if "install" in line or "venv " in line
    ]
    assert commands == [
        ["python3", "-m", "venv", ".venv"],
        ["sh", "requirements/install", ".venv/bin/python"],
    ]
    assert (ROOT / "requirements" / "install").is_file()
    assert task["workdir"] == "."


def test_secrets_and_environments_stay_behind_when_the_checkout_is_sent(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    for path in (".env.secrets", ".env", ".venv/bin/python", "work/jobs/1"):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=tmp_path, check=False)
        assert ignored.returncode == 0, f"{path} would be sent to the machine"


def test_the_worker_drains_and_exits(task):
    words = _worker_command(task)
    assert words[words.index("--loop-interval") + 1] == "-1"
    assert 24 <= float(words[words.index("--max-uptime-hours") + 1]) <= 7 * 24, "nobody pays for ever"


def test_the_example_of_a_secrets_file_holds_no_secret():
    lines = (ROOT / ".env.secrets.example").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert settings == ["GITLAB_TOKEN="]


def _worker_command(task: dict) -> list[str]:
    words = shlex.split(task["run"])
    assert words[:3] == ["exec", ".venv/bin/python", "worker_entry.py"]
    return words[3:]


def test_the_worker_knows_every_option_of_the_command(task):
    from codex_worker.cli.work import build_parser

    build_parser().parse_args(_worker_command(task))
