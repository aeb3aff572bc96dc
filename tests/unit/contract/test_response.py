"""`response.yaml` says its sentence where the plugin looks for it."""

from datetime import UTC, datetime

import pytest

from codex_worker.contract.records import End, EndState
from codex_worker.contract.response import end_response, read_response
from codex_worker.errors import Kind


def response(state: EndState, kind: Kind | None = None, message: str = "Why it ended.") -> dict:
    end = End(
        state=state,
        kind=kind,
        message=message,
        ended_at=datetime(2026, 11, 27, tzinfo=UTC),
        ended_by="w",
        worker_id="w",
    )
    return dict(read_response(end_response(end, retries=0), "response.yaml"))


@pytest.mark.parametrize(
    ("state", "kind", "shown", "others"),
    [
        (EndState.COMPLETED, None, "completed", {}),
        (EndState.CANCELED, Kind.CANCELED, "canceled", {"termination_reason": "Why it ended."}),
        (EndState.FAILED, Kind.USER, "failed", {"error_message": "Why it ended."}),
        (EndState.FAILED, Kind.TIMEOUT, "failed", {"error_message": "Why it ended."}),
    ],
)
def test_how_a_job_ended_is_said_in_the_status_message_whatever_its_state(state, kind, shown, others):
    found = response(state, kind)
    assert found["state"] == shown and found["status_message"] == "Why it ended."
    sentences = {key: found[key] for key in ("error_message", "termination_reason") if key in found}
    assert sentences == others


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (EndState.PREEMPTED, Kind.PREEMPTED),
        (EndState.WITHDRAWN, Kind.CANCELED),
        (EndState.LOST, Kind.SYSTEM),
        (EndState.FAILED, Kind.RESOURCE),
    ],
)
def test_a_job_that_waits_says_for_what_and_why(state, kind):
    found = response(state, kind)
    assert (found["state"], found["status_message"]) == (
        "running",
        "Waiting for the next worker (Why it ended.)",
    )
    assert "error_message" not in found


@pytest.mark.parametrize("state", [EndState.COMPLETED, EndState.CANCELED, EndState.FAILED])
def test_an_end_without_a_sentence_leaves_the_status_out(state):
    assert "status_message" not in response(state, Kind.USER, message="")
