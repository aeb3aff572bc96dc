"""The immutable records of a job (attempt, end) and the lease that its owner beats."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from codex_worker.contract import yaml_text
from codex_worker.contract.paths import MAX_ATTEMPT_NUMBER, attempt_path, end_path
from codex_worker.errors import DataError, Kind


class EndState(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    PREEMPTED = "preempted"  # the worker had to leave; counts against its own, larger budget
    YIELDED = "yielded"  # given back because somebody else needs the machine
    LOST = "lost"  # the worker fell silent; written by whoever takes over
    WITHDRAWN = "withdrawn"  # the manifest's entry was gone


MOST_EPOCHS = 1_000_000
LARGEST_FILE_BYTES = 2**50

_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def _moment(value: Any) -> datetime:
    moment = yaml_text.read_zoned_time(value)
    if moment is None:
        raise ValueError("is no time with a zone, of the years 1970 to 9999")
    return moment


def _count(value: Any) -> float | None:
    """A count for people: one that cannot be meant costs nothing but itself."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= MOST_EPOCHS else None


def _whole(value: Any) -> int | None:
    count = _count(value)
    return None if count is None else int(count)


def _blob(value: Any) -> str | None:
    """The id goes to git as it is."""
    return value if isinstance(value, str) and _BLOB.fullmatch(value) else None


Moment = Annotated[datetime, BeforeValidator(_moment)]
Blob = Annotated[str | None, BeforeValidator(_blob)]


class StoredRecord(BaseModel):
    """A YAML file with tolerated extra keys."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    def render(self) -> bytes:
        """The file's bytes."""
        return yaml_text.dump(self.model_dump(mode="json", exclude_none=True))


class Attempt(StoredRecord):
    """A claim: whose the job is, from the commit on that brings this file."""

    job_id: str
    number: int = Field(ge=1, le=MAX_ATTEMPT_NUMBER)
    nonce: str = Field(pattern=r"^[0-9a-f]{8}$")
    worker_id: str
    claimed_at: Moment
    lease_ref: str | None = None  # None: this server accepts no lease ref

    @property
    def name(self) -> str:
        """`<number>-<nonce>`: goes into every file name that the attempt makes."""
        return f"{self.number}-{self.nonce}"

    @property
    def path(self) -> str:
        """Where the file lies."""
        return attempt_path(self.job_id, self.worker_id, self.number, self.nonce)

    @property
    def end_path(self) -> str:
        """Where its end will lie."""
        return end_path(self.job_id, self.worker_id, self.number, self.nonce)


class End(StoredRecord):
    """How an attempt ended: our authority on the job's result."""

    state: EndState
    kind: Kind | None = None
    message: str = ""
    ended_at: Moment
    ended_by: str
    worker_id: str
    number: int = 0
    nonce: str = ""
    epochs_completed: Annotated[int | None, BeforeValidator(_whole)] = None
    result: Mapping[str, Any] = Field(default_factory=dict)
    log_blob: Blob = None  # git blob ids of the final projections
    metrics_blob: Blob = None
    final: bool | None = None  # True: this end used up a budget, whatever its kind

    @property
    def is_final(self) -> bool:
        """True when the job never runs again."""
        return bool(self.final) or is_final(self.state, self.kind)


def is_final(state: EndState, kind: Kind | None) -> bool:
    """True when a job whose attempt ended so never runs again, whatever is left of its budgets."""
    if state in {EndState.COMPLETED, EndState.CANCELED}:
        return True
    return state is EndState.FAILED and (kind is None or kind.is_final)


class ResumePointer(BaseModel):
    """The large file that the next attempt goes on from, and how far it is."""

    model_config = ConfigDict(frozen=True)

    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=1, le=LARGEST_FILE_BYTES)
    attempt: Annotated[int | None, BeforeValidator(_whole)] = None  # whose; None: of a version before
    epochs: Annotated[float | None, BeforeValidator(_count)] = None
    came_as_state: bool | None = None  # True: there was no such object before, so it may be removed again


class Lease(BaseModel):
    """What the lease ref holds; `beat` is fresh every time, so that two leases never look alike."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int = Field(ge=0, le=MAX_ATTEMPT_NUMBER)
    nonce: str
    beat: str
    at: Moment
    stage: str = ""
    epochs_completed: Annotated[float | None, BeforeValidator(_count)] = None
    message: str = ""
    resume: ResumePointer | None = None
    state: Literal["held", "released", "tombstone"] = "held"

    def render(self) -> bytes:
        """The lease as the message of its commit."""
        return yaml_text.dump(self.model_dump(mode="json", exclude_none=True))


_Model = TypeVar("_Model", bound=BaseModel)


def read_record(model: type[_Model], data: bytes, where: str) -> _Model:
    """Parses an attempt, end or lease. Raises DataError naming `where`."""
    value = yaml_text.load(data, where)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where} is not a valid record: {field}: {first['msg']}") from error


def now_utc(timestamp_s: float) -> datetime:
    """A clock's seconds since 1970 as UTC, cut to milliseconds as they are written."""
    return datetime.fromtimestamp(int(timestamp_s * 1000) / 1000, tz=UTC)
