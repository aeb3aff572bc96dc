"""Reading the jobs' records, and what the history says of what they name and the branch lacks."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from codex_worker.contract import yaml_text
from codex_worker.contract.ids import job_id_problem
from codex_worker.contract.job_record import JobRecord, parse_job_record, small_files
from codex_worker.contract.limits import MANIFEST_BYTES
from codex_worker.contract.manifest import read_manifest
from codex_worker.contract.paths import MANIFEST, RECORD_BRANCHES, RECORD_NAMESPACE, job_folder
from codex_worker.contract.state import JobFacts, Removals
from codex_worker.errors import DataError, SystemFault, UserError
from codex_worker.git.ports import Heads, PathChange, Snapshot
from codex_worker.git.repository import Repository

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundRecord:
    """A record's commit, and what it says; None where that cannot be read."""

    commit: str
    record: JobRecord | None


class RecordReader:
    """Reads records; each commit of one is read once."""

    def __init__(self) -> None:
        self._found: Mapping[str, FoundRecord] = {}

    def waiting(self, heads: Heads) -> list[str]:
        """The jobs whose records have not been read as they are."""
        known = self._found
        wanted = {job_id: oid for ref, oid in heads.records.items() if (job_id := job_of_record(ref))}
        return [job_id for job_id, oid in wanted.items() if not _is(known.get(job_id), oid)]

    def read(self, heads: Heads, repository: Repository, jobs: Collection[str]) -> dict[str, FoundRecord]:
        """The records of these jobs, and all others that are known already."""
        wanted = {job_id: oid for ref, oid in heads.records.items() if (job_id := job_of_record(ref))}
        known = self._found
        now = {job_id: known[job_id] for job_id, oid in wanted.items() if _is(known.get(job_id), oid)}
        new = {job_id: wanted[job_id] for job_id in jobs if job_id in wanted and job_id not in now}
        if new:
            snapshots = repository.records(list(new.values()))
            for job_id, oid in new.items():
                now[job_id] = FoundRecord(oid, _parsed(job_id, oid, snapshots.get(oid)))
        self._found = now
        return now


def job_of_record(ref: str) -> str | None:
    """The job that a record's ref belongs to; None where its name is no job's."""
    job_id = ref.removeprefix(RECORD_NAMESPACE).removeprefix(RECORD_BRANCHES)
    return None if job_id_problem(job_id) else job_id


def record_at(heads: Heads, job_id: str) -> str | None:
    """The job's record ref on the server."""
    refs = (f"{RECORD_NAMESPACE}{job_id}", f"{RECORD_BRANCHES}{job_id}")
    return next((ref for ref in refs if ref in heads.records), None)


def with_names_of(facts: JobFacts, record: JobRecord, blobs: Mapping[str, str]) -> JobFacts:
    """The facts with the attempts and ends that the record names, and which of their files are missing."""
    known = {(name.number, name.nonce) for name in facts.attempts}
    names = [record.attempt_name, *record.earlier, *(replace(name, kind="attempt") for name in record.ends)]
    more = [name for name in names if (name.number, name.nonce) not in known]
    return replace(
        facts,
        attempts=(*facts.attempts, *dict.fromkeys(more)),
        ends={**record.ends, **facts.ends},
        dropped=tuple(path for path in record.on_branch if path not in blobs),
    )


@dataclass(frozen=True)
class Claimed:
    """Where a job's history begins, and which files cannot be older than that."""

    record_ref: str | None
    since: str
    paths: frozenset[str]


def removals_of(
    facts: JobFacts, claimed: Claimed, snapshot: Snapshot, heads: Heads, repository: Repository
) -> Removals | None:
    """What people's own commits have removed of the job; None where the history is too long to know.

    Then, as the plugin's "delete" takes away entry and folder at once, a job that has neither counts as
    deleted.
    """
    folder = job_folder(facts.job_id)
    wanted = [MANIFEST, folder]
    changes = repository.ordinary_changes(heads, claimed.record_ref, claimed.since, wanted)
    if changes is None:
        is_gone = facts.entry is None and facts.invalid is None and not snapshot.files(folder)
        logger.warning("The history since job %s was claimed is too long to be looked at.", facts.job_id)
        return Removals(of_job=True, of_entry=True) if is_gone else None
    removed = [change for change in changes if change.after is None and change.path != MANIFEST]
    entry_removed_by = _commits_without_entry(facts.job_id, changes, snapshot)
    return Removals(
        of_job=any(
            change.path.startswith(f"{folder}/workers/") or change.commit in entry_removed_by
            for change in removed
        ),
        of_entry=bool(entry_removed_by),
        is_rewritten=not any(change.path in claimed.paths and change.after for change in changes),
    )


def _commits_without_entry(job_id: str, changes: list[PathChange], snapshot: Snapshot) -> set[str]:
    """The commits that took the job's entry out of the manifest."""
    of_manifest = [change for change in changes if change.path == MANIFEST and change.before]
    versions = {oid for c in of_manifest for oid in (c.before, c.after) if oid}
    blobs = snapshot.read_blobs(dict.fromkeys(versions, MANIFEST_BYTES))
    return {
        change.commit
        for change in of_manifest
        if _asks_for(job_id, blobs.get(change.before or ""))
        and (change.after is None or _asks_for(job_id, blobs.get(change.after)) is False)
    }


def _asks_for(job_id: str, manifest: bytes | None) -> bool | None:
    """Whether a manifest has an entry of the job; None where it cannot be read."""
    if manifest is None:
        return None
    try:
        found = read_manifest(yaml_text.load(manifest, MANIFEST))
    except (DataError, UserError):
        return None
    return job_id in found.jobs or any(entry.job_id == job_id for entry in found.bad)


def _is(found: FoundRecord | None, commit: str) -> bool:
    return found is not None and found.commit == commit


def _parsed(job_id: str, commit: str, snapshot: Snapshot | None) -> JobRecord | None:
    if snapshot is None:
        return None
    try:
        blobs = {entry.path: entry.oid for entry in snapshot.files()}
        contents = snapshot.read_many(small_files(blobs))
        return parse_job_record(job_id, commit, blobs, contents)
    except DataError as error:
        logger.warning("%s It counts as none.", error)
    except SystemFault:
        raise
    except Exception:  # one record that our code was not made for must not cost the other jobs
        logger.exception("The record of job %s cannot be read. It counts as none.", job_id)
    return None
