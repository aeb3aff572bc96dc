"""Whether this machine can do any job at all; looked at before each claim."""

import os
import shutil
from pathlib import Path

MIN_FREE_BYTES = 500_000_000


def unfitness(work_dir: Path, min_free_bytes: int = MIN_FREE_BYTES) -> str | None:
    """Why no job should be claimed, as a sentence with what to do; None where all is well."""
    probe = work_dir / f".probe-{os.getpid()}"
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"can this be written?")
        probe.unlink()
    except OSError as error:
        return (
            f"The work directory {work_dir} cannot be written: {error.strerror}. "
            "Give another one by --work-dir, or make room there."
        )
    free_bytes = shutil.disk_usage(work_dir).free
    if free_bytes < min_free_bytes:
        return (
            f"The disk of the work directory {work_dir} is full: {free_bytes / 1e6:.0f} MB are free, and a "
            f"job needs at least {min_free_bytes / 1e6:.0f} MB. Remove old job folders (--keep-jobs) or give "
            "another place by --work-dir."
        )
    return None
