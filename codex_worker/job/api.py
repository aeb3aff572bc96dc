"""What a handler sees of the worker, and the three ways to run one.

A handler module lives at `handlers/<job type>/<model>/<mode>.py` and has a function
`run(job, callbacks) -> Result`. It knows the project only through `callbacks`: everything
there is carried to the supervisor, which alone holds the token.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypedDict

from codex_worker.codex.patch import RecordingPatch, TextPatch
from codex_worker.contract.licences import OWN, forbids_commercial_use, terms_of
from codex_worker.contract.options import JobOptions, read_options
from codex_worker.errors import JobCanceled, UserError, WorkerError
from codex_worker.job.ends import StopReason
from codex_worker.job.failures import error_of
from codex_worker.job.summary import Fact, Summary, What
from codex_worker.settings import Settings

__all__ = [
    "WAITING",
    "CellResult",
    "Fetched",
    "Inferred",
    "JobCallbacks",
    "JobCanceled",
    "JobContext",
    "ProjectReader",
    "Published",
    "Result",
    "Scanner",
    "StopReason",
    "Trained",
    "Weights",
    "run_both",
    "run_inference",
    "run_training",
    "stop_error",
]

logger = logging.getLogger(__name__)

WAITING = "waiting.jsonl"
"""The file in the job folder that notes results until they are published, a JSON object a line."""


class Result(TypedDict, total=False):
    """What `run` returns; keys beside these are kept and shown in `response.yaml` under `result`.

    Plain values, at most 20 levels deep and 64 kB together: what cannot be kept is null, and the log says so.
    """

    success: bool
    error_message: str
    epochs_completed: int
    checkpoint_path: str
    metrics: dict[str, float]
    cells_written: int
    cells_failed: int
    cells_skipped: int
    notes: list[str]
    licence: str  # of the weights that the model goes back to, where they are somebody's
    summary: Summary  # counted facts, of which the supervisor makes the sentence; not kept in the result


@dataclass(frozen=True)
class JobContext:
    """One attempt at one job, as the child sees it."""

    job_id: str
    job_type: str  # "tts" or "asr"
    mode: str  # "training", "inference" or "training_and_inference"
    model_type: str  # "stabletts", "vits" or "w2v2bert"
    preset: str  # "full" or "tiny"
    attempt: str  # "<number>-<nonce>": goes into every file name that the attempt makes
    worker_id: str
    project: str  # the project's name, for people
    commit: str  # the commit that the job's data is read at
    folder: Path  # the job folder; the only place where the child writes
    config: Mapping[str, Any]  # the job's manifest entry as it stands there
    # What the operator chose, for whoever trains.
    save_every_s: float = Settings.save_interval * 60  # how often a training writes where it stands
    publishes_when_preempted: bool = Settings.publish_on_preemption  # what there is then, beside its state

    @cached_property
    def options(self) -> JobOptions:
        """The manifest entry as values that are checked. Raises UserError where one cannot be meant."""
        return read_options(self.config, job_type=self.job_type, mode=self.mode, model_type=self.model_type)

    def setting(self, key: str, default: Any = None) -> Any:
        """The manifest's value at a dotted key, unchecked: for a plug-in's own keys.

        `default` where it is absent or null. Keys that the worker knows are in `options`.
        """
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
            if value is None:
                return default
        return value


class Absence(StrEnum):
    """Why a recording could not be had, for whoever counts; the sentence has the particulars."""

    NEVER_SENT = "never_sent"  # nothing, or an empty file, is in the project
    NOT_ON_SERVER = "not_on_server"  # its pointer is, its bytes are not
    OTHER_ON_SERVER = "other_on_server"  # of another size or content than its pointer says
    NOT_FETCHED = "not_fetched"  # the server said no, or nothing
    TWO_ALIKE = "two_alike"  # the path could mean either of two files


@dataclass(frozen=True)
class Fetched:
    """Files brought into the job folder, and why others could not be."""

    files: Mapping[str, Path]
    missing: Mapping[str, str]  # repository path -> a sentence
    absences: Mapping[str, Absence] = field(default_factory=dict)  # of those missing; else NEVER_SENT


@dataclass(frozen=True)
class Weights:
    """Official weights on this machine: a file or a folder, and the revision they are of."""

    path: Path
    revision: str


@dataclass(frozen=True)
class CellResult:
    """A result for one cell: the patch, and the recording's bytes where it brings one."""

    notebook: str  # repository path of the .codex file
    patch: TextPatch | RecordingPatch
    recording: Path | None = None

    def to_dict(self, inside: Callable[[Path], str]) -> dict[str, Any]:
        """As JSON values; `inside` gives a file's path within the job folder."""
        return {
            "notebook": self.notebook,
            "patch": self.patch.to_dict(),
            "recording": None if self.recording is None else inside(self.recording),
        }


@dataclass(frozen=True)
class Published:
    """What became of a batch of cell results (their indexes in the batch)."""

    applied: Sequence[int]
    dropped: Mapping[int, str]  # index -> why: a person was there first, the cell is gone, ...


class ProjectReader(Protocol):
    """The half of a scanner that only reads."""

    def list_files(self, prefix: str = "") -> list[str]:
        """Repository paths below `prefix`, at the job's commit."""

    def read_files(self, paths: Sequence[str]) -> dict[str, Path]:
        """Text files (notebooks) as they are at the job's commit; a path that isn't there is left out."""

    def fetch_recordings(self, pointer_paths: Sequence[str]) -> Fetched:
        """The recordings behind LFS pointers, keyed by the paths as they are asked for.

        A path may be spelled in another way than the file's own name: see `codex.alike`.
        """


class Scanner(ProjectReader, Protocol):
    """The project, as far as a job may see and change it."""

    def fetch_checkpoint(self, path: str) -> Path:
        """A checkpoint of this project (`model.base_checkpoint`). Raises UserError where there is none."""

    def fetch_weights(self, name: str) -> Weights:
        """Official weights by their name in the supervisor's list; SystemFault where they can't be had."""

    def publish_cells(self, results: Sequence[CellResult]) -> Published:
        """Commits patches with their recordings; a cell that a person changed meanwhile is left alone."""

    def publish_artifact(self, file: Path, folder: str) -> str:
        """Commits a file as `gpu_jobs/job_<id>/<folder>/<stem>-<attempt>[-<k>]<suffix>`; answers that path.

        `folder` is "checkpoint", "samples" or "report".
        """

    def save_resume(self, file: Path, epochs: float = 0.0) -> None:
        """Keeps what the next attempt needs to go on from here, so many epochs into its training.

        Returns before it is uploaded. It may never be: that is said in the log, and ends no attempt.
        """

    def fetch_resume(self) -> Path | None:
        """What an earlier attempt left behind, or None."""


class JobCallbacks(Protocol):
    """The child's line to its supervisor."""

    @property
    def scanner(self) -> Scanner:
        """The job's project."""

    def heartbeat(
        self, epochs_completed: float | None = None, message: str | None = None, stage: str | None = None
    ) -> None:
        """Reports progress. Raises JobCanceled, Preempted or JobTimeout when the job is to end."""

    def computed(self, audio_s: float) -> None:
        """So many seconds of audio more were learnt from, read or spoken; the operator's figures add them."""

    def should_stop(self) -> bool:
        """True when the job is to end; for loops that save before they leave."""

    def stop_reason(self) -> StopReason | None:
        """Why the job is to end, or None."""

    def get_work_dir(self) -> Path:
        """The job folder."""

    def get_job_config(self, key: str, default: Any = None) -> Any:
        """The manifest's value at a dotted key."""

    def mark_complete(self, result: Result) -> None:
        """The job's last word when it went well."""

    def mark_failed(self, message: str) -> None:
        """The job's last word when it did not."""


@dataclass(frozen=True)
class Trained:
    """What training made."""

    checkpoint: Path
    epochs_completed: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stopped_early: bool = False  # because of should_stop(), not by its own early stopping
    facts: Sequence[Fact] = ()  # what a translator should read of it
    licence: str | None = None  # of the weights that the model goes back to


@dataclass(frozen=True)
class Inferred:
    """What inference did; its results are published already."""

    cells_written: int
    cells_failed: Mapping[str, str] = field(default_factory=dict)  # cell id -> why
    cells_skipped: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stopped_early: bool = False
    asked: int | None = None  # how many cells were to be written
    facts: Sequence[Fact] = ()  # why it is fewer; without any, the first failed and skipped cell say it
    licence: str | None = None  # of the weights that the model goes back to


Train = Callable[[JobContext, JobCallbacks], Trained]
Infer = Callable[[JobContext, JobCallbacks, Path], Inferred]


def run_training(job: JobContext, callbacks: JobCallbacks, train: Train) -> Result:
    """Trains, publishes the checkpoint, and only then ends as canceled where that was asked for."""
    trained = train(job, callbacks)
    result = _training_result(trained, callbacks)
    _leave_if_asked(callbacks, trained.stopped_early)
    return result


def run_inference(
    job: JobContext, callbacks: JobCallbacks, infer: Infer, *, published: Callable[[], Path] | None = None
) -> Result:
    """Runs a checkpoint of the project (`model.base_checkpoint`) over the chosen cells.

    `published` fetches the weights that are used where the job names no checkpoint, if it asks for some.
    """
    path = job.options.inference.base_checkpoint or job.options.inference.trained_model_path
    if path:
        found = callbacks.scanner.fetch_checkpoint(path)
    elif published is not None:
        found = published()
    else:
        raise UserError(
            f"Job {job.job_id} asks for {job.mode} but names no checkpoint. "
            "Choose one that an earlier training job made (model.base_checkpoint)."
        )
    inferred = infer(job, callbacks, found)
    _leave_if_asked(callbacks, inferred.stopped_early)
    return _inference_result(inferred)


def run_both(job: JobContext, callbacks: JobCallbacks, train: Train, infer: Infer) -> Result:
    """Trains, then uses the fresh checkpoint from where it lies: nothing is fetched twice."""
    trained = train(job, callbacks)
    result = _training_result(trained, callbacks)
    _leave_if_asked(callbacks, trained.stopped_early)
    inferred = infer(job, callbacks, trained.checkpoint)
    _leave_if_asked(callbacks, inferred.stopped_early)
    after = _inference_result(inferred)
    after["metrics"] = {**result.get("metrics", {}), **after.get("metrics", {})}
    # Both halves report what the project they share has to say.
    after["notes"] = list(dict.fromkeys([*result.get("notes", []), *after.get("notes", [])]))
    facts = (*result["summary"].facts, *after["summary"].facts)
    after["summary"] = after["summary"].model_copy(
        update={"epochs": result["summary"].epochs, "facts": tuple(dict.fromkeys(facts))}
    )
    return {**result, **after}


def _training_result(trained: Trained, callbacks: JobCallbacks) -> Result:
    path = callbacks.scanner.publish_artifact(trained.checkpoint, "checkpoint")
    summary = Summary(epochs=trained.epochs_completed, facts=(*trained.facts, *_terms(trained.licence)))
    result: Result = {
        "success": True,
        "epochs_completed": trained.epochs_completed,
        "checkpoint_path": path,
        "metrics": dict(trained.metrics),
        "notes": _notes([*trained.notes, terms_of(trained.licence)], summary),
        "summary": summary,
    }
    if trained.licence and trained.licence != OWN:
        result["licence"] = trained.licence
    return result


def _inference_result(inferred: Inferred) -> Result:
    summary = Summary(asked=inferred.asked, written=inferred.cells_written, facts=_cell_facts(inferred))
    return {
        "success": True,
        "cells_written": inferred.cells_written,
        "cells_failed": len(inferred.cells_failed),
        "cells_skipped": len(inferred.cells_skipped),
        "metrics": dict(inferred.metrics),
        "notes": _notes([*inferred.notes, terms_of(inferred.licence)], summary),
        "summary": summary,
    }


def _notes(notes: Sequence[str], summary: Summary) -> list[str]:
    """The notes with every fact in full, which the log has as well."""
    for line in summary.lines:
        logger.info(line)
    return [note for note in dict.fromkeys([*notes, *summary.lines]) if note]


def _terms(licence: str | None) -> list[Fact]:
    return [Fact(what=What.NOT_COMMERCIAL, example=str(licence))] if forbids_commercial_use(licence) else []


def _cell_facts(inferred: Inferred) -> tuple[Fact, ...]:
    if inferred.facts:
        return tuple(inferred.facts)
    return tuple(
        Fact(what=what, count=len(cells), example=next(iter(cells.values())))
        for what, cells in ((What.FAILED, inferred.cells_failed), (What.SKIPPED, inferred.cells_skipped))
        if cells
    )


def _leave_if_asked(callbacks: JobCallbacks, stopped_early: bool) -> None:
    """Raises what the stop was for, once everything that could be saved is published."""
    if not stopped_early:
        return
    raise stop_error(callbacks.stop_reason())


def stop_error(reason: StopReason | None) -> WorkerError:
    """The exception (JobCanceled, Preempted or JobTimeout) that ends an attempt for this reason."""
    ending = (reason or StopReason.CANCELED).cause.ending
    return error_of(ending.kind, ending.sentence)
