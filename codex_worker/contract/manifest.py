"""`gpu_jobs/manifest.yaml`: what translators ask for.

Read tolerantly: unknown keys are kept, null sub-objects count as absent, an id that YAML took for a
number is text again, and one bad entry spoils no other.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from codex_worker.contract.ids import job_id_problem
from codex_worker.contract.keys import ALL, Key
from codex_worker.contract.values import Choice, Timeout, YesNo, shown
from codex_worker.contract.yaml_text import read_time
from codex_worker.errors import UserError

logger = logging.getLogger(__name__)

MODEL_ALIASES = {
    "stabletts": "stabletts",
    "mmstts": "vits",
    "w2v2bert": "w2v2bert",
    "wav2vec2bert": "w2v2bert",
}
DEFAULT_MODEL = {"tts": "stabletts", "asr": "w2v2bert"}

_MODEL_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")

PRESET = Key(
    "model.preset",
    Choice(("full", "tiny")),
    "the network's size; `tiny` has random weights and is for demonstrations and tests",
    "the worker's `--preset`, else `full`",
    ALL,
)
TIMEOUT = Key(
    "timeout",
    Timeout(),
    "when the job has to be over: a time, or so many hours after a worker took it",
    "the worker's `--max-job-hours`",
    ALL,
)


class ModelChoice(BaseModel):
    """The `model` section of an entry."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str | None = None
    preset: Annotated[Literal["full", "tiny"] | None, PRESET] = None

    @field_validator("type", mode="before")
    @classmethod
    def _fold_type(cls, value: Any) -> Any:
        return None if value is None else str(value).strip().lower().replace("-", "").replace("_", "")


class JobEntry(BaseModel):
    """One job of the manifest."""

    model_config = ConfigDict(extra="allow", frozen=True)

    job_id: str
    # Which types and models there are is what lies in handlers/; here they only have to be fit for a name.
    job_type: str = Field(default="tts", pattern=r"^[a-z][a-z0-9_]{0,30}$")
    mode: Literal["training", "inference", "training_and_inference"] = "training"
    model: ModelChoice = Field(default_factory=ModelChoice)
    name: str | None = None
    submitted_at: datetime | None = None
    # One that cannot be read counts as absent here: a job that runs must not end because somebody edits it.
    # Whoever begins a job refuses it (options.read_options).
    timeout: Annotated[datetime | float | None, TIMEOUT] = None
    canceled: bool = False

    config: Mapping[str, Any] = Field(default_factory=dict, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("it is not a mapping of keys to values")
        entry = {str(k): v for k, v in value.items() if v is not None and str(k) != "config"}
        entry["config"] = {str(k): v for k, v in value.items()}
        for key in ("job_id", "name"):
            if key in entry:
                entry[key] = str(entry[key])
        for key in ("job_type", "mode"):
            if key in entry:
                entry[key] = str(entry[key]).strip().lower().replace("-", "_").replace(" ", "_")
        if "canceled" in entry:
            entry["canceled"] = _canceled(entry["canceled"])
        entry["submitted_at"] = read_time(entry.get("submitted_at"))
        timeout = entry.pop("timeout", None)
        with suppress(ValueError):
            entry["timeout"] = TIMEOUT.values.read(timeout)
        if not isinstance(entry.get("model", {}), Mapping | ModelChoice):
            raise ValueError(model_fault(entry["model"]))
        return entry

    @model_validator(mode="after")
    def _names_a_model(self) -> "JobEntry":
        if self.model.type is None and self.job_type not in DEFAULT_MODEL:
            raise ValueError(f"model.type is missing, and {self.job_type} jobs have no model by default")
        if not _MODEL_NAME.fullmatch(self.model_type):
            raise ValueError(f"model.type {shown(self.model.type)} cannot be the name of a model")
        return self

    @property
    def model_type(self) -> str:
        """The model's folder name in `handlers`."""
        if self.model.type is None:
            return DEFAULT_MODEL[self.job_type]
        return MODEL_ALIASES.get(self.model.type, self.model.type)

    def preset(self, default: str | None) -> str:
        """The network's size: the job's own, else the worker's `default`, else full."""
        return self.model.preset or default or "full"

    def deadline(self, claimed_at: datetime) -> datetime | None:
        """When the job's `timeout` is over: the time it names, or so many hours after the claim."""
        if isinstance(self.timeout, int | float):
            return claimed_at + timedelta(hours=self.timeout)
        return self.timeout


def _canceled(value: Any) -> bool:
    try:
        return bool(YesNo().read(value))
    except ValueError as error:
        raise ValueError(f"canceled: {shown(value)} {error}") from error


def model_fault(value: Any) -> str:
    """What to write instead of a `model` that is no section."""
    meant = value.strip()[:40] if isinstance(value, str) else ""
    return f"model: {shown(value)} holds no keys; write model: {{type: {meant or '...'}}}"


@dataclass(frozen=True)
class BadEntry:
    """An entry that is no job, with a sentence for the translator."""

    position: int  # from 1, as people count
    job_id: str | None  # where one can be read and is fit for a path
    message: str
    canceled: bool = False


@dataclass(frozen=True)
class Manifest:
    """All entries; the first of several with one id counts, and `canceled` on any of them cancels."""

    jobs: Mapping[str, JobEntry] = field(default_factory=dict)
    bad: tuple[BadEntry, ...] = ()


def read_manifest(value: Any) -> Manifest:
    """Makes entries of a parsed manifest. Raises UserError where there is no list of jobs to read at all."""
    if not isinstance(value, Mapping):
        raise UserError("gpu_jobs/manifest.yaml holds no mapping with 'version' and 'jobs'.")
    version = value.get("version")
    if isinstance(version, bool) or version not in (1, "1"):
        raise UserError(f"gpu_jobs/manifest.yaml has version {shown(version)}; this worker knows version 1.")
    entries = value.get("jobs")
    if entries is None:
        entries = []
    if not isinstance(entries, list):
        raise UserError("gpu_jobs/manifest.yaml: 'jobs' is not a list.")
    jobs: dict[str, JobEntry] = {}
    bad: list[BadEntry] = []
    for position, raw in enumerate(entries, start=1):
        entry = _read_entry(position, raw)
        if isinstance(entry, BadEntry):
            bad.append(entry)
        elif entry.job_id not in jobs:
            jobs[entry.job_id] = entry
        elif entry.canceled:
            jobs[entry.job_id] = jobs[entry.job_id].model_copy(update={"canceled": True})
    return Manifest(jobs, tuple(b for b in bad if b.job_id is None or b.job_id not in jobs))


def _read_entry(position: int, raw: Any) -> JobEntry | BadEntry:
    job_id = str(raw["job_id"]) if isinstance(raw, Mapping) and raw.get("job_id") is not None else None
    problem = job_id_problem(job_id) if job_id is not None else "it has no job_id"
    if problem:
        return BadEntry(position, None, f"Entry {position} of the manifest is not a job: {problem}")
    try:
        return JobEntry.model_validate(raw)
    except ValidationError as error:
        canceled = False
        with suppress(ValueError):
            canceled = _canceled(raw.get("canceled"))
        return BadEntry(position, job_id, _explain(error), canceled)
    except Exception:  # a defect of ours that one entry's values find must not cost the others
        logger.exception("Entry %d of the manifest (job %s) cannot be read", position, job_id)
        what = "The job's entry in gpu_jobs/manifest.yaml cannot be read. Remove the values that are unusual."
        return BadEntry(position, job_id, what)


def _explain(error: ValidationError) -> str:
    parts = []
    for detail in error.errors(include_url=False, include_context=False)[:3]:
        where = ".".join(str(part) for part in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        got = detail.get("input")
        is_one = where and isinstance(got, str | int | float | bool)
        parts.append(f"{where}: {what}{f' (it is {shown(got)})' if is_one else ''}" if where else what)
    return "The job's entry in gpu_jobs/manifest.yaml cannot be used: " + "; ".join(parts) + "."
