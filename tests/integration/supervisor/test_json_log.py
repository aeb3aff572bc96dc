"""A worker with `--log-format json`, as a process: whatever it says is a JSON object a line."""

import json

from codex_worker.contract.exit_codes import ExitCode
from tests.integration.supervisor.test_command_line import TOKEN, bare_repository, run
from tests.support.jobs import handlers_with, manifest


def test_every_line_is_json_and_each_attempts_lines_name_it(tmp_path):
    body = f"""
    callbacks.heartbeat(0, "a message", "train")
    print("printed by " + job.job_id)
    print("{TOKEN[:12]}")
    print("{TOKEN[12:]}")
    if job.job_id == "two":
        raise ValueError("what happened")
    return {{}}
    """
    code = handlers_with(tmp_path / "code", asr_w2v2bert_training=body)
    days = {"one": "2026-05-01", "two": "2026-05-02"}
    repository = bare_repository(
        tmp_path, manifest(*({"job_id": name, "submitted_at": day} for name, day in days.items()))
    )
    status, output = run(
        tmp_path, "--project", repository, "--log-format", "json", code=code,
        WORKER_ID="tester", GITLAB_TOKEN=TOKEN,
    )  # fmt: skip
    lines = [json.loads(line) for line in output.splitlines()]
    assert status == ExitCode.RELEASED, output  # the second job is left to others for a while
    assert {line["worker"] for line in lines} == {"tester"}
    assert TOKEN[:12] not in output and TOKEN[12:] not in output
    for name in days:
        its = [line for line in lines if line["job"] == name]
        assert len({line["attempt"] for line in its}) == 1 and its[0]["attempt"].startswith("1-")
        assert "attempt 1-" in its[0]["message"] and "begins" in its[0]["message"]
        assert [line["logger"] for line in its if line["message"] == f"printed by {name}"] == ["job"]
        assert all(line["project"] for line in its)
    assert not lines[0]["job"] and not lines[-1]["job"]


def test_what_a_person_has_to_fix_is_a_line_too(tmp_path):
    status, output = run(tmp_path, "--project", "does-not-exist.git", "--log-format", "json")
    (line,) = [json.loads(line) for line in output.splitlines()]
    assert status == ExitCode.USAGE
    assert line["level"] == "ERROR" and "There is no repository at" in line["message"]
