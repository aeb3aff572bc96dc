"""A child that says anything at all: its supervisor lives, and the job ends with a reason."""

import pytest

from tests.support.jobs import Stage

RAW = """
import json, os, signal
def raw(text):
    channel = callbacks._line._channel
    channel._writer.write(text.encode() + b"\\n")
    channel._writer.flush()
def calls(number):
    for id in range(1, number + 1):
        raw(json.dumps({"id": id, "call": "list_files", "arguments": {}}))
"""
AND_LEAVE = "\nos._exit(0)"
AND_WAIT = "\nimport threading; threading.Event().wait()"
AND_STOP = "\n(folder / 'reached').touch(); os.kill(os.getpid(), signal.SIGSTOP)"


VALUES = """
deep, many = "[" * 900 + "]" * 900, "[" + "0," * 200_000 + "0]"
texts = [json.dumps("\\ud800 \\0 \\x1b[2J"), json.dumps("long " * 100_000)]
values = ["1e400", "-" + "9" * 400, deep, many, *texts]
keys = ", ".join(f'"v{at}": {value}' for at, value in enumerate(values))
"""
BEATS = """
raw('{"event": "heartbeat", "epochs_completed": ' + "9" * 4000 + "}")
raw('{"event": "heartbeat", "epochs_completed": 1e999, "message": "\\\\ud800\\\\u0000"}')
"""


@pytest.mark.parametrize(
    ("before", "result", "epochs"),
    [
        (VALUES, "keys + ', \"epochs_completed\": 2'", 2),
        (BEATS, "'\"epochs_completed\": 2'", 2),
        ("", "'\"epochs_completed\": 1e400'", None),
        ("", "'\"epochs_completed\": ' + '1' * 400", None),
        ("", '\'"epochs_completed": 2, "checkpoint_path": [[1e999]], "notes": {"\\\\ud800": 1}\'', 2),
    ],
)
def test_a_value_that_nobody_can_write_costs_that_value_only(tmp_path, before, result, epochs):
    said = f'raw(\'{{"event": "result", "result": {{\' + {result} + \'}}}}\')'
    stage = Stage(tmp_path, RAW + before + said + AND_LEAVE)
    outcome = stage.run()
    assert outcome is not None and outcome.state == "completed"
    response = stage.response()
    assert response["state"] == "completed" and response.get("epochs_completed") == epochs
    assert not before or "WARNING" in stage.log(), "it is said"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("raw('[' * 100_000)", "system", "no handler sends, and was ended. A message is not JSON"),
        ("raw('x' * 5_000_000)", "system", "A message is longer than 4,000,000 bytes"),
        (
            "raw(json.dumps({'event': 'alive', 'x': 'y' * 1_100_000}))",
            "system",
            "over the limit of 1,000,000",
        ),
        ("raw(json.dumps({'event': ['\\ud800']}))", "system", "An unknown message"),
        ("raw('{\"id\": 1, \"call\": ' + '9' * 400 + '}')", "system", "without a result"),
        (
            "raw(json.dumps({'event': 'failed', 'kind': 'data', 'message': 'Bad: \\ud800\\0'}))",
            "data",
            "Bad: \ufffd\ufffd",
        ),
        ("raw(json.dumps({'event': 'failed', 'kind': 'data', 'message': [1]}))", "data", "[1]"),
    ],
)
def test_nonsense_ends_the_job_with_a_reason(tmp_path, said, kind, words):
    stage = Stage(tmp_path, RAW + said + AND_LEAVE)
    outcome = stage.run()
    assert outcome is not None and (outcome.state, outcome.kind) == ("failed", kind)
    assert words in outcome.message and words in stage.response()["status_message"]


def test_a_ninth_call_that_waits_for_its_reply_ends_the_job(tmp_path):
    stage = Stage(
        tmp_path, RAW + "os.kill(os.getpid(), signal.SIGSTOP) if os.fork() == 0 else calls(3000)" + AND_WAIT
    )
    stage.contents = {f"files/{number:05}.codex": b"" for number in range(10_000)}
    stage.start()
    outcome = stage.finish()
    assert outcome is not None and outcome.kind == "system"
    assert "More than 8 calls wait for their reply" in outcome.message


@pytest.mark.parametrize(
    ("limits", "entry", "state"),
    [
        ({}, {"canceled": True}, "canceled"),
        ({"max_job_s": 60}, {}, "failed"),
        ({"hang_s": 600}, {}, "failed"),
    ],
)
def test_a_child_that_reads_no_more_is_ended_at_its_limits(tmp_path, limits, entry, state):
    stage = Stage(tmp_path, RAW + "calls(8)" + AND_STOP)
    stage.contents = {f"files/{number:05}.codex": b"" for number in range(20_000)}
    stage.set_limits(**limits)
    stage.start()
    stage.reached("reached")
    stage.edit_manifest({"job_id": "one", **entry})
    stage.tick(stage.ended, step_s=60)
    assert stage.outcome is not None and stage.response()["state"] in {state, "running"}
    assert stage.outcome.state == state


def test_many_threads_of_a_handler_may_call_at_once(tmp_path):
    stage = Stage(
        tmp_path,
        """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(40) as pool:
            found = list(pool.map(lambda _: len(scanner.list_files()), range(200)))
        return {"notes": [str(set(found))]}
        """,
    )
    stage.contents = {"a.codex": b"{}"}
    outcome = stage.run()
    assert outcome is not None and outcome.result["notes"] == ["{1}"]


def test_lists_that_are_too_long_for_one_message_go_in_several(tmp_path):
    stage = Stage(
        tmp_path,
        """
        paths = [f"files/{'x' * 200}/{number}" for number in range(12_000)]
        fetched = scanner.fetch_recordings(paths)
        return {"missing": len(fetched.missing), "read": len(scanner.read_files(["a.codex", *paths]))}
        """,
    )
    stage.contents = {"a.codex": b"{}"}
    outcome = stage.run()
    assert outcome is not None and outcome.result == {"missing": 12_000, "read": 1}
