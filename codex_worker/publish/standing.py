"""What a job has published, compared with the head; what a translator's merge has left out is put back.

One way for all who look: the job's owner, any other worker, whoever stays to watch over projects. What is
missing at the head goes there again under the rules of its first publication, so a person's change since
then wins; and what a person's own commit has removed stays away.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codex_worker.codex.choose import Selection
from codex_worker.codex.patch import apply_patches
from codex_worker.contract import yaml_text
from codex_worker.contract.guards import NOTEBOOKS, POINTERS, check_change
from codex_worker.contract.job_record import ENTRY, PLAIN_FILES, JobRecord
from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.paths import job_folder
from codex_worker.contract.state import JobFacts, was_deleted
from codex_worker.errors import DataError
from codex_worker.git.ports import Heads, Snapshot, blob_id
from codex_worker.git.repository import Change, Repository
from codex_worker.publish.ledger import CellLine, Page, check_content, read_page
from codex_worker.publish.replacing import MayReplace, selection_of
from codex_worker.queue.facts import FactReader
from codex_worker.queue.projections import dropped_files, say_what_was_dropped
from codex_worker.queue.record_reading import record_at

logger = logging.getLogger(__name__)

PAGES_A_LOOK = 4  # of at most 50 kB as we write them
NOTEBOOKS_A_LOOK = 16
PAGES_REMEMBERED = 16


@dataclass(frozen=True)
class AtHead:
    """What has become of a job's publications at one head."""

    cells: int = 0  # whose text or recording is at the head
    changed: Mapping[str, str] = field(default_factory=dict)  # cells where it gave way: why
    put_back: int = 0  # cells and files that this look has put back
    is_complete: bool = True  # False: there was more than one look may read; the next one goes on


@dataclass
class _Checked:
    """What was found out about one page of the ledger."""

    paths: frozenset[str]
    notebooks: frozenset[str]
    # By notebook: the blob that was looked at, the cells that stood in it, and those that gave way.
    seen: dict[str, tuple[str, frozenset[str], dict[str, str]]] = field(default_factory=dict)


@dataclass
class _Found:
    """What one comparison is about to do."""

    notebooks: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, bytes] = field(default_factory=dict)
    left_away: set[str] = field(default_factory=set)  # files that are missing, and rightly so
    restored: int = 0
    is_complete: bool = True
    # What will be known once it has landed: (page, notebook) -> what _Checked.seen holds.
    seen: dict[tuple[str, str], tuple[str, frozenset[str], dict[str, str]]] = field(default_factory=dict)


class Publications:
    """The publications of one job, for somebody who looks at them again and again."""

    def __init__(self, job_id: str, repository: Repository, entry: JobEntry | None = None) -> None:
        """`entry` is what the owner was asked for; others read it in the manifest."""
        self._job_id = job_id
        self._repository = repository
        self._entry = entry
        self._reader = FactReader()
        self._checked: dict[str, _Checked] = {}  # by the page's blob id
        self._remembered: dict[str, Page] = {}
        self._removed: set[str] = set()  # files that a person's own commit took away
        self._left_away: set[str] = set()  # files that cannot come back, or whose cell gave way

    def look(self, *, thorough: bool = False, standing: Heads | None = None) -> AtHead:
        """Compares with the head, and puts back what is missing there.

        With `thorough`, however much there is to read; else some pages and notebooks, and the next look
        goes on. With `standing` the head is the one that was just seen. Raises what the server raises.
        """

        def build(snapshot: Snapshot, heads: Heads) -> Change[_Found] | None:
            survey = self._reader.survey(snapshot, heads, self._repository, [self._job_id])
            facts = survey.jobs.get(self._job_id)
            if facts is None or facts.record is None or was_deleted(facts):
                return None
            found = self._compare(facts, facts.record, snapshot, thorough=thorough)
            missing = self._not_removed(found.missing, heads, facts.record)
            found.restored += len(missing)
            files = {**dropped_files(facts), **missing, **found.notebooks}
            check_change(self._job_id, files, snapshot.existing(files).__contains__)
            say_what_was_dropped(facts)
            return Change(files, f"Job {self._job_id}: put back what a merge has left out", value=found)

        found = self._repository.transact(build, standing=standing, asks_first=True).value
        return AtHead() if found is None else self._standing(found)

    def _standing(self, found: _Found) -> AtHead:
        self._left_away = (self._left_away - found.missing.keys()) | found.left_away
        for (page, notebook), seen in found.seen.items():
            self._checked[page].seen[notebook] = seen
        if found.restored:
            logger.warning(
                "Job %s: %d results that a translator's sync had left out were put back.",
                self._job_id,
                found.restored,
            )
        standing: set[tuple[str, str]] = set()
        changed: dict[str, str] = {}
        for checked in self._checked.values():
            for notebook, (_, cells, gave_way) in checked.seen.items():
                standing |= {(notebook, cell) for cell in cells}
                changed |= gave_way
        return AtHead(len(standing), changed, found.restored, found.is_complete)

    def _compare(self, facts: JobFacts, record: JobRecord, snapshot: Snapshot, *, thorough: bool) -> _Found:
        blobs = {entry.path: entry.oid for entry in snapshot.files(NOTEBOOKS)}
        blobs |= {entry.path: entry.oid for entry in snapshot.files(job_folder(self._job_id))}
        blobs |= {entry.path: entry.oid for entry in snapshot.files(POINTERS)}
        current = {path: record.blobs[path] for path in record.pages}
        self._checked = {oid: seen for oid, seen in self._checked.items() if oid in set(current.values())}
        # Those that wait longest come first, or a notebook that people work on would keep a look to itself.
        waiting = {oid: place for place, oid in enumerate(self._checked)}
        suspects = [path for path, oid in current.items() if not self._stands(oid, blobs)]
        suspects.sort(key=lambda path: waiting.get(current[path], -1))
        found = _Found()
        if not thorough and len(suspects) > PAGES_A_LOOK:
            suspects, found.is_complete = suspects[:PAGES_A_LOOK], False
        pages = self._read(record, suspects)
        self._compare_files(record, pages, blobs, found)
        self._compare_cells(facts, record, pages, blobs, snapshot, found, thorough=thorough)
        return found

    def _stands(self, oid: str, blobs: Mapping[str, str]) -> bool:
        """Whether all of a page is known to be at a head with these files."""
        checked = self._checked.get(oid)
        if checked is None or not checked.paths - self._removed - self._left_away <= blobs.keys():
            return False
        return all(
            notebook in checked.seen and checked.seen[notebook][0] == blobs.get(notebook, "")
            for notebook in checked.notebooks
        )

    def _read(self, record: JobRecord, paths: Sequence[str]) -> dict[str, Page]:
        """Pages by blob id. One that is damaged or was made too long holds nothing."""
        wanted = {record.blobs[path]: path for path in paths}
        new = {oid: path for oid, path in wanted.items() if oid not in self._remembered}
        contents: Mapping[str, bytes] = {}
        if new:
            snapshot = self._repository.records([record.commit])[record.commit]
            contents = snapshot.read_many(new.values())
        pages = {oid: self._remembered[oid] for oid in wanted if oid in self._remembered}
        for oid, path in new.items():
            try:
                pages[oid] = read_page(self._job_id, contents.get(path, b""))
            except DataError as error:
                logger.warning("%s It counts as empty.", error)
                pages[oid] = Page()
        for oid, page in pages.items():
            self._checked[oid] = self._checked.pop(oid, _Checked(page.paths, page.notebooks))
        self._remembered = dict(list({**self._remembered, **pages}.items())[-PAGES_REMEMBERED:])
        return pages

    def _compare_files(
        self, record: JobRecord, pages: Mapping[str, Page], blobs: Mapping[str, str], found: _Found
    ) -> None:
        missing = [line for page in pages.values() for line in page.files if line.path not in blobs]
        long = {line.oid: f"{PLAIN_FILES}{line.oid}" for line in missing if line.content is None}
        texts: Mapping[str, bytes] = {}
        if long:
            texts = self._repository.records([record.commit])[record.commit].read_many(long.values())
        for line in missing:
            data = line.content if line.content is not None else texts.get(long[line.oid])
            try:
                check_content(self._job_id, line, data or b"")
            except DataError as error:
                logger.warning("%s It is not put back.", error)
                found.left_away.add(line.path)
            else:
                found.missing[line.path] = data or b""

    def _compare_cells(
        self,
        facts: JobFacts,
        record: JobRecord,
        pages: Mapping[str, Page],
        blobs: Mapping[str, str],
        snapshot: Snapshot,
        found: _Found,
        *,
        thorough: bool,
    ) -> None:
        by_notebook: dict[str, list[tuple[str, CellLine]]] = {}
        for oid, page in pages.items():
            for line in page.cells:
                by_notebook.setdefault(line.notebook, []).append((oid, line))
        wanted = [path for path, lines in by_notebook.items() if not self._is_seen(path, lines, blobs)]
        if not thorough and len(wanted) > NOTEBOOKS_A_LOOK:
            wanted, found.is_complete = wanted[:NOTEBOOKS_A_LOOK], False
        entry = facts.entry or self._entry or self._entry_of(record)
        selection = Selection() if entry is None else selection_of(entry)
        contents = snapshot.read_many(wanted)
        for notebook in wanted:
            self._compare_notebook(
                notebook,
                by_notebook[notebook],
                contents.get(notebook),
                MayReplace(selection, snapshot),
                blobs,
                found,
            )

    def _entry_of(self, record: JobRecord) -> JobEntry | None:
        """What the job was asked for, where nobody has its entry any more."""
        snapshot = self._repository.records([record.commit])[record.commit]
        data = snapshot.read(ENTRY) if ENTRY in record.blobs else None
        if data is None:
            return None
        try:
            return JobEntry.model_validate(
                yaml_text.load(data, f"The record of job {self._job_id} ({ENTRY})")
            )
        except (DataError, ValueError) as error:
            logger.warning("What job %s was asked for is not known any more: %s", self._job_id, error)
            return None

    def _is_seen(
        self, notebook: str, lines: Sequence[tuple[str, CellLine]], blobs: Mapping[str, str]
    ) -> bool:
        """Whether an earlier look has compared all of these lines with the notebook as it is."""
        pointers = {line.pointer_path for _, line in lines if line.pointer_path}
        if not pointers - self._removed - self._left_away <= blobs.keys():
            return False
        nothing: tuple[str | None, ...] = (None,)
        there = blobs.get(notebook, "")
        return all(self._checked[oid].seen.get(notebook, nothing)[0] == there for oid, _ in lines)

    def _compare_notebook(
        self,
        notebook: str,
        lines: Sequence[tuple[str, CellLine]],
        data: bytes | None,
        may_replace: MayReplace,
        blobs: Mapping[str, str],
        found: _Found,
    ) -> None:
        reasons: dict[int, str] = {}
        after = data
        if data is None:
            reasons = {id(line.patch): "its notebook is no longer in the project" for _, line in lines}
        else:
            try:
                outcome = apply_patches(data, notebook, [line.patch for _, line in lines], may_replace)
            except DataError as error:
                reasons = {id(line.patch): str(error) for _, line in lines}
            else:
                reasons = {id(patch): why for patch, why in outcome.dropped}
                found.restored += len(outcome.applied)
                if outcome.applied:
                    after = found.notebooks[notebook] = outcome.data
        blob = "" if after is None else blob_id(after)
        for oid in dict.fromkeys(oid for oid, _ in lines):
            mine = [line for page, line in lines if page == oid]
            gave_way = {line.patch.cell_id: r for line in mine if (r := reasons.get(id(line.patch)))}
            cells = frozenset(line.patch.cell_id for line in mine) - gave_way.keys()
            found.seen[oid, notebook] = (blob, cells, gave_way)
        for _, line in lines:
            path = line.pointer_path
            if path is None or line.pointer is None or path in blobs:
                continue
            if id(line.patch) in reasons:
                found.left_away.add(path)
            else:
                found.missing[path] = line.pointer

    def _not_removed(self, missing: Mapping[str, bytes], heads: Heads, record: JobRecord) -> dict[str, bytes]:
        """The missing files but for those that a person's own commit has removed."""
        missing = {path: data for path, data in missing.items() if path not in self._removed}
        if not missing:
            return {}
        ref = record_at(heads, self._job_id)
        changes = self._repository.ordinary_changes(heads, ref, record.about.since, list(missing))
        # Where the history is too long to know, a file that is back harms less than a cell without its sound.
        self._removed |= {change.path for change in changes or () if change.after is None}
        return {path: data for path, data in missing.items() if path not in self._removed}
