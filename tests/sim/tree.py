"""What a commit holds, read without the product's judgement: jobs with their records, entries, cells."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from codex_worker.contract.paths import MANIFEST, RecordName, parse_record
from tests.sim.servers import Files

FINAL_STATES = {"completed", "canceled"}
FINAL_KINDS = {"user", "data", "model", "timeout", "canceled", None}


@dataclass(frozen=True)
class JobFiles:
    """What a tree holds of a job: its attempts, and its ends by attempt (number, nonce)."""

    attempts: frozenset[tuple[int, str]]
    ends: Mapping[tuple[int, str], Mapping[str, Any]]

    @property
    def newest(self) -> tuple[int, str] | None:
        return max(self.attempts, default=None)

    @property
    def running(self) -> set[tuple[int, str]]:
        return {attempt for attempt in self.attempts if attempt not in self.ends}

    @property
    def final_end(self) -> Mapping[str, Any] | None:
        finals = [attempt for attempt in sorted(self.ends) if is_final(self.ends[attempt])]
        return self.ends[finals[0]] if finals else None

    @property
    def failures(self) -> list[str]:
        """Who failed the job because of the machine, an item for each time."""
        broken = {"system", "resource"}
        return [
            end["worker_id"]
            for end in self.ends.values()
            if end["state"] == "lost" or end.get("kind") in broken
        ]

    def releases(self) -> int:
        return sum(end["state"] in {"preempted", "yielded"} for end in self.ends.values())


def is_final(end: Mapping[str, Any]) -> bool:
    """Whether an end file's content ends the job."""
    if end.get("final") or end["state"] in FINAL_STATES:
        return True
    return end["state"] == "failed" and end.get("kind") in FINAL_KINDS


def job_files(files: Files, job_id: str) -> JobFiles:
    """What these files say of a job."""
    prefix = f"gpu_jobs/job_{job_id}/workers/"
    found = [(parse_record(path), path) for path in files if path.startswith(prefix)]
    names = [(name, path) for name, path in found if name]
    return JobFiles(
        frozenset(_key(name) for name, _ in names if name.kind == "attempt"),
        {_key(name): parsed(files[path]) for name, path in names if name.kind == "end"},
    )


def record_files(job_id: str, files: Files) -> Files:
    """The attempt and end files that a job's record holds, under the names that they have on the branch."""
    named = {}
    for path, data in files.items():
        if path == "attempt.yaml" or path.startswith(("attempts/", "ends/")):
            said = parsed(data)
            kind = "end" if path.startswith("ends/") else "attempt"
            name = f"{kind}-{said['number']}-{said['nonce']}.yaml"
            named[f"gpu_jobs/job_{job_id}/workers/{said['worker_id']}/{name}"] = data
    return named


def _key(name: RecordName) -> tuple[int, str]:
    return (name.number, name.nonce)


def is_projection(path: str) -> bool:
    """Whether a file may be written again and again."""
    return path.endswith(("/response.yaml", "/logs.txt", "/training_metrics.csv", ".gitattributes"))


def job_of(ref: str) -> str:
    """The job that a lease belongs to."""
    return ref.rpartition("/")[2]


def entries_of(files: Files) -> list[dict[str, Any]]:
    """The manifest's entries."""
    return parsed(files[MANIFEST])["jobs"]


@lru_cache(maxsize=20_000)
def parsed(data: bytes) -> Any:
    """A YAML file's content."""
    return yaml.load(data, yaml.CSafeLoader)


@lru_cache(maxsize=2_000)
def cells_of(data: bytes) -> dict[str, dict[str, Any]]:
    """A notebook's cells by id."""
    return {cell["metadata"]["id"]: cell for cell in json.loads(data)["cells"]}
