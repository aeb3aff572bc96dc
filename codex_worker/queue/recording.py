"""Moves of a job's record: what a claim, a publication and an end write into it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from codex_worker.contract.job_record import (
    ABOUT,
    ATTEMPT,
    PLAIN_FILES,
    PUBLISHED,
    About,
    earlier_file,
    end_file,
    page_number,
    page_path,
)
from codex_worker.contract.paths import RecordName
from codex_worker.contract.records import Attempt, End
from codex_worker.contract.state import JobFacts
from codex_worker.git.ports import blob_id
from codex_worker.git.repository import RecordMove

# A look reads some pages at a time, and each publication writes the last page again.
MAX_PAGE_BYTES = 50_000

RecordFiles = Mapping[str, bytes | None]


def record_move(facts: JobFacts, ref: str | None, head: str, files: RecordFiles) -> list[RecordMove]:
    """The next commit of the job's record, or its first one, on `head`; none where it would change nothing.

    `ref` None: this server takes no records.
    """
    if ref is None:
        return []
    record = facts.record
    caught_up = {
        end_file(name): end.render()
        for name, end in facts.ends.items()
        if end is not None and (record is None or name not in record.ends)
    }
    wanted: dict[str, bytes | None] = {**caught_up, **files}
    if record is not None and files.get(ATTEMPT, record.attempt.render()) != record.attempt.render():
        wanted[earlier_file(record.attempt)] = record.attempt.render()
    if record is None:
        wanted.setdefault(ABOUT, About(since=head).render())
        return [RecordMove(ref, facts.record_id, head, wanted, is_first=True)]
    new = {path: data for path, data in wanted.items() if not _has(record.blobs.get(path), data)}
    return [RecordMove(ref, facts.record_id, record.commit, new, is_first=False)] if new else []


def attempt_files(attempt: Attempt, end: End | None = None) -> dict[str, bytes | None]:
    """What a record holds of an attempt."""
    files: dict[str, bytes | None] = {ATTEMPT: attempt.render()}
    if end is not None:
        files[end_file(RecordName(attempt.job_id, "", "end", end.number, end.nonce))] = end.render()
    return files


def closed_ledger(facts: JobFacts, *, deleted_at: datetime | None = None) -> dict[str, bytes | None]:
    """The record of a job whose results stand for good, or of one that a person has deleted.

    Nobody has to read its ledger any more.
    """
    if facts.record is None:
        return {}
    gone = [path for path in facts.record.blobs if path.startswith((PUBLISHED, PLAIN_FILES))]
    before = facts.record.about
    about = before.model_copy(update={"settled": True, "deleted_at": deleted_at or before.deleted_at})
    return {**dict.fromkeys(gone), ABOUT: about.render()}


@dataclass(frozen=True)
class Pages:
    """An attempt's part of the ledger: lines in pages, of which only the last one grows."""

    first: int
    pages: Sequence[bytes] = ()

    def with_lines(self, lines: Iterable[str]) -> "Pages":
        """With more lines; one that the last page has already is not written twice."""
        known = set(self.pages[-1].decode().splitlines()) if self.pages else set()
        pages = list(self.pages)
        for line in lines:
            if line in known:
                continue
            known.add(line)
            data = f"{line}\n".encode()
            if pages and len(pages[-1]) + len(data) <= MAX_PAGE_BYTES:
                pages[-1] += data
            else:
                pages.append(data)
        return Pages(self.first, tuple(pages))

    def without_written(self, facts: JobFacts) -> "Pages":
        """Without the full pages that the record has: only the last one is ever written again."""
        blobs = facts.record.blobs if facts.record else {}
        first, pages = self.first, list(self.pages)
        while len(pages) > 1 and _has(blobs.get(page_path(first)), pages[0]):
            first, pages = first + 1, pages[1:]
        return Pages(first, tuple(pages))

    def files(self) -> dict[str, bytes | None]:
        """The record's files of these pages."""
        return {page_path(self.first + place): page for place, page in enumerate(self.pages)}


def next_page(facts: JobFacts) -> int:
    """The number of the first page that no attempt has written yet."""
    blobs = facts.record.blobs if facts.record else {}
    return 1 + max(map(page_number, blobs), default=0)


def plain_file(content: bytes) -> str:
    """Where the record keeps a published text file, so that it outlives a rewritten branch."""
    return f"{PLAIN_FILES}{blob_id(content)}"


def _has(oid: str | None, data: bytes | None) -> bool:
    return oid is None if data is None else oid == blob_id(data)
