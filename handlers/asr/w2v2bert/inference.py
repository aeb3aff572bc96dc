"""Write the text of cells that have a recording and none yet."""

import json
import logging
from pathlib import Path
from typing import Any

from codex_worker.codex.choose import cells_to_transcribe
from codex_worker.codex.patch import TextPatch
from codex_worker.errors import DataError, UserError
from codex_worker.w2v2bert.checkpoint import load_checkpoint
from codex_worker.w2v2bert.transcribe import DecodingSettings, Transcriber, Transcript
from handlers.asr.w2v2bert.progress import say
from handlers.asr.w2v2bert.project import ChosenCell, Project
from handlers.base import CellResult, Inferred, JobCallbacks, JobContext, Result, run_inference

logger = logging.getLogger(__name__)

PUBLISH_EVERY = 50  # cells in one commit


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_inference(job, callbacks, infer)


def infer(
    job: JobContext, callbacks: JobCallbacks, checkpoint: Path, project: Project | None = None
) -> Inferred:
    """Choose cells, fetch their recordings, read them and publish what was heard as it comes."""
    project = project or Project(job, callbacks)
    chosen, _ = project.choose(cells_to_transcribe, "inference")
    if not chosen:
        note = "No cell has a recording and no text: there is nothing to transcribe."
        if job.mode == "inference":
            raise UserError(f"{note} Include cells by name (inference.include_verses) to write them anew.")
        return Inferred(0, notes=[*project.notes, note])
    say(callbacks, None, f"Fetching {len(chosen)} recordings", "download")
    utterances, failed = project.utterances(chosen)
    loaded = load_checkpoint(checkpoint, unpack_folder=job.folder / "unpacked")
    work = _Work(callbacks, {entry.cell.id: entry for entry in chosen}, f"ASR {checkpoint.name}")
    work.failed |= failed
    transcripts = Transcriber(loaded, _settings(job)).transcribe(
        utterances,
        should_stop=callbacks.should_stop,
        on_progress=lambda done, total: say(
            callbacks, None, f"Transcribed {done} of {total} recordings", "inference"
        ),
    )
    for transcript in transcripts:
        work.take(transcript)
    work.publish()
    _report(job, callbacks, work.heard)
    stopped = callbacks.should_stop()
    if work.failed and not work.written and not work.skipped and not stopped:
        raise DataError(
            f"None of the {len(chosen)} recordings could be transcribed. The first one: "
            f"{next(iter(work.failed.values()))}"
        )
    return Inferred(
        work.written, work.failed, work.skipped, work.metrics(), [*project.notes, *loaded.notes], stopped
    )


class _Work:
    """Transcripts on their way into the project."""

    def __init__(self, callbacks: JobCallbacks, cells: dict[str, ChosenCell], author: str) -> None:
        self.callbacks = callbacks
        self.cells = cells
        self.author = author
        self.heard: list[Transcript] = []
        self.failed: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.written = 0
        self._pending: list[CellResult] = []

    def take(self, transcript: Transcript) -> None:
        """Sort one transcript; an empty one never replaces a text."""
        self.heard.append(transcript)
        if transcript.error is not None:
            logger.warning("%s: %s", transcript.key, transcript.error)
            self.failed[transcript.key] = transcript.error
            return
        if not transcript.text:
            self.skipped[transcript.key] = "nothing was heard in the recording; the cell stays as it is"
            return
        if transcript.is_uncertain:
            logger.warning("%s: low confidence (%.2f)", transcript.key, transcript.confidence)
        notebook, cell = self.cells[transcript.key]
        patch = TextPatch(cell.id, cell.state, transcript.text, self.author)
        self._pending.append(CellResult(notebook.path, patch))
        if len(self._pending) >= PUBLISH_EVERY:
            self.publish()

    def publish(self) -> None:
        """Commit what is waiting; a cell that a person changed meanwhile is theirs."""
        if not self._pending:
            return
        published = self.callbacks.scanner.publish_cells(self._pending)
        self.written += len(published.applied)
        for index, reason in published.dropped.items():
            self.skipped[self._pending[index].patch.cell_id] = reason
        self._pending = []

    def metrics(self) -> dict[str, float]:
        """How sure the readings are, on average."""
        sure = [transcript.confidence for transcript in self.heard if transcript.text]
        return {"mean_confidence": sum(sure) / len(sure)} if sure else {}


def _settings(job: JobContext) -> DecodingSettings:
    suppress = job.setting("inference.suppress_unk", True)
    replacement = job.setting("inference.unk_replacement", "")
    if not isinstance(suppress, bool) or not isinstance(replacement, str) or len(replacement) > 32:
        raise UserError("inference.suppress_unk must be true or false, and unk_replacement a short text.")
    return DecodingSettings(suppress_unknown=suppress, unknown_replacement=replacement)


def _report(job: JobContext, callbacks: JobCallbacks, heard: list[Transcript]) -> None:
    """Every reading with its confidence, word by word, least sure first."""
    if not heard:
        return
    rows = [_row(transcript) for transcript in sorted(heard, key=lambda transcript: transcript.confidence)]
    path = job.folder / "transcripts.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    callbacks.scanner.publish_artifact(path, "report")


def _row(transcript: Transcript) -> dict[str, Any]:
    return {
        "cell": transcript.key,
        "text": transcript.text,
        "confidence": round(transcript.confidence, 3),
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
