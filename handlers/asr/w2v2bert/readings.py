"""What was heard in each recording, as a table for programs: the least sure first."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from codex_worker.asr.transcribe import Transcript


@dataclass(frozen=True)
class CellReading:
    """What was heard in a cell's recording, and whether the cell holds it now."""

    cell_id: str
    label: str
    transcript: Transcript
    is_written: bool

    def row(self, threshold: float) -> dict[str, Any]:
        """As JSON values; below `threshold` the confidence is too low to go without listening."""
        transcript = self.transcript
        return {
            "cell": self.cell_id,
            "reference": self.label,
            "text": transcript.text,
            "confidence": round(transcript.confidence, 3),
            "threshold": round(threshold, 3),
            "uncertain": transcript.is_uncertain,
            "written": self.is_written,
            "duration_s": round(transcript.duration_s, 2),
            "error": transcript.error,
            "notes": list(transcript.notes),
            "words": [
                {
                    "text": word.text,
                    "start_s": round(word.start_s, 2),
                    "end_s": round(word.end_s, 2),
                    "confidence": round(word.confidence, 3),
                }
                for word in transcript.words
            ],
        }


def to_listen_to(readings: Iterable[CellReading]) -> list[CellReading]:
    """The order to listen in: the least sure text first; at last where nothing was heard, or could be."""
    return sorted(readings, key=lambda one: (not one.transcript.text, one.transcript.confidence))


def table_of(readings: Sequence[CellReading], threshold: float) -> str:
    """A JSON list with an object for each reading, in their order."""
    return json.dumps([one.row(threshold) for one in readings], ensure_ascii=False, indent=1)
