"""What runs on servers and at a commit: the files parse, and name only what is in this checkout."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SUBJECT = ROOT / ".ci" / "commit-subject"


def loaded(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_gitlab_runs_what_ci_run_runs():
    job = loaded(".gitlab-ci.yml")["checks"]
    assert job["script"] == ["bash .ci/run"]
    assert job["image"].startswith("python:3.")
    assert "timeout" in job
    for file in job["cache"]["key"]["files"]:
        assert (ROOT / file).is_file()


def test_github_runs_what_ci_run_runs():
    workflow = loaded(".github/workflows/ci.yml")
    job = workflow["jobs"]["checks"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [
        'PIP_CACHE_DIR="$PWD/.cache/pip" bash .ci/run'
    ]
    assert job["container"].startswith("python:3.")
    assert job["timeout-minutes"] <= 90
    assert workflow["permissions"] == {"contents": "read"}


def test_both_servers_use_the_image_that_rented_machines_use():
    image = loaded("skypilot_worker.yaml")["resources"]["image_id"].removeprefix("docker:")
    assert loaded(".gitlab-ci.yml")["checks"]["image"] == image
    assert loaded(".github/workflows/ci.yml")["jobs"]["checks"]["container"] == image


def test_hooks_fetch_nothing():
    for repository in loaded(".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            program = hook["entry"].split()[0]
            assert program.startswith(".venv/bin/") or (ROOT / program).is_file()


@pytest.mark.parametrize("path", [".github/ISSUE_TEMPLATE/bug.md", ".gitlab/issue_templates/Bug.md"])
def test_a_bug_report_asks_for_what_helps(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    for wanted in ("What did you do?", "What happened", "Version", "codex-worker check"):
        assert wanted in text


def test_both_servers_ask_the_same():
    for theirs, ours in (
        (".github/ISSUE_TEMPLATE/bug.md", ".gitlab/issue_templates/Bug.md"),
        (".github/ISSUE_TEMPLATE/feature.md", ".gitlab/issue_templates/Feature.md"),
        (".github/pull_request_template.md", ".gitlab/merge_request_templates/Default.md"),
    ):
        assert (ROOT / theirs).read_text().endswith((ROOT / ours).read_text())


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("Learn more slowly\n", None),
        ("\n# a comment of git's\nLearn more slowly\n\n" + "A longer line below. " * 10, None),
        ("é" * 72 + "\n", None),
        ("x" * 73 + "\n", "73 characters; 72 at most"),
        ("Learn more\nslowly\n", "leave the second line empty"),
        ("", None),
    ],
)
def test_a_commit_says_what_it_does_in_72_characters(tmp_path, message, refusal):
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message, encoding="utf-8")
    done = subprocess.run([sys.executable, SUBJECT, file], capture_output=True, text=True)
    assert (done.returncode != 0) == bool(refusal)
    assert (refusal or "") in done.stderr
    assert "Traceback" not in done.stderr
