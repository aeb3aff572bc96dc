"""Translators: each has a clone, edits it, and syncs as the editor does: now and then, and by merging."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from codex_worker.contract.paths import MANIFEST, job_folder
from tests.sim.servers import BRANCH, Files, Server
from tests.support.editor_sync import Clone, Phase, Sync
from tests.support.notebooks import PATH, dump_notebook, flag_edit, take, value_edit
from tests.support.queues import job

MAX_JOBS = 4
# What a careless or hostile member writes into an entry: no other job may suffer by it.
SPOILT_VALUES = (
    {"timeout": "0001-01-01T00:00:00+23:00"},
    {"submitted_at": {"a": ["b"]}},
    {"job_type": ["asr"]},
    {"epochs": -(10**30)},
    {"model": {"type": "W2V2BERT", "base_checkpoint": "../../../etc/passwd"}},
    {"inference": {"include_verses": [["MRK 1:1"] * 9] * 9}},
)


@dataclass(frozen=True)
class HumanChange:
    """What a person did to a cell: field "value", "selection", "flag" or "take"."""

    cell_id: str
    field: str
    value: object
    time_ms: int


@dataclass(frozen=True)
class Pushed:
    """What a sync pushed: the head, and the person's own commits in it."""

    commit: str
    own: tuple[str, ...]


class _Remote:
    """The server as a clone sees it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def head(self) -> str:
        return self._server.refs()[BRANCH]

    def files(self, commit: str) -> Files:
        return self._server.files(commit)

    def parents(self, commit: str) -> tuple[str, ...]:
        return self._server.parents(commit)

    def commit(self, files: Files, parents: tuple[str, ...]) -> str:
        return self._server.commit(files, parents, is_push=False)

    def push(self, expected: str, new: str) -> bool:
        return self._server.push(expected, new)


class Translator:
    """One person's clone. Nothing reaches the server before `sync`."""

    def __init__(self, name: str, server: Server, stamp_ms: Callable[[], int]) -> None:
        self.name = name
        self.is_syncing = False
        self._remote = _Remote(server)
        self._stamp_ms = stamp_ms
        head = server.refs()[BRANCH]
        self.clone = Clone(head, server.files(head))
        self._own: list[str] = []  # commits that no push has brought to the server yet
        self._jobs_added = 0
        self.changes: list[HumanChange] = []

    def act(self, action: str, number: int) -> None:
        """Changes something in the clone."""
        if action in {"add job", "spoil", "cancel", "remove entry", "delete job"}:
            self._ask(action, number)
        else:
            self._edit(action, number)

    def sync(self, between: Callable[[Phase], None] = lambda phase: None) -> Pushed | None:
        """A sync of the editor; `between` is called before each of its phases, and others may push then.

        Raises SyncRefused where the editor could not go on.
        """
        sync = Sync(self._remote, self.clone)
        self.is_syncing = True
        try:
            while sync.phase is not Phase.OVER:
                between(sync.phase)
                sync.step()
        finally:
            self.is_syncing = False
            self._own += sync.own
        if sync.pushed is None:
            return None
        own, self._own = tuple(self._own), []
        return Pushed(sync.pushed, own)

    def _ask(self, action: str, number: int) -> None:
        files = dict(self.clone.files)
        content = yaml.load(files[MANIFEST], yaml.CSafeLoader)
        entries = content["jobs"]
        if action in {"add job", "spoil"}:
            if len(entries) >= MAX_JOBS:
                return
            self._jobs_added += 1
            spoilt = SPOILT_VALUES[number % len(SPOILT_VALUES)] if action == "spoil" else {}
            entries.append(job_entry(f"{self.name}{self._jobs_added}", number) | spoilt)
        elif not entries:
            return
        else:
            entry = entries[number % len(entries)]
            if action == "cancel":
                entry["canceled"] = True
            else:
                entries.remove(entry)
            if action == "delete job":
                folder = job_folder(entry["job_id"]) + "/"
                files = {path: data for path, data in files.items() if not path.startswith(folder)}
        files[MANIFEST] = yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
        self.clone.files = files

    def _edit(self, action: str, number: int) -> None:
        document = json.loads(self.clone.files[PATH])
        cell = document["cells"][number % len(document["cells"])]
        change = edit_cell(cell, action, number, self._stamp_ms(), self.name)
        if change is not None:
            self.changes.append(change)
            self.clone.files = {**self.clone.files, PATH: dump_notebook(document)}


def job_entry(job_id: str, number: int) -> dict[str, object]:
    """A job that writes into cells; some name a cell, which may then be replaced."""
    rng = random.Random(number)
    verses = [f"MRK 1:{verse}" for verse in rng.sample(range(1, 6), 3)]
    named = {"include_verses": verses} if rng.random() < 0.5 else None
    return job(
        job_id,
        job_type=rng.choice(("asr", "tts")),
        mode="training_and_inference",
        model=None,
        inference=named,
        submitted_at=f"2026-01-01T00:00:{number % 60:02d}.000Z",
    )


def edit_cell(cell: dict, action: str, number: int, now_ms: int, person: str) -> HumanChange | None:
    """What a person does to a cell in the editor, with the entries that the editor makes of it."""
    metadata, identity = cell["metadata"], cell["metadata"]["id"]
    takes = metadata.setdefault("attachments", {})
    live = [name for name, entry in takes.items() if not entry["isDeleted"]]
    name = f"audio-{now_ms}-{person[0] * 9}"
    if action == "type":
        cell["value"] = f"typed by {person} at {now_ms}"
        metadata["edits"].append(value_edit(cell["value"], now_ms, author=person))
        return HumanChange(identity, "value", cell["value"], now_ms)
    if action == "record":
        takes[name] = take(name, now_ms, createdBy=person)
        metadata |= {"selectedAudioId": name, "selectionTimestamp": now_ms}
        return HumanChange(identity, "selection", name, now_ms)
    if action == "select" and live:
        metadata |= {"selectedAudioId": live[number % len(live)], "selectionTimestamp": now_ms}
        return HumanChange(identity, "selection", metadata["selectedAudioId"], now_ms)
    if action == "deselect":
        metadata |= {"selectedAudioId": "", "selectionTimestamp": now_ms}
        return HumanChange(identity, "selection", "", now_ms)
    if action == "delete take" and live:
        takes[live[0]] |= {"isDeleted": True, "updatedAt": now_ms}
        return HumanChange(identity, "take", live[0], now_ms)
    if action == "lock":
        metadata["isLocked"] = True
        metadata["edits"].append({**flag_edit(["metadata", "isLocked"], True, now_ms), "author": person})
        return HumanChange(identity, "flag", "isLocked", now_ms)
    return None
