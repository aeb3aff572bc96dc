"""Write the text of cells that have a recording and none yet."""

import json
import logging
from pathlib import Path
from typing import Any

from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import DecodingSettings, Transcriber, Transcript
from codex_worker.codex.choose import cells_to_transcribe
from codex_worker.codex.patch import TextPatch
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, RecordedCell, fetch_recordings
from codex_worker.errors import DataError
from codex_worker.job.publication import Publication, WaitingResults
from codex_worker.job.summary import Fact, What
from handlers.asr.w2v2bert.utterances import utterance_of
from handlers.base import CellResult, Inferred, JobCallbacks, JobContext, Result, run_inference
from handlers.steps import project_of, publish_report, say, threads
from handlers.told import counted, facts_of_choice, naming_unmatched

logger = logging.getLogger(__name__)


def run(job: JobContext, callbacks: JobCallbacks) -> Result:
    """The whole job."""
    return run_inference(job, callbacks, infer)


def infer(
    job: JobContext, callbacks: JobCallbacks, checkpoint: Path, project: Project | None = None
) -> Inferred:
    """Choose cells, fetch their recordings, read them and publish what was heard as it comes."""
    options = job.options.inference
    project = project or project_of(job, callbacks)
    cells = project.choose(cells_to_transcribe, options)
    chosen, facts = cells.chosen, facts_of_choice(cells, What.ALL_WRITTEN)
    if not chosen:
        project.note("There was nothing to transcribe.", logging.INFO)
        return Inferred(0, notes=project.notes, asked=0, facts=facts)
    say(callbacks, None, f"Fetching {len(chosen)} recordings", "download")
    recorded = fetch_recordings(project.reader, chosen)
    loaded = load_checkpoint(checkpoint, unpack_folder=job.folder / "unpacked")
    work = _Work(recorded, f"ASR {checkpoint.name}")
    settings = DecodingSettings(
        suppress_unknown=options.suppress_unk,
        unknown_replacement=options.unk_replacement,
        workers=threads(),
    )
    transcripts = Transcriber(loaded, settings).transcribe(
        [utterance_of(cell) for cell in recorded.cells],
        should_stop=callbacks.should_stop,
        on_progress=lambda done, total: say(
            callbacks, None, f"Transcribed {done} of {total} recordings", "inference"
        ),
    )
    chapters = [cell.chapter for cell in recorded.cells]
    journal = WaitingResults(job.folder)
    with Publication(callbacks.scanner.publish_cells, chapters, journal=journal) as publication:
        for transcript in transcripts:
            publication.add(work.cells[transcript.key].chapter, work.take(transcript))
    for result, why in publication.dropped:
        work.left_alone[result.patch.cell_id] = why
    work.skipped |= work.left_alone
    written = len(publication.applied)
    _report(job, callbacks, work)
    stopped = callbacks.should_stop()
    with naming_unmatched(cells):
        if work.failed and not written and not work.skipped and not stopped:
            raise DataError(
                f"None of the {len(chosen)} recordings could be transcribed. The first one: "
                f"{next(iter(work.failed.values()))}"
            )
    notes = [*project.notes, *loaded.notes]
    facts += work.facts(len(recorded.skipped))
    return Inferred(written, work.failed, work.skipped, work.metrics(), notes, stopped, len(chosen), facts)


class _Work:
    """Transcripts on their way into the project; failed and skipped cells by id."""

    def __init__(self, recorded: FetchedCells, author: str) -> None:
        self.cells = {cell.key: cell for cell in recorded.cells}
        self.author = author
        self.heard: list[Transcript] = []
        self.failed = {entry.cell_id: f"{entry.label}: {entry.reason}" for entry in recorded.skipped}
        self.skipped: dict[str, str] = {}
        self.left_alone: dict[str, str] = {}  # of those, what was not published

    def take(self, transcript: Transcript) -> CellResult | None:
        """The result of one transcript, None where there is none; an empty one never replaces a text."""
        self.heard.append(transcript)
        recorded = self.cells[transcript.key]
        cell = recorded.chosen.cell
        if transcript.error is not None:
            logger.warning("%s: %s", recorded.label, transcript.error)
            self.failed[cell.id] = f"{recorded.label}: {transcript.error}"
            return None
        if not transcript.text:
            self.skipped[cell.id] = "nothing was heard in the recording; the cell stays as it is"
            return None
        if transcript.is_uncertain:
            logger.warning("%s: low confidence (%.2f)", recorded.label, transcript.confidence)
        patch = TextPatch(cell.id, cell.state, transcript.text, self.author)
        return CellResult(recorded.chosen.notebook.path, patch)

    def facts(self, unfetched: int) -> list[Fact]:
        """Why cells were not written; the first `unfetched` of the failed have no recording."""
        failed = list(self.failed.values())
        unheard = len(self.skipped.keys() - self.left_alone.keys())
        return [
            *([Fact(what=What.NOTHING_HEARD, count=unheard)] if unheard else []),
            *counted(What.NOT_FETCHED, failed[:unfetched]),
            *counted(What.NOT_READ, failed[unfetched:]),
            *counted(What.LEFT_ALONE, (f"{cell}: {why}" for cell, why in self.left_alone.items())),
        ]

    def metrics(self) -> dict[str, float]:
        """How sure the readings are, on average."""
        sure = [transcript.confidence for transcript in self.heard if transcript.text]
        return {"mean_confidence": sum(sure) / len(sure)} if sure else {}


def _report(job: JobContext, callbacks: JobCallbacks, work: _Work) -> None:
    """Every reading with its confidence, word by word, least sure first."""
    if not work.heard:
        return
    ordered = sorted(work.heard, key=lambda transcript: transcript.confidence)
    rows = [_row(work.cells[transcript.key], transcript) for transcript in ordered]
    publish_report(job, callbacks, "transcripts.json", json.dumps(rows, ensure_ascii=False, indent=1))


def _row(recorded: RecordedCell, transcript: Transcript) -> dict[str, Any]:
    return {
        "cell": recorded.chosen.cell.id,
        "reference": recorded.label,
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
