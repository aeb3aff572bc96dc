"""What a project holds, counted from its notebooks alone: no recording is fetched."""

from collections import Counter
from dataclasses import dataclass

from codex_worker.codex.cell import Attachment
from codex_worker.codex.choose import Selection, cells_for_training, cells_to_speak, cells_to_transcribe
from codex_worker.codex.notebook import Notebook
from codex_worker.data.project import Project


@dataclass(frozen=True)
class Holding:
    """One document. Seconds are those that the editor noted, as far as it did."""

    document: str
    cells: int
    to_train: int  # text and a selected recording
    to_transcribe: int
    to_speak: int
    noted_s: float
    reasons: Counter[str]  # why cells cannot be learnt from


def holdings(project: Project) -> list[Holding]:
    """One row for each notebook, in the order of their paths."""
    return [_holding(notebook) for notebook in project.notebooks]


def _holding(notebook: Notebook) -> Holding:
    everything = Selection()
    trained = cells_for_training(notebook, everything)
    takes = [cell.attachments.get(cell.selected_audio_id) for cell in trained.chosen]
    return Holding(
        document=notebook.document,
        cells=len(notebook.cells) + len(notebook.problems),
        to_train=len(trained.chosen),
        to_transcribe=len(cells_to_transcribe(notebook, everything).chosen),
        to_speak=len(cells_to_speak(notebook, everything).chosen),
        noted_s=sum(_noted_s(take) for take in takes if take is not None),
        reasons=Counter(entry.reason for entry in trained.skipped),
    )


def _noted_s(take: Attachment) -> float:
    """How long the take is that the cell plays: a part of its file where it is cut out of it."""
    start_s, end_s = take.start_s or 0.0, take.end_s
    if end_s is None:
        end_s = take.duration_s
    elif take.duration_s is not None:
        end_s = min(end_s, take.duration_s)
    return 0.0 if end_s is None else max(0.0, end_s - start_s)
