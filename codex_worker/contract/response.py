"""`response.yaml`: what the records say, in the words that the plugin and older workers know."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from codex_worker.contract import yaml_text
from codex_worker.contract.records import Attempt, End, EndState
from codex_worker.errors import DataError

# An older worker fails a job on sight whose retry_count is above its limit of 3.
MAX_RETRY_COUNT = 2


def running_response(
    attempt: Attempt,
    moment: datetime,
    *,
    retries: int,
    epochs_completed: int | None = None,
    message: str = "",
) -> bytes:
    """A claimed job.

    The timestamp stays unquoted: older workers can't compare it and so never take the job for stale, and
    an old copy that a merge brings back does not make them run it again.
    """
    return _render(
        worker_id=attempt.worker_id,
        state="running",
        timestamp=_plain(moment),
        retry_count=_retry_count(retries),
        epochs_completed=epochs_completed,
        status_message=message or None,
    )


def end_response(end: End, *, retries: int) -> bytes:
    """An ended attempt: a final word, or a running job that waits for its next worker.

    The sentence is always the `status_message`, because the plugin shows no `termination_reason`.
    """
    if not end.is_final:
        return _render(
            worker_id=end.worker_id,
            state="running",
            timestamp=_plain(end.ended_at),
            retry_count=_retry_count(retries),
            epochs_completed=end.epochs_completed,
            status_message=waiting_message(end),
        )
    state = end.state.value if end.state in {EndState.COMPLETED, EndState.CANCELED} else "failed"
    return _render(
        worker_id=end.worker_id,
        state=state,
        timestamp=yaml_text.format_time(end.ended_at),
        retry_count=_retry_count(retries),
        epochs_completed=end.epochs_completed,
        status_message=end.message or None,
        error_message=end.message if state == "failed" else None,
        termination_reason=end.message if state == "canceled" else None,
        result=dict(end.result) or None,
    )


def waiting_message(end: End) -> str:
    """What a translator reads while a job waits for its next worker."""
    reason = f" ({end.message})" if end.message else ""
    return f"Waiting for the next worker{reason}"


# A claim by somebody we can't name: older workers take an unreadable response for one, and so do we.
UNREADABLE: Mapping[str, Any] = {}
_SIGNS = ("worker_id", "state", "timestamp")


def read_response(data: bytes, where: str) -> Mapping[str, Any]:
    """A response as a mapping; an unreadable one is `{}`."""
    try:
        value = yaml_text.load(data, where)
    except DataError:
        return UNREADABLE
    return value if isinstance(value, Mapping) else UNREADABLE


def signs_of(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who answered, in what state and when; the rest, of any size, would be remembered for nothing."""
    return {key: response[key] for key in _SIGNS if isinstance(response.get(key), str | int | float | date)}


def _plain(moment: datetime) -> yaml_text.PlainTimestamp:
    return yaml_text.PlainTimestamp.fromtimestamp(moment.timestamp(), tz=moment.tzinfo)


def _retry_count(retries: int) -> int:
    return min(retries, MAX_RETRY_COUNT)


def _render(**fields: Any) -> bytes:
    return yaml_text.dump({key: value for key, value in fields.items() if value is not None})
