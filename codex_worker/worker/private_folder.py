"""The work directory is for the worker alone: logs, recordings and names of projects lie in it."""

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

# What a worker makes in it.
_PARTS = ("repositories", "lfs", "notes", "reading", "job_*")


def make_private(work_dir: Path) -> None:
    """Makes the work directory, and closes it to other users of this machine.

    A directory that is everybody's (/tmp) stays open, and what lies in it of ours is closed. One that cannot
    be made or changed is left to those who write into it: they say what is wrong with it.
    """
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = work_dir.stat()
        is_shared = status.st_uid != os.geteuid() or bool(status.st_mode & stat.S_ISVTX)
        if not is_shared:
            # A job's process of another user passes through, and sees no names.
            work_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
            return
        logger.warning(
            "The work directory %s is open to other users of this machine. Give the worker one of its own "
            "(--work-dir).", work_dir,
        )  # fmt: skip
        for pattern in _PARTS:
            for part in work_dir.glob(pattern):
                if part.is_dir() and not part.is_symlink() and part.stat().st_uid == os.geteuid():
                    part.chmod(0o700)
    except OSError:
        return
