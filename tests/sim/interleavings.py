"""Random interleavings of what people do to a notebook with what the worker writes into it.

Two people with a clone each edit, record, select, deselect, delete, lock and sync as the editor does; the
worker reads the head, and writes its patches into a later head, sometimes twice. The same actions of the same
people are then played without the worker. Afterwards:

1. A field (text, selection) that people changed in a way the worker had not read is as without the worker.
   The one exception is counted: a selection made offline before a change of the cell's recordings that the
   worker had read, and which is therefore no newer than what was known.
2. Flags, takes and entries of the history are all there that would be there without the worker.
3. A patch is in the notebook, or superseded by a person, or was reported as dropped; and none is dropped
   where no person had touched the cell.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from codex_worker.codex.attachments import NewRecording, new_attachment_id
from codex_worker.codex.cell import Cell
from codex_worker.codex.left_alone import skip_reason
from codex_worker.codex.notebook import Notebook
from codex_worker.codex.patch import Applied, Patch, RecordingPatch, TextPatch, apply_patches
from tests.support.editor_merge import merge_documents
from tests.support.notebooks import CREATED_AT_MS, PATH, cell, dump_notebook, recorded_cell, take, value_edit
from tests.support.present import present

PEOPLE = ("maria", "tom")
ACTIONS = ("type", "type", "record", "select", "deselect", "delete take", "lock", "delete", "sync", "sync")

Publish = Callable[[bytes, bytes, list[Patch], int], Applied]


@dataclass
class Report:
    """What happened in all interleavings, and each violation with the seed that brings it back."""

    interleavings: int = 0
    seconds: float = 0.0
    actions: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.interleavings} interleavings in {self.seconds:.1f} s, {len(self.violations)} violations",
            f"actions: {dict(sorted(self.actions.items()))}",
            f"patches: {dict(sorted(self.outcomes.items()))}",
        ]
        return "\n".join([*lines, *self.violations[:20]])


def publish_patches(head: bytes, read: bytes, patches: list[Patch], now_ms: int) -> Applied:
    """The worker's own way."""
    return apply_patches(head, PATH, patches)


def publish_stamped_now(head: bytes, read: bytes, patches: list[Patch], now_ms: int) -> Applied:
    """Wrong on purpose: the edits and selections carry the time of writing."""
    applied = apply_patches(head, PATH, patches)
    document = json.loads(applied.data)
    written = {patch.cell_id for patch in applied.applied}
    for entry in document["cells"]:
        metadata = entry["metadata"]
        if metadata["id"] in written:
            for edit in metadata["edits"]:
                if edit["author"] == "worker":
                    edit["timestamp"] = now_ms
            if metadata.get("selectedAudioId", "").startswith("audio-9"):
                metadata["selectionTimestamp"] = now_ms
    return Applied(dump_notebook(document), applied.applied, applied.unchanged, applied.dropped)


def publish_whole_notebook(head: bytes, read: bytes, patches: list[Patch], now_ms: int) -> Applied:
    """Wrong on purpose: the notebook as it was read, with the patches in it, takes the place of the head."""
    return apply_patches(read, PATH, patches)


def run_interleavings(count: int, seed: int, publish: Publish = publish_patches) -> Report:
    """Plays `count` interleavings; each depends on `seed` and its own number only."""
    report = Report()
    started = time.perf_counter()
    for number in range(count):
        run_one(f"{seed}-{number}", report, publish)
        report.interleavings += 1
    report.seconds = time.perf_counter() - started
    return report


def run_one(seed: str, report: Report, publish: Publish = publish_patches) -> None:
    """Plays the interleaving of this seed and adds what it showed to the report."""
    schedule = _schedule(random.Random(seed))
    with_worker = _World(schedule.start, publish, schedule.pretty)
    without = _World(schedule.start, None, schedule.pretty)
    for action in schedule.actions:
        report.actions[action.kind] += 1
        with_worker.play(action)
        without.play(action)
    for world in (with_worker, without):
        world.settle()
    for violation in _violations(with_worker, without, report):
        report.violations.append(f"seed {seed}: {violation}")


@dataclass(frozen=True)
class _Action:
    kind: str
    person: str
    cell_id: str
    now_ms: int
    number: int


@dataclass(frozen=True)
class _Schedule:
    start: dict
    actions: list[_Action]
    pretty: bool  # the editor's own layout, or all on one line


def _schedule(rng: random.Random) -> _Schedule:
    """People's clocks never show a millisecond twice; steps of 1 ms make them meet the worker's times."""
    now = CREATED_AT_MS
    cells = [_random_cell(rng, f"MRK 1:{verse}") for verse in (1, 2)]
    start = {
        "cells": cells,
        "metadata": {"id": "MRK", "edits": [], "sourceCreatedAt": "2026-01-01T00:00:00.000Z"},
    }
    kinds = [rng.choice(ACTIONS) for _ in range(rng.randint(2, 9))]
    reading = rng.randint(0, len(kinds))
    kinds.insert(reading, "read")
    writing = rng.randint(reading + 1, len(kinds))
    kinds.insert(writing, "write")
    if rng.random() < 0.3:
        kinds.insert(rng.randint(writing + 1, len(kinds)), "write")
    now += 600  # after everything in the notebook at the start
    actions = []
    for number, kind in enumerate(kinds):
        now += rng.choice((1, 1, 2, 1000))
        actions.append(_Action(kind, rng.choice(PEOPLE), rng.choice(cells)["metadata"]["id"], now, number))
    return _Schedule(start, actions, pretty=rng.random() < 0.25)


def _random_cell(rng: random.Random, identity: str) -> dict:
    value = rng.choice(("", f"old text of {identity}"))
    edits = (
        (value_edit(value, CREATED_AT_MS + rng.choice((100, 600))),) if value and rng.random() < 0.8 else ()
    )
    return rng.choice((cell, recorded_cell))(identity, value, edits=edits)


class _World:
    """A repository with one notebook, the clones of the people, and the worker where there is one."""

    def __init__(self, start: dict, publish: Publish | None, pretty: bool) -> None:
        self.head = start
        self.publish = publish
        self.pretty = pretty
        self.local = dict.fromkeys(PEOPLE, start)
        self.base = dict.fromkeys(PEOPLE, start)
        self.changed = dict.fromkeys(PEOPLE, False)
        self.read: bytes = b""
        self.patches: list[Patch] = []
        self.applied: list[Patch] = []
        self.dropped: list[tuple[Patch, str, bytes]] = []
        self.unchanged: list[Patch] = []

    def play(self, action: _Action) -> None:
        if action.kind == "sync":
            self.sync(action.person)
        elif action.kind == "read":
            if self.publish:
                self._read(action)
        elif action.kind == "write":
            if self.publish:
                self._write(action)
        else:
            self.change(action)

    def change(self, action: _Action) -> None:
        """One action in a person's own clone, which is shared until its first change."""
        if not self.changed[action.person]:
            self.local[action.person] = json.loads(json.dumps(self.local[action.person]))
            self.changed[action.person] = True
        cells = self.local[action.person]["cells"]
        _act(next(entry for entry in cells if entry["metadata"]["id"] == action.cell_id), action)

    def sync(self, person: str) -> None:
        """As the editor does: fast-forward either way, or merge with the person's own copy as `ours`."""
        if not self.changed[person]:
            self.local[person] = self.head
        else:
            if self.head is not self.base[person]:
                self.local[person] = merge_documents(self.local[person], self.head)
            self.head = self.local[person]
        self.base[person] = self.head
        self.changed[person] = False

    def settle(self) -> None:
        """Everybody syncs until nobody has anything new."""
        for person in PEOPLE * 2:
            self.sync(person)

    def _bytes(self) -> bytes:
        return dump_notebook(self.head) if self.pretty else json.dumps(self.head).encode()

    def _read(self, action: _Action) -> None:
        self.read = self._bytes()
        for found in Notebook.parse(self.read, PATH).cells:
            if skip_reason(found):
                continue
            if (action.number + found.index) % 2:
                selected = found.attachments.get(found.selected_audio_id)
                if selected is not None and selected.is_deleted:
                    continue
                self.patches.append(TextPatch(found.id, found.state, f"ours {found.index} & more", "worker"))
            else:
                recording = NewRecording(
                    attachment_id=new_attachment_id(9_000_000_000_000 + found.index, random.Random(0)),
                    document="MRK",
                    extension="webm",
                    created_by="worker",
                    mime_type="audio/webm",
                    size_bytes=900,
                    sample_rate=16000,
                    channels=1,
                    duration_s=0.5,
                )
                self.patches.append(RecordingPatch(found.id, found.state, recording))

    def _write(self, action: _Action) -> None:
        head = self._bytes()
        result = present(self.publish)(head, self.read, self.patches, action.now_ms)
        if result.data != head:
            self.head = json.loads(result.data)
        self.applied += result.applied
        self.unchanged += [patch for patch, _ in result.unchanged]
        self.dropped += [(patch, reason, head) for patch, reason in result.dropped]


def _act(found: dict, action: _Action) -> None:
    """What a person does to a cell in the editor, with the entries that the editor makes of it."""
    metadata, now = found["metadata"], action.now_ms
    takes = metadata.setdefault("attachments", {})
    live = [
        name for name, entry in takes.items() if not entry["isDeleted"] and not name.startswith("audio-9")
    ]
    if action.kind == "type":
        found["value"] = f"typed by {action.person} at {now}"
        metadata["edits"].append(value_edit(found["value"], now, author=action.person))
    elif action.kind == "record":
        takes[f"audio-{now}-bbbbbbbbb"] = take(f"audio-{now}-bbbbbbbbb", now, createdBy=action.person)
        metadata |= {"selectedAudioId": f"audio-{now}-bbbbbbbbb", "selectionTimestamp": now}
    elif action.kind == "select" and live:
        metadata |= {"selectedAudioId": live[action.number % len(live)], "selectionTimestamp": now}
    elif action.kind == "deselect":
        metadata |= {"selectedAudioId": "", "selectionTimestamp": now}
    elif action.kind == "delete take" and live:
        takes[live[0]] |= {"isDeleted": True, "updatedAt": now}
    elif action.kind in {"lock", "delete"}:
        path = ["metadata", "isLocked"] if action.kind == "lock" else ["metadata", "data", "deleted"]
        (metadata if action.kind == "lock" else metadata["data"])[path[-1]] = True
        metadata["edits"].append(
            {**value_edit("", now, author=action.person), "editMap": path, "value": True}
        )


def _violations(world: _World, without: _World, report: Report) -> list[str]:
    if not world.read:
        return []
    read = Notebook.parse(world.read, PATH)
    final, expected = (Notebook.parse(json.dumps(one.head).encode(), PATH) for one in (world, without))
    found = [lost for alone in expected.cells for lost in _lost(present(final.cell(alone.id)), alone)]
    for patch in world.patches:
        before, now, alone = (present(book.cell(patch.cell_id)) for book in (read, final, expected))
        is_text = isinstance(patch, TextPatch)
        if isinstance(patch, TextPatch):
            people_changed = alone.value_changed_at_ms != before.value_changed_at_ms
            survived = now.value == alone.value
            ours_shows = now.value == f"ours {before.index} &amp; more"
        else:
            people_changed = alone.selection_timestamp_ms != before.selection_timestamp_ms
            survived = now.selected_audio_id == alone.selected_audio_id
            ours_shows = now.selected_audio_id == patch.recording.attachment_id
        # Where no selection was known, the takes' own times stand for it, and an older first one may lose.
        nothing_selected = before.selection_timestamp_ms is None
        known_ms = before.selection_changed_at_ms if nothing_selected else before.selection_timestamp_ms
        outdated = not is_text and (alone.selection_timestamp_ms or 0) <= (known_ms or 0)
        if people_changed and outdated and not survived:
            report.outcomes["selection older than what was known"] += 1
        elif people_changed and not survived:
            found.append(f"{patch.cell_id}: a person's {'text' if is_text else 'selection'} was lost")
        elif patch in world.applied and not people_changed and not ours_shows:
            found.append(f"{patch.cell_id}: our result was applied and is gone")
        report.outcomes[_outcome(world, patch, ours_shows)] += 1
    for patch, reason, head in world.dropped:
        met = Notebook.parse(head, PATH).cell(patch.cell_id)
        if not reason:
            found.append(f"{patch.cell_id}: dropped without a reason")
        if met == read.cell(patch.cell_id):
            found.append(f"{patch.cell_id}: dropped ({reason}) though nobody had touched the cell")
    if len(world.applied) != len(set(map(id, world.applied))):
        found.append("a patch was applied twice")
    answered = {
        id(patch) for patch in [*world.applied, *world.unchanged, *(entry[0] for entry in world.dropped)]
    }
    if answered != set(map(id, world.patches)):
        found.append("a patch was neither applied nor reported")
    return found


def _lost(now: Cell, alone: Cell) -> list[str]:
    """What a person put into the cell and is not there any more."""
    found = [f"{alone.id}: an entry of the history was lost" for edit in alone.edits if edit not in now.edits]
    found += [
        f"{alone.id}: a take was lost"
        for name, kept in alone.attachments.items()
        if now.attachments.get(name) != kept
    ]
    flags = (alone.is_locked, alone.is_deleted, alone.is_merged, alone.is_hidden)
    if flags != (now.is_locked, now.is_deleted, now.is_merged, now.is_hidden):
        found.append(f"{alone.id}: a flag was lost")
    return found


def _outcome(world: _World, patch: Patch, ours_shows: bool) -> str:
    if patch in world.applied:
        return "applied" if ours_shows else "applied, then superseded by a person"
    return "dropped and reported"
