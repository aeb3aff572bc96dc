"""The change that makes a job ours: the attempt file, the lease and the record, all in one push."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from codex_worker.contract import yaml_text
from codex_worker.contract.job_record import ENTRY
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import ATTRIBUTES, RecordName, response_path
from codex_worker.contract.records import Attempt, End, EndState, Lease
from codex_worker.contract.response import end_response, running_response
from codex_worker.contract.state import JobFacts, failures_of
from codex_worker.git.repository import Change, LeaseMove
from codex_worker.queue.closing import Place, Verdict, end_path_of, next_attempt, stale_end, tombstone
from codex_worker.queue.projections import dropped_files, projections_at_head
from codex_worker.queue.recording import attempt_files, next_page, record_move

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
    record_ref: str | None  # None: this server takes no records
    first_page: int  # of the attempt's part of the ledger
    earlier: frozenset[str] = frozenset()  # the names of the job's attempts before this one


def claim_change(
    facts: JobFacts,
    entry: JobEntry,
    *,
    worker_id: str,
    moment: datetime,
    place: Place,
    with_attributes: bool,
    with_response: bool,
    ended: End | None = None,
) -> Change[Claim]:
    """Claims a job; with `ended`, the end of a silent worker's attempt goes into the same commit.

    Without `with_response`, what an earlier attempt has left of the projections is removed: so its end can
    be told in a new file, which every merge takes over.
    """
    attempt = next_attempt(facts, worker_id, moment, place.lease_ref)
    lease = Lease(
        number=attempt.number,
        nonce=attempt.nonce,
        beat=secrets.token_hex(8),
        at=moment,
        stage="claimed",
        resume=facts.lease.resume if facts.lease else None,
    )
    retries = failures_of(facts) + (1 if ended and ended.state is EndState.LOST else 0)
    files: dict[str, bytes | None] = {**dropped_files(facts), attempt.path: attempt.render()}
    if with_response:
        message = "Claimed"
        response = running_response(attempt, moment, retries=retries, message=message)
        files[response_path(facts.job_id)] = response
    else:
        files |= dict.fromkeys(projections_at_head(facts))
    proofs = [attempt.path]
    if ended:
        files[end_path_of(facts.job_id, ended)] = ended.render()
        proofs.append(end_path_of(facts.job_id, ended))
    if with_attributes:
        files[ATTRIBUTES] = ATTRIBUTES_TEXT
    moves = [LeaseMove(place.lease_ref, facts.lease_id, lease.render())] if place.lease_ref else []
    earlier = frozenset(f"{name.number}-{name.nonce}" for name in facts.attempts)
    claim = Claim(entry, attempt, lease, place.record_ref, next_page(facts), earlier)
    held = {**attempt_files(attempt, ended), ENTRY: yaml_text.dump(dict(entry.config))}
    records = record_move(facts, place.record_ref, place.head, held)
    return Change(files, f"Job {facts.job_id} claimed by {worker_id}", moves, proofs, claim, records)


def ending_change(
    facts: JobFacts,
    stale: RecordName,
    verdict: Verdict,
    *,
    observer: str,
    moment: datetime,
    place: Place,
    with_response: bool,
) -> Change[None]:
    """Ends a silent worker's attempt without claiming the job."""
    end = stale_end(facts, stale, verdict, observer, moment)
    path = end_path_of(facts.job_id, end)
    files: dict[str, bytes | None] = {**dropped_files(facts), path: end.render()}
    if end.is_final or with_response:
        files[response_path(facts.job_id)] = end_response(end, retries=failures_of(facts))
    lease = tombstone(stale.number, stale.nonce, moment)
    if not end.is_final:
        resume = facts.lease.resume if facts.lease else None
        lease = lease.model_copy(update={"state": "released", "resume": resume})
    moves = [LeaseMove(place.lease_ref, facts.lease_id, lease.render())] if place.lease_ref else []
    # A job of a version that knew no records gets one with its next claim; its end alone needs none.
    records = []
    if facts.record is not None:
        records = record_move(facts, place.record_ref, place.head, attempt_files(facts.record.attempt, end))
    return Change(files, f"Job {facts.job_id}: {end.state.value}", moves, [path], records=records)
