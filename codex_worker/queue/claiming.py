"""The change that makes a job ours: the attempt file, the response and the lease, all in one push."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import ATTRIBUTES, RecordName, response_path
from codex_worker.contract.records import Attempt, End, EndState, Lease
from codex_worker.contract.response import end_response, running_response
from codex_worker.contract.state import JobFacts, failures_of
from codex_worker.git.repository import Change, LeaseMove
from codex_worker.queue.closing import Verdict, next_attempt, stale_end, tombstone

# Stock git-lfs clients handle our binaries by it; the editor overwrites the root's file.
ATTRIBUTES_TEXT = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % suffix
    for suffix in (b"safetensors", b"pt", b"webm", b"wav", b"mp3", b"m4a", b"ogg")
)


@dataclass(frozen=True)
class Claim:
    """A claim that was built; it counts once its commit has landed."""

    entry: JobEntry
    attempt: Attempt
    lease: Lease


def claim_change(
    facts: JobFacts,
    entry: JobEntry,
    *,
    worker_id: str,
    moment: datetime,
    lease_ref: str | None,
    with_attributes: bool,
    ended: tuple[str, End] | None = None,
) -> Change[Claim]:
    """Claims a job; with `ended`, the end of a silent worker's attempt goes into the same commit."""
    attempt = next_attempt(facts, worker_id, moment, lease_ref)
    lease = Lease(
        number=attempt.number,
        nonce=attempt.nonce,
        beat=secrets.token_hex(8),
        at=moment,
        stage="claimed",
        resume=facts.lease.resume if facts.lease else None,
    )
    retries = failures_of(facts) + (1 if ended and ended[1].state is EndState.LOST else 0)
    files: dict[str, bytes | None] = {
        attempt.path: attempt.render(),
        response_path(facts.job_id): running_response(attempt, moment, retries=retries, message="Claimed"),
    }
    proofs = [attempt.path]
    if ended:
        files[ended[0]] = ended[1].render()
        proofs.append(ended[0])
    if with_attributes:
        files[ATTRIBUTES] = ATTRIBUTES_TEXT
    moves = [LeaseMove(lease_ref, facts.lease_id, lease.render())] if lease_ref else []
    claim = Claim(entry, attempt, lease)
    return Change(files, f"Job {facts.job_id} claimed by {worker_id}", moves, proofs, claim)


def ending_change(
    facts: JobFacts,
    stale: RecordName,
    verdict: Verdict,
    *,
    observer: str,
    moment: datetime,
    lease_ref: str | None,
) -> Change[None]:
    """Ends a silent worker's attempt without claiming the job."""
    path, end = stale_end(facts, stale, verdict, observer, moment)
    files: dict[str, bytes | None] = {
        path: end.render(),
        response_path(facts.job_id): end_response(end, retries=failures_of(facts)),
    }
    lease = tombstone(stale.number, stale.nonce, moment)
    if not end.is_final:
        resume = facts.lease.resume if facts.lease else None
        lease = lease.model_copy(update={"state": "released", "resume": resume})
    moves = [LeaseMove(lease_ref, facts.lease_id, lease.render())] if lease_ref else []
    return Change(files, f"Job {facts.job_id}: {end.state.value}", moves, [path])
