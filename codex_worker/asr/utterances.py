"""A cell with its recording, as the transcriber takes it."""

from codex_worker.asr.corpus import TranscribedClip
from codex_worker.data.recordings import RecordedCell


def utterance_of(cell: RecordedCell) -> TranscribedClip:
    """The recording and the text of one cell."""
    return TranscribedClip(
        key=cell.key,
        path=cell.path,
        text=cell.text,
        chapter=cell.chapter,
        start_s=cell.start_s,
        end_s=cell.end_s,
        expected_duration_s=cell.expected_duration_s,
    )
