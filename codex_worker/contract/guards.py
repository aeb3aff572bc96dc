"""What a commit of ours may touch. Whatever a bug or a stranger's job asks for, these hold."""

import re
from collections.abc import Callable, Mapping

from codex_worker.contract.ids import check_repository_path
from codex_worker.contract.paths import ATTRIBUTES, job_folder, log_path, metrics_path, response_path
from codex_worker.errors import SystemFault

MAX_FILE_BYTES = 5_000_000
POINTERS = ".project/attachments/pointers/"
NOTEBOOKS = "files/target/"

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:[0-9a-f]{64}\nsize [0-9]{1,15}\n"
)


def check_change(job_id: str, files: Mapping[str, bytes | None], exists: Callable[[str], bool]) -> None:
    """Raises SystemFault where a change leaves the job's own files, existing notebooks and new pointers.

    Editors' merges break on empty files and corrupt raw binaries, so neither may ever be committed.
    """
    for path, data in files.items():
        check_repository_path(path)
        if data is None:
            # What the plugin shows is taken away for a while where merges turn every update back.
            if path not in _projections(job_id):
                raise SystemFault(f"A job must not delete {path}.")
            continue
        if not data:
            raise SystemFault(f"{path} would be empty, which blocks the translators' synchronisation.")
        if path.endswith(".codex") and path.startswith(NOTEBOOKS):
            if not exists(path):
                raise SystemFault(f"A job must not create the notebook {path}.")
            continue
        if len(data) > MAX_FILE_BYTES:
            raise SystemFault(
                f"{path} is larger than {MAX_FILE_BYTES // 1_000_000} MB; large files go to LFS."
            )
        _check_text(path, data)
        if not _may_write(job_id, path, data, exists):
            raise SystemFault(f"A job must not write {path}.")


def _may_write(job_id: str, path: str, data: bytes, exists: Callable[[str], bool]) -> bool:
    if path == ATTRIBUTES or path in _projections(job_id):
        return True
    if path.startswith(POINTERS):
        return _POINTER.fullmatch(data) is not None and not exists(path)
    return path.startswith(f"{job_folder(job_id)}/") and not exists(path)


def _projections(job_id: str) -> set[str]:
    return {response_path(job_id), log_path(job_id), metrics_path(job_id)}


def _check_text(path: str, data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or text.startswith("\ufeff"):
        raise SystemFault(f"{path} is not plain UTF-8 text; large and binary files go to LFS.")
