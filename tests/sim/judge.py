"""The nine invariants of the queue, looked at after every push; `settlement` looks once more at the end.

What the judge knows it reads from the server itself: commits, refs, and who pushed them. It shares the names
of files and the blob ids with the product, and none of its decisions.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from codex_worker.codex.patch import Patch, RecordingPatch
from codex_worker.contract.paths import (
    MANIFEST,
    parse_record,
    response_path,
)
from codex_worker.contract.records import Attempt
from tests.sim.people import Pushed
from tests.sim.schedule import Conditions
from tests.sim.servers import BRANCH, Files, Server, is_plain_text
from tests.sim.tree import (
    JobFiles,
    cells_of,
    entries_of,
    is_projection,
    job_files,
    job_of,
    parsed,
    record_files,
)
from tests.sim.worker import Actor
from tests.support.notebooks import PATH

STALE_S = 300.0
VERDICT_S = 360.0
LONGEST_GAP_S = 90.0
FAILURES_A_WORKER = 4

NAMES = {
    1: "one publisher at a time, and no write by a fenced worker",
    2: "no job changes hands while its owner beats and the server is reachable",
    3: "a dead owner's job is pending again within 6 minutes of watching",
    4: "no person's edit, selection, flag or deletion is lost",
    5: "nothing published is lost, except to a person's deletion",
    6: "a final job never runs again",
    7: "budgets hold, and no single machine uses one up",
    8: "in the end every job is final, or pending for a reason, and the projections are true",
    9: "only fast-forwards, no empty file, no raw binary, no path used twice",
    10: "a job goes on from its own newest state",
    0: "no defect of the program itself",
}


@dataclass(frozen=True)
class Violation:
    """An invariant that did not hold."""

    invariant: int
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} ({NAMES[self.invariant]}): {self.what}"


@dataclass
class _Watch:
    """How long a worker has seen one attempt and lease without a gap."""

    value: object
    since_s: float
    last_s: float


@dataclass(frozen=True)
class Written:
    """A result of ours in a cell: the edit or the take, and the newest that its job knew of the cell."""

    job_id: str
    cell_id: str
    what: str  # the text of an edit, or the id of a take
    known_ms: int

    def is_in(self, metadata: Mapping) -> bool:
        """Whether a cell's history holds it."""
        edits = metadata.get("edits", ())
        return self.what in metadata.get("attachments", {}) or any(e.get("value") == self.what for e in edits)


class Judge:
    """Follows the server's refs and says what was wrong."""

    def __init__(self, server: Server, conditions: Conditions, now_s: Callable[[], float]) -> None:
        self._server = server
        self.conditions = conditions
        self._now_s = now_s
        self.refs = dict(server.refs())
        self.head = self.refs[BRANCH]
        self.files = server.files(self.head)
        self.violations: list[Violation] = []
        self.authors: dict[str, Actor] = {}
        self.commits = 0
        self.events: Counter[str] = Counter()
        self.patches: list[Patch] = []
        self.patch_jobs: list[str] = []
        self.written: set[Written] = set()
        self._created: dict[str, bytes] = {}
        self._seen_paths: set[str] = set()
        self._put_back: set[str] = set()
        self.removed_by_people: set[str] = set()
        self.taken_back: set[str] = set()  # cells of which a sync has lost a person's, or our, change
        self._lease_changed: dict[str, float] = {}
        self._response_changed: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._deleted: set[str] = set()
        self.orphaned: set[str] = set()  # a person deleted a part of what a job has
        self.excused: set[str] = set()  # cells that an older worker wrote over
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._watched_at: dict[str, float] = {}

    def complain(self, invariant: int, what: str) -> None:
        """Notes a violation."""
        self.violations.append(Violation(invariant, what))

    def looked(self, worker: str) -> None:
        """A worker asks for the refs."""
        self._looked[worker] = self._now_s()

    def pushed_by(self, actor: Actor) -> None:
        """One of our workers has pushed, or tried to."""
        refs = dict(self._server.refs())
        before_files, before_refs = self.files, self.refs
        head = refs[BRANCH]
        known = self.known(before_files, before_refs)
        if head != self.head:
            if self._server.parents(head) != (self.head,):
                self.complain(9, f"{actor.worker} pushed what does not descend from the head alone")
            author = self.authors.get(head)
            files = self._server.files(head)
            self._judge_ours(author or actor, before_files, files, before_refs, refs)
            self._advance(head, files)
        self._judge_leases(actor, known, before_refs, refs)
        self.refs = refs

    def known(self, files: Files, refs: Mapping[str, str]) -> Files:
        """The files with the attempts and ends that the jobs' records name."""
        named: dict[str, bytes] = {}
        for ref, commit in refs.items():
            if "gpu-records/" in ref:
                named |= record_files(job_of(ref), self._server.files(commit))
        return {**named, **files}

    def synced(self, pushed: Pushed, name: str) -> None:
        """A person has pushed; what their own commits removed they wanted removed, and nothing else."""
        files = self._server.files(pushed.commit)
        merged = len(self._server.parents(pushed.commit)) > 1
        self.events["merges" if merged else "fast-forwards of people"] += 1
        for commit in pushed.own:
            (parent,) = self._server.parents(commit)
            had, has = self._server.files(parent), self._server.files(commit)
            removed = had.keys() - has.keys()
            self.removed_by_people |= removed
            for job_id in {path.split("/")[1].removeprefix("job_") for path in removed if "/job_" in path}:
                if job_files(had, job_id).attempts and self.has_records:
                    self._deleted.add(job_id)
                self.orphaned.add(job_id)
        self._note_losses_of_people(files)
        self.events["files left out by merges"] += len(
            self._created.keys() & self.files.keys() - files.keys()
        )
        for path in self._created.keys() & self.files.keys() & files.keys():
            if not is_projection(path) and self._created[path] != files[path]:
                self.complain(5, f"{path} was changed by a merge of {name}")
        self._advance(pushed.commit, files)
        self.refs = dict(self._server.refs())

    def _note_losses_of_people(self, files: Files) -> None:
        """What one person's sync takes back of another's: nobody but the editor could keep it."""
        before, after = cells_of(self.files[PATH]), cells_of(files[PATH])
        for identity, cell in before.items():
            was, now = cell["metadata"], after.get(identity, {"metadata": {}})["metadata"]
            gone = [edit for edit in was["edits"] if edit not in now.get("edits", ())]
            takes = now.get("attachments", {})
            changed = [name for name, entry in was.get("attachments", {}).items() if takes.get(name) != entry]
            is_older = (now.get("selectionTimestamp") or 0) < (was.get("selectionTimestamp") or 0)
            if gone or changed or is_older:
                self.taken_back.add(identity)

    def older_pushed(self, commit: str) -> None:
        """An older worker has pushed."""
        before, files = self.files, self._server.files(commit)
        self.events["commits of older workers"] += 1
        if before[PATH] != files[PATH]:
            old, new = cells_of(before[PATH]), cells_of(files[PATH])
            self.excused |= {identity for identity, cell in old.items() if new.get(identity) != cell}
        self._advance(commit, files)
        self.refs = dict(self._server.refs())

    def watched(self, worker: str, silent: Collection[str] | None) -> None:
        """One look of a worker at other workers' jobs, and whom it takes for silent."""
        now = self._now_s()
        for key in [key for key in self._watches if key[0] == worker]:
            if silent is None:
                del self._watches[key]
        if silent is None:
            return
        leases = {job_of(ref): oid for ref, oid in self.refs.items() if "gpu-jobs/" in ref}
        for job_id, oid in leases.items():
            job = job_files(self.known(self.files, self.refs), job_id)
            if not job.running or job.final_end or job_id in self.orphaned:
                self._watches.pop((worker, job_id), None)
                continue
            seen = self._watches.get((worker, job_id))
            value = (job.newest, oid)
            if seen is None or seen.value != value or now - seen.last_s > LONGEST_GAP_S:
                seen = self._watches[worker, job_id] = _Watch(value, now, now)
            seen.last_s = now
            if now - seen.since_s > VERDICT_S and job_id not in silent:
                self.complain(
                    3, f"{worker} watched {job_id} for {now - seen.since_s:.0f} s and keeps waiting"
                )

    def _advance(self, head: str, files: Files) -> None:
        now = self._now_s()
        for path in files.keys() | self.files.keys():
            if path.endswith("/response.yaml") and files.get(path) != self.files.get(path):
                self._response_changed[path] = now
        self.head, self.files = head, files
        self.commits += 1

    def _judge_ours(
        self, author: Actor, before: Files, files: Files, before_refs: Mapping, refs: Mapping
    ) -> None:
        changed = {path for path in files if files[path] != before.get(path)}
        self._count(author, changed, before, files)
        for path in before.keys() - files.keys():
            if not is_projection(path):
                self.complain(5, f"{author.worker} deleted {path}")
        for path in changed:
            self._judge_file(author, path, before, files)
        before, files = self.known(before, before_refs), self.known(files, refs)
        if author.attempt is not None:
            if any(path != PATH and path not in self._put_back for path in changed):
                self._judge_fence(author, author.attempt, before)
            self._put_back.clear()
            return
        self._put_back.clear()
        for job_id in {record.job_id for path in changed if (record := parse_record(path))}:
            self._judge_job(author, job_id, before, files, before_refs)
        for path in changed:
            job_id = path.split("/")[1].removeprefix("job_")
            if job_id in self._deleted:
                self.complain(4, f"{author.worker} wrote {path} of a job that a person has deleted")

    def _count(self, author: Actor, changed: Collection[str], before: Files, files: Files) -> None:
        """What our workers did, so that a report shows whether anything was put to the test."""
        records = [
            (record, path) for path in changed if path not in before and (record := parse_record(path))
        ]
        for record, path in records:
            kind = "attempts" if record.kind == "attempt" else f"ends: {parsed(files[path])['state']}"
            self.events[kind] += 1
        if PATH in changed:
            self.events["publications of cells"] += 1
        if author.attempt is None and not records:
            self.events["re-assertions"] += 1

    def _judge_file(self, author: Actor, path: str, before: Files, files: Files) -> None:
        data = files[path]
        if not data:
            self.complain(9, f"{author.worker} committed the empty file {path}")
        if not is_plain_text(data):
            self.complain(9, f"{author.worker} committed {path}, which is no text")
        if path == MANIFEST or path.endswith((".source", "metadata.json")):
            self.complain(4, f"{author.worker} changed {path}")
        if path == PATH:
            self._judge_notebook(author, before[PATH], data)
        elif path in before and not is_projection(path):
            self.complain(9, f"{author.worker} replaced {path}")
        elif path not in before and not is_projection(path):
            if self._created.get(path, data) != data and self.has_records:
                self.complain(9, f"{author.worker} used the path {path} a second time")
            self._created[path] = data
            if path in self.removed_by_people:
                self.complain(4, f"{author.worker} brought back {path}, which a person has removed")
            if path in self._seen_paths:
                self._put_back.add(path)
            self._seen_paths.add(path)

    def _judge_fence(self, author: Actor, attempt: Attempt, before: Files) -> None:
        job, key = job_files(before, attempt.job_id), (attempt.number, attempt.nonce)
        if key not in job.attempts:
            if not self.has_records and attempt.path not in self.removed_by_people:
                return  # a merge has left it out, and only its owner can know
            self.complain(1, f"{author.worker} published for {attempt.job_id}, whose folder was deleted")
        elif job.newest != key or key in job.ends:
            self.complain(
                1, f"{author.worker} published for attempt {attempt.name} of {attempt.job_id}, which is over"
            )

    def _judge_job(
        self, author: Actor, job_id: str, before: Files, files: Files, before_refs: Mapping
    ) -> None:
        """A claim, a takeover or an end that needed no attempt."""
        had, has = job_files(before, job_id), job_files(files, job_id)
        for key in had.running & has.ends.keys():
            self._judge_takeover(author, job_id, key, before_refs)
        for key in has.attempts - had.attempts:
            if had.final_end and self.has_records:
                self.complain(
                    6, f"{author.worker} began attempt {key} of {job_id}, which is {had.final_end['state']}"
                )
            if key in has.ends:
                continue  # written together with its end: nobody runs it
            if len(has.running) > 1 and job_id not in self.orphaned:
                self.complain(1, f"{job_id} has {len(has.running)} running attempts")
            self._judge_claim(author, job_id, before)
            failures, most = has.failures, self.conditions.failures
            is_used_up = len(set(failures)) >= most or len(failures) >= FAILURES_A_WORKER * most
            if is_used_up or has.releases() >= self.conditions.releases:
                self.complain(
                    7, f"{job_id} runs again after failures by {failures}, {has.releases()} releases"
                )

    def judge_budget(self, job_id: str, job: JobFiles) -> None:
        """A job that failed for want of a machine was tried by as many machines as its budget says."""
        end, failures, most = job.final_end, job.failures, self.conditions.failures
        if end is None or not end.get("final") or end["state"] != "failed":
            return
        is_failure = end.get("kind") in {"system", "resource"} and job.releases() < self.conditions.releases
        if is_failure and len(set(failures)) < most and len(failures) < FAILURES_A_WORKER * most:
            self.complain(7, f"{job_id} is failed for good though only {sorted(set(failures))} failed it")

    def _judge_claim(self, author: Actor, job_id: str, before: Files) -> None:
        entries = [entry for entry in entries_of(before) if entry["job_id"] == job_id]
        if not entries or any(entry.get("canceled") for entry in entries):
            self.complain(4, f"{author.worker} claimed {job_id}, which is canceled or gone from the manifest")
        if job_id in self._deleted:
            self.complain(4, f"{author.worker} claimed {job_id}, whose folder a person deleted")
        response = parsed(before.get(response_path(job_id), b"{}")) or {}
        if str(response.get("worker_id", "")).startswith("older") and not job_files(before, job_id).attempts:
            if response.get("state") != "running":
                self.complain(6, f"{author.worker} claimed {job_id}, which an older worker has ended")
            elif not self.conditions.takes_over_older:
                self.complain(2, f"{author.worker} claimed {job_id}, which an older worker has")
            elif self._now_s() - self._response_changed.get(response_path(job_id), 0.0) < STALE_S:
                self.complain(2, f"{author.worker} took {job_id} from an older worker that had just written")

    def _judge_takeover(self, author: Actor, job_id: str, key: tuple, before_refs: Mapping) -> None:
        ref = next((ref for ref in before_refs if "gpu-jobs/" in ref and job_of(ref) == job_id), None)
        if ref is None:
            return
        changed = self._lease_changed.get(ref, 0.0)
        # Without atomic pushes a beat can fall between the look and the push; it can't be known then.
        if not self.conditions.atomic and changed >= self._looked.get(author.worker, 0.0):
            return
        silence = self._now_s() - changed
        if silence < STALE_S:
            self.complain(
                2, f"{author.worker} took {job_id} from attempt {key}, which had beaten {silence:.0f} s ago"
            )

    def _judge_leases(self, actor: Actor, files: Files, before: Mapping, after: Mapping) -> None:
        for ref in {
            r for r in before.keys() | after.keys() if "gpu-jobs/" in r and before.get(r) != after.get(r)
        }:
            self._lease_changed[ref] = self._now_s()
            attempt = actor.attempt
            if attempt is None or not self.conditions.atomic:
                continue
            job, key = job_files(files, attempt.job_id), (attempt.number, attempt.nonce)
            if key in job.attempts and (job.newest != key or key in job.ends):
                self.complain(
                    1,
                    f"{actor.worker} beat for attempt {attempt.name} of {attempt.job_id}, which is over",
                )

    def _judge_notebook(self, author: Actor, before: bytes, after: bytes) -> None:
        old, new = cells_of(before), cells_of(after)
        if old.keys() - new.keys():
            self.complain(5, f"{author.worker} dropped a cell")
        for identity in old.keys() & new.keys():
            was, now = old[identity], new[identity]
            for edit in was["metadata"]["edits"]:
                if edit not in now["metadata"]["edits"]:
                    self.complain(4, f"{author.worker} dropped an edit of {identity} by {edit.get('author')}")
            for name, taken in was["metadata"].get("attachments", {}).items():
                if now["metadata"].get("attachments", {}).get(name) != taken:
                    self.complain(4, f"{author.worker} changed the recording {name} of {identity}")
            if was["metadata"].get("isLocked") != now["metadata"].get("isLocked"):
                self.complain(4, f"{author.worker} changed the lock of {identity}")
            if now == was:
                continue
            if not any(patch.cell_id == identity for patch in self.patches):
                self.complain(4, f"{author.worker} changed {identity}, for which it has no result")
            self._note_written(identity, was["metadata"], now["metadata"])

    def _note_written(self, identity: str, was: Mapping, now: Mapping) -> None:
        """What a push of ours has brought into a cell."""
        takes = now.get("attachments", {}).keys() - was.get("attachments", {}).keys()
        texts = [edit["value"] for edit in now["edits"] if edit not in was["edits"]]
        for what in (*takes, *texts):
            for patch, job_id in self.patches_of(identity):
                read = patch.read
                ours = patch.recording.attachment_id if isinstance(patch, RecordingPatch) else patch.text
                if ours == what:
                    times = (
                        read.value_changed_at_ms,
                        read.selection_timestamp_ms,
                        read.selection_changed_at_ms,
                    )
                    self.written.add(Written(job_id, identity, what, max(t or 0 for t in times)))

    def patches_of(self, identity: str) -> list[tuple[Patch, str]]:
        """The results that were offered for a cell, and whose they are."""
        return [
            (patch, job_id)
            for patch, job_id in zip(self.patches, self.patch_jobs, strict=True)
            if patch.cell_id == identity
        ]

    @property
    def has_records(self) -> bool:
        """False where nothing is sure to tell what a merge has left out.

        That is on a server that takes no ref of ours, and on one without atomic pushes, where a record may
        be behind its branch when a worker dies between two pushes.
        """
        return self.conditions.atomic and len(self.conditions.refused_refs) <= 2

    def published_paths(self) -> set[str]:
        """What our workers have put on the branch and never write again."""
        return {path for path in self._created if not is_projection(path)}
