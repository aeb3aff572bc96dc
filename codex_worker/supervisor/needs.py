"""What a job of the full preset needs of a machine, as its handler declares it.

A handler says it in a constant of its module, which is read without importing what computes:

    FULL_NEEDS = {"gpu_gb": 14, "memory_gb": 6, "disk_gb": 10, "model_gb": 2.4, "official_weights": True}
"""

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.options import options_of
from codex_worker.errors import UserError
from codex_worker.supervisor.handlers_found import PACKAGE

CONSTANT = "FULL_NEEDS"


@dataclass(frozen=True)
class FullNeeds:
    """Nothing is asked about what a handler does not declare."""

    gpu_gb: float = 0.0  # of the GPU's memory, until a job of its kind was measured on that GPU
    memory_gb: float = 0.0  # of the machine, beside the GPU's own
    disk_gb: float = 0.0  # for the job folder: recordings, features, checkpoints, the state to go on from
    model_gb: float = 0.0  # the largest file that it publishes
    official_weights: bool = False  # it starts from some of `hub.known`, unless the job names others


def needs_of(handlers_root: Path, entry: JobEntry) -> FullNeeds:
    """What the handler of an entry declares; training and using together needs what training does."""
    folder = handlers_root / PACKAGE / entry.job_type / entry.model_type
    declared = _declared(folder / f"{entry.mode}.py")
    if declared is None and entry.mode == "training_and_inference":
        declared = _declared(folder / "training.py")
    return declared or FullNeeds()


def weights_of(entry: JobEntry) -> tuple[str, ...]:
    """The official weights (names of `hub.WEIGHTS`) that a training of this entry starts from."""
    try:
        options = options_of(entry).training
    except UserError:
        return ()  # it ends with a sentence before anything is fetched
    vocoder = () if options.vocoder == "griffin_lim" else ("vocos",)
    if entry.job_type == "asr" and options.synthetic:
        return vocoder
    if entry.job_type == "asr":
        return () if options.base_checkpoint else (options.weights,)
    if entry.model_type == "vits":
        return ()  # an MMS voice lies in the operator's folder or nowhere: nothing is fetched
    return vocoder if options.base_checkpoint or options.from_scratch else ("stabletts", *vocoder)


@lru_cache(maxsize=64)
def _declared(path: Path) -> FullNeeds | None:
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None  # no such handler, or one that cannot be imported either: the job will say so
    for statement in body:
        if isinstance(statement, ast.Assign) and [getattr(t, "id", "") for t in statement.targets] == [
            CONSTANT
        ]:
            return FullNeeds(**ast.literal_eval(statement.value))
    return None
