"""Putting the truth back where a merge brought old projections: response, log and metrics."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from codex_worker.contract.limits import JOB_TEXT_BYTES
from codex_worker.contract.paths import log_path, metrics_path, response_path
from codex_worker.contract.records import Attempt, End
from codex_worker.contract.response import end_response, read_response, running_response
from codex_worker.contract.state import JobFacts, failures_of
from codex_worker.errors import SystemFault
from codex_worker.git.ports import Snapshot

logger = logging.getLogger(__name__)

# So that somebody who always merges does not meet a commit of ours every few minutes.
PAUSES_S = (0.0, 15 * 60.0, 3600.0, 6 * 3600.0)
# In which everybody who edits has synced: the editor does so every five minutes.
REMOVAL_PAUSE_S = 15 * 60.0
TIMES_BEFORE_REMOVAL = 1


@dataclass
class ReassertionPause:
    """How often one job's projections were put back, and when that may happen again."""

    times: int = 0
    not_before_s: float = float("-inf")

    def allows(self, now_s: float) -> bool:
        """True when the pause is over."""
        return now_s >= self.not_before_s

    def used(self, now_s: float, *, removed: bool) -> None:
        """Notes that the truth was put back now, or that a wrong file was taken away first."""
        self.times += 1
        pause_s = REMOVAL_PAUSE_S if removed else PAUSES_S[min(self.times, len(PAUSES_S) - 1)]
        self.not_before_s = now_s + pause_s


def dropped_files(facts: JobFacts) -> dict[str, bytes | None]:
    """The attempt and end files that the record names and the branch lacks."""
    there = facts.record.on_branch if facts.record else {}
    return {path: there[path] for path in facts.dropped if path in there}


def say_what_was_dropped(facts: JobFacts) -> None:
    """Tells the log why files of a job are written a second time."""
    if facts.dropped:
        rewritten = facts.removals is not None and facts.removals.is_rewritten
        why = "the branch's history was rewritten" if rewritten else "a translator's sync left them out"
        logger.warning("Job %s: %d of its files are put back, for %s.", facts.job_id, len(facts.dropped), why)


def projections_at_head(facts: JobFacts) -> list[str]:
    """The projections that the branch has."""
    return [path for path, oid in _at_head(facts).items() if oid]


def needs_reassertion(facts: JobFacts, *, sees_progress: bool) -> bool:
    """True when a projection at the head doesn't say what the newest record says.

    Before its final end a job has none, unless somebody `sees_progress` in them.
    """
    end = _authority(facts)
    if end is not None and (end.is_final or sees_progress):
        return bool(_false(facts, end))
    newest = facts.newest
    if newest is None or facts.has_end(newest) or not sees_progress:
        return False
    seen = facts.response or {}
    return seen.get("state") != "running" or _folder_of(seen) != newest.folder


def reassertion(
    facts: JobFacts, sources: Sequence[Snapshot], attempt: Attempt | None, *, may_remove: bool
) -> dict[str, bytes | None]:
    """The files that say again what the newest record says; `attempt` is the running one's record.

    `sources` are where log and metrics can be had from: the job's record, which has the final ones also
    where the branch's history is gone, and the head.

    With `may_remove`, what is there and false is only taken away: a merge takes a deletion over, and later
    a new file, but never an update of a file that a translator has.
    """
    retries = failures_of(facts)
    end = _authority(facts)
    if end is None:
        if attempt is None:
            return {}
        response = running_response(attempt, attempt.claimed_at, retries=retries, message="Running")
        return {response_path(facts.job_id): response}
    false = _false(facts, end)
    there = [path for path in false if _at_head(facts)[path]]
    if may_remove and there and end.is_final:
        return dict.fromkeys(there)
    files: dict[str, bytes | None] = {}
    if response_path(facts.job_id) in false:
        files[response_path(facts.job_id)] = end_response(end, retries=retries)
    wanted = {path: oid for path, oid in _final_blobs(facts, end).items() if path in false}
    for source in sources:
        files.update(_blobs(source, {path: oid for path, oid in wanted.items() if path not in files}))
    return files


def _false(facts: JobFacts, end: End) -> list[str]:
    """The projections that are missing, or do not say what the end says."""
    wanted = read_response(end_response(end, retries=failures_of(facts)), "")
    seen = facts.response or {}
    same = all(seen.get(key) == wanted.get(key) for key in ("worker_id", "state", "timestamp"))
    false = [] if same else [response_path(facts.job_id)]
    at_head = _at_head(facts)
    return false + [path for path, oid in _final_blobs(facts, end).items() if at_head[path] != oid]


def _final_blobs(facts: JobFacts, end: End) -> dict[str, str]:
    named = {log_path(facts.job_id): end.log_blob, metrics_path(facts.job_id): end.metrics_blob}
    return {path: oid for path, oid in named.items() if oid}


def _at_head(facts: JobFacts) -> dict[str, str | None]:
    return {
        response_path(facts.job_id): facts.response_blob,
        log_path(facts.job_id): facts.log_blob,
        metrics_path(facts.job_id): facts.metrics_blob,
    }


def _authority(facts: JobFacts) -> End | None:
    """The end that the projections have to tell of; None while an attempt runs."""
    if facts.final_end:
        return facts.final_end[1]
    newest = facts.newest
    return facts.end_of(newest) if newest else None


def _blobs(snapshot: Snapshot, wanted: Mapping[str, str]) -> dict[str, bytes | None]:
    if not wanted:
        return {}
    try:
        contents = snapshot.read_blobs(dict.fromkeys(wanted.values(), JOB_TEXT_BYTES))
    except SystemFault as error:
        # The response matters most; a log that the server does not give out now is tried again later.
        logger.warning("An old log or metrics file cannot be read any more: %s", error)
        return {}
    return {path: contents[oid] for path, oid in wanted.items() if contents.get(oid)}


def _folder_of(response: Mapping[str, object]) -> str:
    from codex_worker.contract.ids import worker_folder

    return worker_folder(str(response.get("worker_id", "")))
