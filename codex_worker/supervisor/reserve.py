"""Room that is set aside on the work directory's disk: a job that has filled it still gets its end."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from codex_worker.git.faults import is_full

logger = logging.getLogger(__name__)

# An end with its log and metrics, the commits that bring them, and what git writes beside them.
RESERVE_BYTES = 8 << 20
_NAME = ".reserve"


@dataclass(frozen=True)
class Reserve:
    """A file that takes up the room until it is needed."""

    work_dir: Path
    size_bytes: int = RESERVE_BYTES

    def set_aside(self) -> None:
        """Takes the room, where it is there; without it a job is begun all the same."""
        path = self.work_dir / _NAME
        try:
            if path.is_file() and path.stat().st_size == self.size_bytes:
                return
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size_bytes)
        except OSError as error:
            path.unlink(missing_ok=True)
            logger.debug("No room could be set aside in %s: %s", self.work_dir, error)

    def make_room(self, job_folder: Path) -> None:
        """Gives the room free where the disk is full, and with it what a job has only for a while."""
        if not is_full(self.work_dir, self.size_bytes):
            return
        logger.warning("The disk of %s is full: the room that was set aside is used.", self.work_dir)
        (self.work_dir / _NAME).unlink(missing_ok=True)
        shutil.rmtree(job_folder / "tmp", ignore_errors=True)
