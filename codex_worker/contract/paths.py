"""Where the files of a job lie in a project's repository."""

import re
from dataclasses import dataclass

from codex_worker.contract.ids import job_id_problem, worker_folder

JOBS_FOLDER = "gpu_jobs"
MANIFEST = "gpu_jobs/manifest.yaml"
ATTRIBUTES = "gpu_jobs/.gitattributes"
LEASE_NAMESPACE = "refs/gpu-jobs/"
LEASE_BRANCHES = "refs/heads/gpu-jobs/"
RECORD_NAMESPACE = "refs/gpu-records/"
RECORD_BRANCHES = "refs/heads/gpu-records/"
WATCHER_NAMESPACE = "refs/gpu-watchers/"  # one for each worker that stays to look after a project

# A higher number is a forgery or a slip, and following it would leave no room for later attempts.
MAX_ATTEMPT_NUMBER = 1000

_RECORD = re.compile(r"workers/([^/]+)/(attempt|end)-(\d{1,6})-([0-9a-f]{8})\.yaml")

_OF_A_DISK = re.compile(r"/|\./|[A-Za-z]:/")
_DRIVE = re.compile(r"[A-Za-z]?")


def plain_job_path(written: str) -> str:
    """A path below `gpu_jobs/` as git has it, also from one of Windows or of a whole disk."""
    path = written.strip().replace("\\", "/")
    start, found, inside = path.rpartition(f"/{JOBS_FOLDER}/")
    return f"{JOBS_FOLDER}/{inside}" if found and _OF_A_DISK.match(f"{start}/") else path


def project_and_path(written: str) -> tuple[str, str]:
    """A checkpoint's project, "" for the job's own, and its path there: `PROJECT:gpu_jobs/...`.

    A project is named as the worker's operator knows it, so its name may hold colons itself.
    """
    project, found, inside = written.strip().replace("\\", "/").partition(f":{JOBS_FOLDER}/")
    if found and not _DRIVE.fullmatch(project):
        return project.strip(), f"{JOBS_FOLDER}/{inside}"
    return "", plain_job_path(written)


def job_folder(job_id: str) -> str:
    """The folder of a job's files."""
    return f"{JOBS_FOLDER}/job_{job_id}"


def attempt_path(job_id: str, worker_id: str, number: int, nonce: str) -> str:
    """The immutable file that is a claim."""
    return f"{job_folder(job_id)}/workers/{worker_folder(worker_id)}/attempt-{number}-{nonce}.yaml"


def end_path(job_id: str, worker_id: str, number: int, nonce: str) -> str:
    """The immutable file that ends an attempt; `worker_id` is the attempt's, whoever writes it."""
    return f"{job_folder(job_id)}/workers/{worker_folder(worker_id)}/end-{number}-{nonce}.yaml"


def response_path(job_id: str) -> str:
    """What the plugin reads."""
    return f"{job_folder(job_id)}/response.yaml"


def log_path(job_id: str) -> str:
    """The job's log."""
    return f"{job_folder(job_id)}/logs.txt"


def metrics_path(job_id: str) -> str:
    """The curve that the plugin draws."""
    return f"{job_folder(job_id)}/checkpoint/training_metrics.csv"


@dataclass(frozen=True)
class RecordName:
    """What the name of an attempt or end file says."""

    job_id: str
    folder: str  # the worker's
    kind: str  # "attempt" or "end"
    number: int
    nonce: str


def parse_record(path: str) -> RecordName | None:
    """The job, worker, number and nonce in an attempt's or end's path; None for any other path."""
    prefix = f"{JOBS_FOLDER}/job_"
    if not path.startswith(prefix):
        return None
    job_id, _, rest = path[len(prefix) :].partition("/")
    match = _RECORD.fullmatch(rest)
    if not match or job_id_problem(job_id) or not 1 <= int(match[3]) <= MAX_ATTEMPT_NUMBER:
        return None
    return RecordName(job_id, match[1], match[2], int(match[3]), match[4])
