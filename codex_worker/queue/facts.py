"""Reading what one commit says of the jobs: manifest, records, responses and leases."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from codex_worker.contract import yaml_text
from codex_worker.contract.ids import job_id_problem
from codex_worker.contract.limits import LOOK_BYTES, MANIFEST_BYTES, RECORD_BYTES, most_bytes
from codex_worker.contract.manifest import BadEntry, Manifest, read_manifest
from codex_worker.contract.paths import (
    JOBS_FOLDER,
    LEASE_BRANCHES,
    LEASE_NAMESPACE,
    MANIFEST,
    RECORD_BRANCHES,
    RECORD_NAMESPACE,
    RecordName,
    log_path,
    metrics_path,
    parse_record,
    response_path,
)
from codex_worker.contract.records import End, Lease, read_record
from codex_worker.contract.response import UNREADABLE, read_response, signs_of
from codex_worker.contract.state import JobFacts, Removals
from codex_worker.errors import DataError, UserError
from codex_worker.git.ports import Entry, Heads, Snapshot
from codex_worker.git.repository import Repository
from codex_worker.queue.record_reading import (
    Claimed,
    FoundRecord,
    RecordReader,
    record_at,
    removals_of,
    with_names_of,
)

logger = logging.getLogger(__name__)

MAX_PARSED = 20_000
MAX_LEASES_A_LOOK = 1000
MAX_RECORDS_A_LOOK = 500  # each takes some git commands
MAX_HISTORIES_A_LOOK = 50  # each takes a request


@dataclass(frozen=True)
class Survey:
    """All jobs of one commit."""

    commit: str
    jobs: Mapping[str, JobFacts]
    nameless: tuple[BadEntry, ...] = ()  # entries of which no path can be made: only the log can tell
    problem: str | None = None  # why the manifest can't be read; its jobs are then left as they are
    unread: frozenset[str] = frozenset()  # jobs that had to wait, because one look may cost only so much


Parsed = Mapping[tuple[str, str], Any]  # (kind of file, blob id) -> what it says


class FactReader:
    """Reads surveys; what a blob says is parsed once. Several threads may ask at the same time.

    The memory of parsed blobs is replaced as a whole and never changed in place, and a survey is made of
    what it looked up itself: so it does not matter what other threads remember or forget meanwhile.
    """

    def __init__(self) -> None:
        self._parsed: Parsed = {}
        self._leases: Mapping[str, Lease | None] = {}
        self._records = RecordReader()
        self._removals: dict[str, tuple[tuple[str, ...], Removals | None]] = {}

    def survey(
        self,
        snapshot: Snapshot,
        heads: Heads,
        repository: Repository,
        only: Collection[str] | None = None,
        *,
        to_be_written: bool = False,
    ) -> Survey:
        """All jobs that the manifest, a job folder, a record or a lease tells of; or `only` some, whole.

        Of all jobs, those whose records or histories are more than one look may read are left out. Before
        another's running job is `to_be_written` to, its history is asked whether a person has deleted it:
        a merge can have brought all its files back.
        """
        entries = snapshot.files(JOBS_FOLDER)
        blobs = {entry.path: entry.oid for entry in entries}
        parsed = self._parse(snapshot, entries)
        waiting = self._records.waiting(heads)
        unread = set() if only is not None else set(waiting[MAX_RECORDS_A_LOOK:])
        job_records = self._records.read(heads, repository, only or waiting[:MAX_RECORDS_A_LOOK])
        manifest, problem = _manifest(blobs, parsed)
        bad = {entry.job_id: entry for entry in manifest.bad if entry.job_id}
        records = [(entry, name) for entry in entries if (name := parse_record(entry.path))]
        lease_ids = {job_id: oid for ref, oid in heads.leases.items() if (job_id := job_of(ref))}
        names = dict.fromkeys(
            [*manifest.jobs, *bad, *(name.job_id for _, name in records), *job_records, *lease_ids]
        )
        per_job: dict[str, list[tuple[Entry, RecordName]]] = {}
        for entry, name in records:
            per_job.setdefault(name.job_id, []).append((entry, name))
        jobs = {
            job_id: _facts(
                job_id, manifest, bad.get(job_id), per_job.get(job_id, []), blobs, parsed, lease_ids
            )
            for job_id in names
            if job_id not in unread and (only is None or job_id in only)
        }
        # Who has waited for a history comes first, for a branch that moves asks for all of them again.
        turns = iter(range(MAX_HISTORIES_A_LOOK if only is None else len(jobs)))
        whole: dict[str, JobFacts] = {}
        for job_id in sorted(jobs, key=self._removals.__contains__):
            found = job_records.get(job_id)
            facts = self._with_record(
                jobs[job_id], found, blobs, snapshot, heads, repository, turns, to_be_written
            )
            if facts is None:
                unread.add(job_id)
            else:
                whole[job_id] = facts
        jobs = {job_id: whole[job_id] for job_id in jobs if job_id in whole}
        nameless = tuple(entry for entry in manifest.bad if entry.job_id is None)
        return Survey(snapshot.commit, jobs, nameless, problem, frozenset(unread))

    def with_lease(self, facts: JobFacts, repository: Repository, heads: Heads) -> JobFacts:
        """The same facts with the lease's content, which takes a request of its own."""
        ref, oid = lease_at(heads, facts.job_id)
        if ref is None or oid is None:
            return facts if facts.lease_id is None else replace(facts, lease=None, lease_id=None)
        known = self._leases
        if oid not in known:
            known = self._read_leases({facts.job_id: (ref, oid)}, repository)
        return replace(facts, lease=known[oid], lease_id=oid)

    def bring_leases(self, wanted: Iterable[JobFacts], repository: Repository, heads: Heads) -> set[str]:
        """Reads the leases of these jobs with one request; answers the jobs whose turn has not come yet.

        At most MAX_LEASES_A_LOOK at a time, those of jobs that somebody asks for first.
        """
        new: dict[str, tuple[str, str]] = {}
        for facts in sorted(wanted, key=lambda facts: facts.entry is None):
            ref, oid = lease_at(heads, facts.job_id)
            if ref is not None and oid is not None and oid not in self._leases:
                new[facts.job_id] = ref, oid
        now = dict(list(new.items())[:MAX_LEASES_A_LOOK])
        if now:
            there = set(heads.leases.values())
            known = self._read_leases(now, repository)
            self._leases = {oid: lease for oid, lease in known.items() if oid in there}
        return new.keys() - now.keys()

    def _read_leases(
        self, wanted: Mapping[str, tuple[str, str]], repository: Repository
    ) -> Mapping[str, Lease | None]:
        """What is known of leases, with those of some more jobs: job -> ref and commit."""
        contents = repository.read_leases([oid for _, oid in wanted.values()])
        read = {oid: _lease(contents.get(oid, b""), ref) for ref, oid in wanted.values()}
        self._leases = {**self._leases, **read}
        return self._leases

    def _with_record(
        self,
        facts: JobFacts,
        found: FoundRecord | None,
        blobs: Mapping[str, str],
        snapshot: Snapshot,
        heads: Heads,
        repository: Repository,
        turns: Iterator[int],
        to_be_written: bool,
    ) -> JobFacts | None:
        """The facts with what the record says; None where `turns` has none left and a history is needed."""
        if found is None:
            return facts
        facts = replace(facts, record=found.record, record_id=found.commit)
        if found.record is None:
            return facts
        facts = with_names_of(facts, found.record, blobs)
        newest = facts.newest
        # A job that was given back runs again: then a merge may have restored what a person had deleted.
        is_given_back = newest is not None and facts.has_end(newest)
        needs_history = bool(facts.dropped) or (
            facts.final_end is None and (facts.entry is None or is_given_back or to_be_written)
        )
        key = (heads.commit, found.commit)
        is_known = self._removals.get(facts.job_id, ((), None))[0] == key
        if found.record.about.deleted_at or not (needs_history or is_known):
            return facts
        if not is_known:
            if next(turns, None) is None:
                return None
            record = found.record
            ref = record_at(heads, facts.job_id)
            claimed = Claimed(ref, record.about.since, frozenset(record.on_branch))
            removals = removals_of(facts, claimed, snapshot, heads, repository)
            self._removals[facts.job_id] = (key, removals)
        return replace(facts, removals=self._removals[facts.job_id][1])

    def _parse(self, snapshot: Snapshot, entries: Iterable[Entry]) -> Parsed:
        """What all files of the commit that tell of jobs say."""
        remembered = self._parsed
        paths = {(kind, entry.oid): entry.path for entry in entries if (kind := _kind_of(entry.path))}
        known = {key: remembered[key] for key in paths if key in remembered}
        new = {key: path for key, path in paths.items() if key not in known}
        # What is one of a few small files for one look can be a manifest of some size for another.
        contents = {
            **snapshot.read_blobs(
                {oid: RECORD_BYTES for kind, oid in new if kind != "manifest"}, at_once=LOOK_BYTES
            ),
            **snapshot.read_blobs({oid: MANIFEST_BYTES for kind, oid in new if kind == "manifest"}),
        }
        fresh = {key: _parsed(key[0], contents.get(key[1]), path) for key, path in new.items()}
        of_this_commit = {**known, **fresh}
        if fresh:
            fits = len(remembered) + len(fresh) <= MAX_PARSED
            self._parsed = {**remembered, **fresh} if fits else of_this_commit
        return of_this_commit


@dataclass
class RefPlaces:
    """Where this server lets leases and records live: a ladder that is climbed down while it refuses."""

    rung: int = 0
    is_settled: bool = False  # a claim has landed, so that a refusal means something else

    def lease(self, job_id: str) -> str | None:
        """The lease's ref for a new attempt; None where the server accepts none."""
        return (f"{LEASE_NAMESPACE}{job_id}", f"{LEASE_BRANCHES}{job_id}", None)[self.rung]

    def record(self, job_id: str) -> str | None:
        """The record's ref; None where the server accepts none."""
        return (f"{RECORD_NAMESPACE}{job_id}", f"{RECORD_BRANCHES}{job_id}", None)[self.rung]

    def learn(self, refs: Sequence[str]) -> None:
        """Notes which refs a push brought; one that lived elsewhere already says nothing of this place."""
        place = self.lease("")
        self.is_settled = self.is_settled or (
            not refs if place is None else any(ref.startswith(place) for ref in refs)
        )

    def climb_down(self) -> bool:
        """Tries the next place from now on; False, and the first one again, where none is left."""
        self.rung = (self.rung + 1) % 3
        return self.rung > 0


def lease_at(heads: Heads, job_id: str) -> tuple[str | None, str | None]:
    """The job's lease ref on the server and its value."""
    for ref in (f"{LEASE_NAMESPACE}{job_id}", f"{LEASE_BRANCHES}{job_id}"):
        if ref in heads.leases:
            return ref, heads.leases[ref]
    return None, None


def job_of(ref: str) -> str | None:
    """The job that a lease ref belongs to; None where its name is no job's."""
    job_id = ref.removeprefix(LEASE_NAMESPACE).removeprefix(LEASE_BRANCHES)
    return None if job_id_problem(job_id) else job_id


def _lease(content: bytes, ref: str) -> Lease | None:
    try:
        return read_record(Lease, content, f"The lease {ref}")
    except DataError as error:
        logger.warning("%s It counts as none.", error)
    except Exception:  # one lease that our code was not made for must not cost the other jobs
        logger.exception("The lease %s cannot be read. It counts as none.", ref)
    return None


def _facts(
    job_id: str,
    manifest: Manifest,
    bad: BadEntry | None,
    records: Iterable[tuple[Entry, RecordName]],
    blobs: Mapping[str, str],
    parsed: Parsed,
    lease_ids: Mapping[str, str],
) -> JobFacts:
    response = blobs.get(response_path(job_id))
    return JobFacts(
        job_id=job_id,
        entry=manifest.jobs.get(job_id),
        invalid=bad.message if bad else None,
        invalid_canceled=bad.canceled if bad else False,
        attempts=tuple(name for _, name in records if name.kind == "attempt"),
        ends={name: parsed["end", entry.oid] for entry, name in records if name.kind == "end"},
        response=parsed["response", response] if response else None,
        response_blob=response,
        log_blob=blobs.get(log_path(job_id)),
        metrics_blob=blobs.get(metrics_path(job_id)),
        lease_id=lease_ids.get(job_id),
    )


def _manifest(blobs: Mapping[str, str], parsed: Parsed) -> tuple[Manifest, str | None]:
    oid = blobs.get(MANIFEST)
    if oid is None:
        return Manifest(), None
    said = parsed["manifest", oid]
    return said if isinstance(said, tuple) else (said, None)


def _kind_of(path: str) -> str | None:
    if path == MANIFEST:
        return "manifest"
    if path.endswith("/response.yaml"):
        return "response"
    name = parse_record(path)
    return "end" if name and name.kind == "end" else None


def _parsed(kind: str, data: bytes | None, where: str) -> Any:
    """What a file says; `data` None: it is too large to be read."""
    try:
        if data is None:
            raise DataError(f"{where} is too large ({most_bytes(where):,} bytes at most) and is not read.")
        if kind == "response":
            return signs_of(read_response(data, where))
        if kind == "end":
            return read_record(End, data, where)
        return read_manifest(yaml_text.load(data, where))
    except (DataError, UserError) as error:
        return _unreadable(kind, str(error))
    except Exception as error:  # a defect of ours that one file finds must not cost the other jobs
        logger.exception("%s cannot be read", where)
        return _unreadable(kind, f"{where} cannot be read ({type(error).__name__}).")


def _unreadable(kind: str, sentence: str) -> Any:
    if kind == "manifest":
        # It must not look like an empty one: that would withdraw every job.
        return (Manifest(), sentence)
    if kind == "response":
        return UNREADABLE
    logger.warning("%s It still ends its attempt.", sentence)
    return None
