"""The record of a job: the truth about it, on a ref of its own that no translator's merge touches.

A merge of the editor can leave out what we pushed while somebody synced. So what the branch holds of a job
is a projection of this: the newest attempt, all ends, and what was published.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from codex_worker.contract.ids import worker_folder
from codex_worker.contract.paths import RecordName, end_path
from codex_worker.contract.records import Attempt, End, StoredRecord, read_record
from codex_worker.errors import DataError

VERSION = 1
ABOUT = "about.yaml"
ATTEMPT = "attempt.yaml"
ENTRY = "entry.yaml"  # what the manifest asked for when the job was claimed
LOG = "logs.txt"
METRICS = "training_metrics.csv"
EARLIER = "attempts/"  # those before the newest
ENDS = "ends/"
PUBLISHED = "published/"  # the ledger's pages
PLAIN_FILES = "files/"  # published text files by their blob ids
MAX_ENDS = 100

_PAGE = re.compile(r"published/([1-9][0-9]{0,4})\.jsonl")


class About(StoredRecord):
    """What a record says of itself and of the job as a whole."""

    version: int = VERSION
    since: str = Field(pattern=r"^[0-9a-f]{40,64}$")  # the branch's commit before the first claim
    deleted_at: datetime | None = None  # when a worker saw that a person had deleted the job
    settled: bool = False  # everything is at the head for good, and the ledger is closed


@dataclass(frozen=True)
class JobRecord:
    """A record as one commit of its ref holds it."""

    job_id: str
    commit: str
    about: About
    attempt: Attempt
    earlier: Mapping[RecordName, Attempt]
    ends: Mapping[RecordName, End]
    blobs: Mapping[str, str]  # its files: path -> blob id

    @property
    def attempt_name(self) -> RecordName:
        """The newest attempt, named as its file on the branch is."""
        return name_of(self.attempt)

    @property
    def pages(self) -> list[str]:
        """The paths of the ledger's pages, in order."""
        numbered = [(page_number(path), path) for path in self.blobs]
        return [path for number, path in sorted(numbered) if number]

    @property
    def on_branch(self) -> dict[str, bytes]:
        """The files that the branch has to have for it."""
        there = {attempt.path: attempt.render() for attempt in (self.attempt, *self.earlier.values())}
        for name, end in self.ends.items():
            there[end_path(self.job_id, name.folder, name.number, name.nonce)] = end.render()
        return there


def name_of(attempt: Attempt) -> RecordName:
    """An attempt, named as its file is."""
    folder = worker_folder(attempt.worker_id)
    return RecordName(attempt.job_id, folder, "attempt", attempt.number, attempt.nonce)


def earlier_file(attempt: Attempt) -> str:
    """Where an attempt lies in the record once there is a newer one."""
    return f"{EARLIER}{attempt.name}.yaml"


def end_file(name: RecordName) -> str:
    """Where an attempt's end lies in the record."""
    return f"{ENDS}{name.number}-{name.nonce}.yaml"


def page_path(number: int) -> str:
    """Where a page of the ledger lies in the record."""
    return f"{PUBLISHED}{number}.jsonl"


def page_number(path: str) -> int:
    """Which page of the ledger a path is; 0 for any other file."""
    match = _PAGE.fullmatch(path)
    return int(match[1]) if match else 0


def small_files(blobs: Mapping[str, str]) -> list[str]:
    """The files of a record that its states are read from."""
    more = sorted(path for path in blobs if path.startswith((ENDS, EARLIER)))[:MAX_ENDS]
    return [path for path in (ABOUT, ATTEMPT, *more) if path in blobs]


def parse_job_record(
    job_id: str, commit: str, blobs: Mapping[str, str], contents: Mapping[str, bytes]
) -> JobRecord:
    """A record from its files. Raises DataError where it is damaged, another job's, or of another version."""
    where = f"The record of job {job_id}"
    about = read_record(About, contents.get(ABOUT, b""), f"{where} ({ABOUT})")
    if about.version != VERSION:
        raise DataError(f"{where} is of version {about.version!s:.20}; this worker knows version {VERSION}.")
    attempt = _attempt(job_id, contents.get(ATTEMPT, b""), f"{where} ({ATTEMPT})")
    earlier: dict[RecordName, Attempt] = {}
    ends: dict[RecordName, End] = {}
    for path in small_files(blobs):
        data = contents.get(path, b"")
        if path.startswith(EARLIER):
            found = _attempt(job_id, data, f"{where} ({path})")
            earlier[name_of(found)] = found
        elif path.startswith(ENDS):
            end = read_record(End, data, f"{where} ({path})")
            name = RecordName(job_id, worker_folder(end.worker_id), "end", end.number, end.nonce)
            if end_file(name) != path:
                raise DataError(
                    f"{where} has an end of attempt {end.number!s:.20}-{end.nonce:.20} at {path}."
                )
            ends[name] = end
    return JobRecord(job_id, commit, about, attempt, earlier, ends, blobs)


def _attempt(job_id: str, data: bytes, where: str) -> Attempt:
    attempt = read_record(Attempt, data, where)
    if attempt.job_id != job_id:
        raise DataError(f"{where} tells of job {attempt.job_id:.80}.")
    return attempt
