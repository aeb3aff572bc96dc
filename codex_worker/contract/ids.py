"""Which job ids, worker ids and repository paths may become part of a path."""

import re

from codex_worker.errors import UserError

MAX_JOB_ID_LENGTH = 128
MAX_WORKER_ID_LENGTH = 64
MAX_PATH_LENGTH = 1024

_JOB_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
# A name that is no UTF-8 is read with halves of surrogate pairs in it, which nothing can write again.
_UNSAFE_SEGMENT = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


def job_id_problem(job_id: str) -> str | None:
    """Why no path can be made of this job id, as a sentence; None where it is fine."""
    if not job_id:
        return "The job has an empty job_id."
    if len(job_id) > MAX_JOB_ID_LENGTH:
        return f"The job_id is longer than {MAX_JOB_ID_LENGTH} characters."
    if not _JOB_ID.fullmatch(job_id) or ".." in job_id or job_id.endswith((".lock", ".")):
        return (
            f"The job_id {job_id!r} cannot be a folder name: it may hold letters, digits, '.', '_' and '-' "
            "of ASCII, no '..', no leading or trailing dot and no ending '.lock'."
        )
    return None


def worker_folder(worker_id: str) -> str:
    """The worker id reduced to `[A-Za-z0-9._-]`, without a leading dot, at most 64 characters."""
    reduced = re.sub(r"[^A-Za-z0-9._-]", "-", worker_id)[:MAX_WORKER_ID_LENGTH].lstrip(".").replace("..", "-")
    return reduced.removesuffix(".lock").rstrip(".") or "worker"


def check_repository_path(path: str) -> str:
    """The path itself when it stays inside the repository. Raises UserError.

    Git accepts `..` and `.git` in a path that is handed to fast-import, so this guard is the only one.
    """
    segments = path.split("/")
    inside = path and not path.startswith("/") and all(s not in {"", ".", ".."} for s in segments)
    if not inside or any(_is_git_folder(s) or _UNSAFE_SEGMENT.search(s) for s in segments):
        raise UserError(f"The path {path!r} does not name a file inside the project.")
    return path


def can_lie_on_disk(path: str) -> bool:
    """Whether a file of a repository can be put on this disk under its own name."""
    try:
        check_repository_path(path)
    except UserError:
        return False
    return len(path) <= MAX_PATH_LENGTH and all(len(part.encode()) <= 255 for part in path.split("/"))


def _is_git_folder(segment: str) -> bool:
    return segment.rstrip(" .").lower() in {".git", "git~1"}
