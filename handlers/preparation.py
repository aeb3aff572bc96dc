"""What jobs do before the model's own work: choose cells, take up where the last attempt stopped."""

import os
import shutil
from pathlib import Path

from codex_worker.codex.choose import cells_for_training
from codex_worker.data.project import Cells, Project
from codex_worker.errors import UserError
from codex_worker.training.loop import RESUME
from handlers.base import JobCallbacks, JobContext

MOST_THREADS = 16


def threads() -> int:
    """How many recordings are decoded or encoded at a time."""
    return min(MOST_THREADS, os.cpu_count() or 1)


def cells_to_train_on(job: JobContext, project: Project) -> Cells:
    """The cells with text and recording that the manifest leaves; raises UserError where there are none."""
    cells = project.choose(cells_for_training, job.config, "training")
    if not cells.chosen:
        raise UserError(
            f"No cell of the {len(cells.skipped)} in this project has both text and a selected recording "
            "(after training.include_verses and exclude_verses). Record some verses that have text."
        )
    return cells


def training_folder(job: JobContext, callbacks: JobCallbacks) -> Path:
    """The folder to train in, with what an earlier attempt left behind."""
    folder = job.folder / "training"
    folder.mkdir(parents=True, exist_ok=True)
    resume = callbacks.scanner.fetch_resume()
    if resume is not None and not (folder / RESUME).exists():
        shutil.copyfile(resume, folder / RESUME)
    return folder
