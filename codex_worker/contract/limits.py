"""How large a file of a project may be to be read: git is asked before any of its bytes are."""

from codex_worker.contract.paths import JOBS_FOLDER, MANIFEST, parse_record

MANIFEST_BYTES = 5_000_000
# A result of 64 kB of JSON is up to three times as long in YAML; people and older workers write far less.
RECORD_BYTES = 200_000
JOB_TEXT_BYTES = 5_000_000  # a log, metrics, a page of a ledger, a pointer
FILE_BYTES = 64 * 1024 * 1024  # a notebook, or a small recording that stands where its pointer should be
# All responses and ends of a project that one look reads.
LOOK_BYTES = 16_000_000
# All files that somebody asks for at once.
AT_ONCE_BYTES = 256 * 1024 * 1024


def most_bytes(path: str) -> int:
    """The size above which the file at this path is not read."""
    if path == MANIFEST:
        return MANIFEST_BYTES
    if path.endswith("/response.yaml") or parse_record(path):
        return RECORD_BYTES
    return JOB_TEXT_BYTES if path.startswith(f"{JOBS_FOLDER}/") else FILE_BYTES
