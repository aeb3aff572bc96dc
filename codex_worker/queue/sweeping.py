"""Removing refs that nobody needs any more: leases and records of jobs long over, and watchers that left."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from codex_worker.contract import yaml_text
from codex_worker.contract.state import JobFacts, was_deleted
from codex_worker.git.ports import Heads
from codex_worker.git.repository import Repository
from codex_worker.queue.facts import FactReader, lease_at
from codex_worker.queue.record_reading import record_at

TOMBSTONE_LIFE = timedelta(days=30)
WATCHER_LIFE = timedelta(days=1)
MAX_REFS_A_SWEEP = 20  # each costs a request to read it


class Sweeper:
    """Sweeps one project's refs, some at a time."""

    def __init__(self, repository: Repository, reader: FactReader, now: Callable[[], datetime]) -> None:
        self._repository = repository
        self._reader = reader
        self._now = now
        self._living: set[str] = set()  # leases that were read and are too young

    def sweep(self, over: Sequence[JobFacts], heads: Heads) -> int:
        """Deletes what is left of jobs that are over; answers how many jobs that was."""
        removed = self._sweep_leases(over, heads)
        for facts in over:
            if facts.record is not None and self._is_forgotten(facts):
                removed += self._remove(record_at(heads, facts.job_id), heads.records)
        self._sweep_watchers(heads)
        return removed

    def _sweep_leases(self, over: Sequence[JobFacts], heads: Heads) -> int:
        removed = read = 0
        for facts in over:
            ref, oid = lease_at(heads, facts.job_id)
            if ref is None or oid is None or oid in self._living:
                continue
            if read >= MAX_REFS_A_SWEEP:
                break
            read += 1
            lease = self._reader.with_lease(facts, self._repository, heads).lease
            if lease and not self._is_old(lease.at, TOMBSTONE_LIFE):
                self._living.add(oid)
                continue
            removed += self._repository.replace_lease(ref, oid, None).accepted
        return removed

    def _is_forgotten(self, facts: JobFacts) -> bool:
        """Whether a job can go without its record.

        While the manifest lists the job, or lately did, somebody who was away may still delete its folder or
        bring its entry back; without the record it would then look like a new one.
        """
        if facts.entry is not None or facts.invalid is not None or facts.record is None:
            return False
        deleted_at = facts.record.about.deleted_at
        if was_deleted(facts):
            return deleted_at is not None and self._is_old(deleted_at, TOMBSTONE_LIFE)
        end = facts.newest_end
        return end is not None and self._is_old(end.ended_at, TOMBSTONE_LIFE)

    def _sweep_watchers(self, heads: Heads) -> None:
        watchers = dict(list(heads.watchers.items())[:MAX_REFS_A_SWEEP])
        contents = self._repository.read_leases(list(watchers.values())) if watchers else {}
        for ref, oid in watchers.items():
            said = contents.get(oid, b"").decode(errors="replace").split()
            at = yaml_text.read_time(said[0]) if said else None
            if at is None or self._is_old(at, WATCHER_LIFE):
                self._remove(ref, heads.watchers)

    def _remove(self, ref: str | None, commits: Mapping[str, str]) -> bool:
        return ref is not None and self._repository.replace_lease(ref, commits[ref], None).accepted

    def _is_old(self, moment: datetime, life: timedelta) -> bool:
        return self._now() - moment >= life
