"""A cell with its recording, as the transcriber takes it."""

from codex_worker.data.recordings import RecordedCell
from codex_worker.w2v2bert.data import Utterance


def utterance_of(cell: RecordedCell) -> Utterance:
    """The recording and the text of one cell."""
    return Utterance(
        key=cell.key,
        path=cell.path,
        text=cell.text,
        chapter=cell.chapter,
        start_s=cell.start_s,
        end_s=cell.end_s,
    )
