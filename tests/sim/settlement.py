"""The last look: all faults are over, everybody has synced, nobody has anything left to do."""

from collections.abc import Collection, Mapping
from typing import Any

from codex_worker.codex.patch import RecordingPatch
from codex_worker.codex.text import html_escape
from codex_worker.contract.paths import log_path, metrics_path, parse_record, response_path
from codex_worker.git.ports import blob_id
from tests.sim.judge import Judge
from tests.sim.people import HumanChange
from tests.sim.tree import FINAL_STATES, cells_of, is_final, job_files, parsed
from tests.support.notebooks import PATH


def judge_settled(
    judge: Judge, jobs: Mapping[str, tuple[str, str]], changes: Collection[HumanChange]
) -> None:
    """All is quiet: `jobs` has each job's state and reason as a worker sees it now."""
    for job_id, (state, reason) in jobs.items():
        if state in {"running", "pending", "cancel requested", "exhausted", "invalid"} or not reason:
            judge.complain(8, f"{job_id} is {state} ({reason}) when all is quiet")
    known = judge.known(judge.files, judge.refs)
    for job_id in {record.job_id for path in known if (record := parse_record(path))}:
        if job_id not in judge.orphaned:
            _judge_truth(judge, job_id)
    _judge_published(judge, changes)
    _judge_people(judge, changes)


def _judge_truth(judge: Judge, job_id: str) -> None:
    job, files = job_files(judge.files, job_id), judge.files
    judge.judge_budget(job_id, job)
    completed = [key for key, end in job.ends.items() if end["state"] == "completed"]
    if len(completed) > 1:
        judge.complain(6, f"{job_id} was completed {len(completed)} times")
    end = job.final_end or (job.ends.get(job.newest) if job.newest else None)
    if end is None:
        return  # judge_settled has said so already
    response = parsed(files.get(response_path(job_id), b"{}"))
    state = end["state"] if end["state"] in FINAL_STATES else "failed"
    wanted = state if is_final(end) else "running"
    if not is_final(end) and not response:
        return  # nobody looks, and it will be written once, at the end
    if (response.get("state"), response.get("worker_id")) != (wanted, end["worker_id"]):
        judge.complain(8, f"response.yaml of {job_id} says {response.get('state')}, its end {end['state']}")
    if not is_final(end) and response and "aiting" not in str(response.get("status_message")):
        judge.complain(8, f"response.yaml of {job_id} does not say that it waits")
    for name, path in (("log_blob", log_path(job_id)), ("metrics_blob", metrics_path(job_id))):
        if end.get(name) and blob_id(files.get(path, b"")) != end[name]:
            judge.complain(8, f"{path} is not what the end of {job_id} names")


def _judge_published(judge: Judge, changes: Collection[HumanChange]) -> None:
    """Everything that our workers published is at the head, but for what people removed or changed."""
    if not judge.has_records:
        return
    for path in judge.published_paths() - judge.files.keys() - judge.removed_by_people:
        job_id = path.split("/")[1].removeprefix("job_")
        if job_id not in judge.orphaned and not any(path.startswith(p) for p in (".project/",)):
            judge.complain(5, f"{path} was lost")
    cells = cells_of(judge.files[PATH])
    for written in judge.written:
        metadata = cells.get(written.cell_id, {"metadata": {}})["metadata"]
        if written.is_in(metadata) or written.cell_id in judge.excused:
            continue
        if written.job_id in judge.orphaned:
            continue
        people = any(c.cell_id == written.cell_id and c.time_ms > written.known_ms for c in changes)
        ours = any(w.cell_id == written.cell_id and w.is_in(metadata) for w in judge.written)
        if not people and not ours:
            judge.complain(
                5, f"{written.what} in {written.cell_id} was lost, and no person changed that cell"
            )


def _judge_people(judge: Judge, changes: Collection[HumanChange]) -> None:
    cells = cells_of(judge.files[PATH])
    newest: dict[tuple[str, str], HumanChange] = {}
    for change in changes:
        if change.cell_id in judge.excused or change.cell_id in judge.taken_back:
            continue
        cell = cells.get(change.cell_id)
        if cell is None:
            judge.complain(4, f"the cell {change.cell_id} is gone")
            continue
        metadata = cell["metadata"]
        if change.field == "value" and not any(
            edit["timestamp"] == change.time_ms and edit["value"] == change.value
            for edit in metadata["edits"]
        ):
            judge.complain(4, f"what was typed into {change.cell_id} is not in its history: {change.value}")
        if change.field == "flag" and metadata.get(str(change.value)) is not True:
            judge.complain(4, f"{change.cell_id} lost its flag {change.value}")
        if change.field == "take" and not metadata["attachments"][change.value]["isDeleted"]:
            judge.complain(4, f"the deleted recording {change.value} of {change.cell_id} is back")
        key = (change.cell_id, change.field)
        if change.field in {"value", "selection"} and (
            key not in newest or newest[key].time_ms < change.time_ms
        ):
            newest[key] = change
    for (identity, field), change in newest.items():
        _judge_winner(judge, cells[identity], field, change)


def _judge_winner(judge: Judge, cell: Mapping[str, Any], field: str, change: HumanChange) -> None:
    """What shows must be the newest that a person did, or ours that was made knowing it."""
    shown = cell["value"] if field == "value" else cell["metadata"].get("selectedAudioId")
    if shown == change.value:
        return
    for patch in judge.patches:
        if patch.cell_id != change.cell_id:
            continue
        if isinstance(patch, RecordingPatch):
            ours, known_ms = patch.recording.attachment_id, patch.read.selection_timestamp_ms
        else:
            ours, known_ms = html_escape(patch.text), patch.read.value_changed_at_ms
        if shown == ours and (known_ms or 0) >= change.time_ms:
            return
    judge.complain(4, f"{change.cell_id} shows {shown!r} instead of the newer {change.value!r}")
