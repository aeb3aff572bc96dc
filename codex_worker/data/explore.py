"""What a project holds, counted from its notebooks alone: no recording is fetched."""

from collections import Counter
from dataclasses import dataclass

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
        noted_s=sum(take.duration_s or 0.0 for take in takes if take is not None),
        reasons=Counter(entry.reason for entry in trained.skipped),
    )
