"""Who made a cell's text and recording: a person, or a machine whose work no person has approved yet.

A model that learns from its own output learns its own mistakes. What a person validated is as good as a
person's; so is a text that a person changed after the machine, and everything whose maker is unknown.
"""

import re
from collections.abc import Sequence

from codex_worker.codex.cell import Attachment, Cell, Edit
from codex_worker.codex.text import plain_text

WORKER_NAME = "Codex Worker"
_WORKER = re.compile(rf"{WORKER_NAME}(\s*\(.*)?", re.IGNORECASE)
_RECOGNISER = re.compile(r"ASR \S.*")  # "ASR <checkpoint>": ours and older workers'

# Rewriting of markup and joining of verses by the editor: the words stay those of whoever wrote them before.
_NOBODYS = frozenset({"migration", "merge"})
# For edits of the same time, as the editor orders them when it merges.
_ORDER = {"initial-import": 0, "user-edit": 2, "migration": 3}


def made_by_worker(model: str) -> str:
    """What a recording of ours has as its maker, so that it is known as such later."""
    return f"{WORKER_NAME} ({model})"


def unvalidated_by_person(cell: Cell) -> str | None:
    """Which of the text and the selected recording is a machine's that no person approved; None: neither."""
    take = cell.attachments.get(cell.selected_audio_id)
    machine_made = [
        name
        for name, is_so in (
            ("text", is_machine_text(cell)),
            ("recording", take is not None and is_machine_recording(take, cell)),
        )
        if is_so
    ]
    return " and ".join(machine_made) or None


def is_machine_text(cell: Cell) -> bool:
    """True where the words of the cell are a machine's, and no person has validated them."""
    history = [edit for edit in cell.edits if edit.field == ("value",) and not edit.is_preview]
    saying_it = [edit for edit in history if _words(edit) == cell.text]
    if any(_approved(edit.validated_by) for edit in saying_it):
        return False
    newest = _newest_written(saying_it) or _newest_written(history)
    return newest is not None and is_machine_edit(newest)


def is_machine_edit(edit: Edit) -> bool:
    """True for an edit that a machine made and no person approved.

    The editor and the workers note the text that was there before them as an import: that is nobody's.
    """
    kind = edit.type.strip().lower()
    if kind == "initial-import" or _approved(edit.validated_by):
        return False
    return kind.startswith("llm-") or _is_machine(edit.author)


def is_machine_recording(take: Attachment, cell: Cell) -> bool:
    """True for a take that a machine spoke, also after cutting in the editor, and that nobody validated."""
    seen: set[str] = set()
    origin: Attachment | None = take
    while origin is not None and origin.id not in seen:
        if _approved(origin.validated_by):
            return False
        if origin.is_generated or _is_machine(origin.created_by):
            return True
        seen.add(origin.id)
        origin = cell.attachments.get(origin.derived_from)
    return False


def people_and_machines(what: str, human: int, machine_made: int) -> str | None:
    """A sentence about what is learnt from and what is not; None where there is nothing of a machine's.

    `what` names what was counted. The sentence has no full stop.
    """
    if not machine_made:
        return None
    it = "it" if machine_made == 1 else "them"
    return (
        f"{what}: {human} human, {machine_made} machine-made left out, because no person has validated {it}. "
        f"To learn from {it}, validate {it} in the editor, or set training.include_machine_made: true"
    )


def _newest_written(edits: Sequence[Edit]) -> Edit | None:
    """The newest edit that wrote words, the later in the list where times are equal."""
    written = [edit for edit in edits if edit.type.strip().lower() not in _NOBODYS]
    return max(
        enumerate(written),
        key=lambda entry: (entry[1].timestamp_ms, _ORDER.get(entry[1].type.strip().lower(), 1), entry[0]),
        default=(0, None),
    )[1]


def _words(edit: Edit) -> str | None:
    return plain_text(edit.value) if isinstance(edit.value, str) else None


def _approved(names: Sequence[str]) -> bool:
    return any(not _is_machine(name) for name in names)


def _is_machine(name: str) -> bool:
    name = name.strip()
    return bool(_WORKER.fullmatch(name) or _RECOGNISER.fullmatch(name))
