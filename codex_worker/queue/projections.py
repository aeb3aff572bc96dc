"""Putting the truth back where a merge brought old projections: response, log and metrics."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from codex_worker.contract.paths import log_path, metrics_path, response_path
from codex_worker.contract.records import Attempt, End
from codex_worker.contract.response import end_response, read_response, running_response
from codex_worker.contract.state import JobFacts, failures_of
from codex_worker.errors import SystemFault
from codex_worker.git.ports import Snapshot

logger = logging.getLogger(__name__)

# So that somebody who always merges does not meet a commit of ours every few minutes.
PAUSES_S = (0.0, 15 * 60.0, 3600.0, 6 * 3600.0)


@dataclass
class ReassertionPause:
    """How often one job's projections were put back, and when that may happen again."""

    times: int = 0
    not_before_s: float = float("-inf")

    def allows(self, now_s: float) -> bool:
        """True when the pause is over."""
        return now_s >= self.not_before_s

    def used(self, now_s: float) -> None:
        """Notes that the truth was put back now."""
        self.times += 1
        self.not_before_s = now_s + PAUSES_S[min(self.times, len(PAUSES_S) - 1)]


def needs_reassertion(facts: JobFacts) -> bool:
    """True when a projection at the head doesn't say what the newest record says."""
    end = _authority(facts)
    if end is not None:
        wanted = read_response(end_response(end, retries=failures_of(facts)), "")
        seen = facts.response or {}
        same = all(seen.get(key) == wanted.get(key) for key in ("worker_id", "state", "timestamp"))
        log_true = end.log_blob is None or facts.log_blob == end.log_blob
        metrics_true = end.metrics_blob is None or facts.metrics_blob == end.metrics_blob
        return not (same and log_true and metrics_true)
    newest = facts.newest
    if newest is None or facts.has_end(newest):
        return False
    seen = facts.response or {}
    return seen.get("state") != "running" or _folder_of(seen) != newest.folder


def reassertion(facts: JobFacts, snapshot: Snapshot, attempt: Attempt | None) -> dict[str, bytes | None]:
    """The files that say again what the newest record says; `attempt` is the running one's record."""
    retries = failures_of(facts)
    end = _authority(facts)
    if end is None:
        if attempt is None:
            return {}
        response = running_response(attempt, attempt.claimed_at, retries=retries, message="Running")
        return {response_path(facts.job_id): response}
    files: dict[str, bytes | None] = {response_path(facts.job_id): end_response(end, retries=retries)}
    wanted = {log_path(facts.job_id): end.log_blob, metrics_path(facts.job_id): end.metrics_blob}
    there = {log_path(facts.job_id): facts.log_blob, metrics_path(facts.job_id): facts.metrics_blob}
    missing = {path: oid for path, oid in wanted.items() if oid and there[path] != oid}
    files.update(_blobs(snapshot, missing))
    return files


def _authority(facts: JobFacts) -> End | None:
    """The end that the projections have to tell of; None while an attempt runs."""
    if facts.final_end:
        return facts.final_end[1]
    newest = facts.newest
    return facts.end_of(newest) if newest else None


def _blobs(snapshot: Snapshot, wanted: Mapping[str, str]) -> dict[str, bytes | None]:
    try:
        contents = snapshot.read_blobs(wanted.values())
    except SystemFault as error:
        # The response matters most; a log that the server no longer gives out can't be put back.
        logger.warning("An old log or metrics file cannot be read any more: %s", error)
        return {}
    return {path: contents[oid] for path, oid in wanted.items() if contents.get(oid)}


def _folder_of(response: Mapping[str, object]) -> str:
    from codex_worker.contract.ids import worker_folder

    return worker_folder(str(response.get("worker_id", "")))
