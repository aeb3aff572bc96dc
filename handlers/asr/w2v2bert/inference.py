"""Write the text of cells that have a recording and none yet."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from codex_worker.asr.decoding.decoder import Decoding
from codex_worker.asr.load import load_checkpoint
from codex_worker.asr.transcribe import DecodingSettings, Transcriber, Transcript
from codex_worker.asr.utterances import utterance_of
from codex_worker.asr.worth_writing import Doubt, WritingGate
from codex_worker.codex.choose import cells_to_transcribe
from codex_worker.codex.patch import TextPatch
from codex_worker.contract.licences import licence_of
from codex_worker.data.project import Project
from codex_worker.data.recordings import FetchedCells, fetch_recordings
from codex_worker.errors import DataError
from codex_worker.job.publication import Publication, WaitingResults
from codex_worker.job.summary import Fact, What
from handlers.asr.w2v2bert.quality import facts_of_quality
from handlers.asr.w2v2bert.readings import CellReading, table_of, to_listen_to
from handlers.asr.w2v2bert.readings_page import readings_page
from handlers.base import CellResult, Inferred, JobCallbacks, JobContext, Result, run_inference
from handlers.steps import project_of, publish_report, require_licence, say, threads
from handlers.told import counted, facts_of_choice, naming_unmatched

logger = logging.getLogger(__name__)

# Of a machine, for the preset full: read by the supervisor before it claims a job (supervisor/needs.py).
FULL_NEEDS = {"gpu_gb": 6}

_WITHHELD = {
    Doubt.TOO_WRONG: "the transcriber reads too many letters wrong; its reading is in the report",
    Doubt.TOO_UNSURE: "the transcriber is unsure of nearly all that it read; its reading is in the report",
}


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
    licence = licence_of(loaded.metadata)
    require_licence(options, licence, checkpoint.name)
    settings = DecodingSettings(
        suppress_unknown=options.suppress_unk,
        unknown_replacement=options.unk_replacement,
        workers=threads(),
        decoding=Decoding(options.decoding) if options.decoding else None,
    )
    transcriber = Transcriber(loaded, settings)
    for remark in transcriber.remarks:
        project.note(remark, logging.INFO)
    sure, rate = transcriber.confidence, transcriber.held_out
    work = _Work(recorded, f"ASR {checkpoint.name}", WritingGate(rate, can_tell=sure.estimate is not None))
    transcripts = transcriber.transcribe(
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
            callbacks.computed(transcript.duration_s)
            for chapter, result in work.take(transcript):
                publication.add(chapter, result)
        for chapter, result in work.rest():
            publication.add(chapter, result)
    for result, why in publication.dropped:
        work.left_alone[result.patch.cell_id] = why
    written = {result.patch.cell_id for result in publication.applied}
    quality = facts_of_quality(rate) + work.doubts()
    _report(job, callbacks, work.readings(written), quality, sure.threshold)
    stopped = callbacks.should_stop()
    with naming_unmatched(cells):
        if work.failed and not written and not work.skipped and not stopped:
            raise DataError(
                f"None of the {len(chosen)} recordings could be transcribed. The first one: "
                f"{next(iter(work.failed.values()))}"
            )
    notes = [*project.notes, *loaded.notes]
    facts += quality + work.facts(len(recorded.skipped), written)
    metrics = {**work.metrics(), "low_confidence": sure.threshold}
    if rate.cer is not None:
        metrics["held_out_cer"] = rate.cer
    return Inferred(
        len(written), work.failed, work.skipped, metrics, notes, stopped, len(chosen), facts, licence
    )


_Result = tuple[str, CellResult]  # with its chapter


class _Work:
    """Transcripts on their way into the project, and why others do not get there, by cell id."""

    def __init__(self, recorded: FetchedCells, author: str, gate: WritingGate[_Result]) -> None:
        self.cells = {cell.key: cell for cell in recorded.cells}
        self.author = author
        self.heard: list[Transcript] = []
        self.failed = {entry.cell_id: f"{entry.label}: {entry.reason}" for entry in recorded.skipped}
        self.unheard: dict[str, str] = {}
        self.withheld: dict[str, str] = {}
        self.left_alone: dict[str, str] = {}  # by the publication
        self._gate = gate

    @property
    def skipped(self) -> dict[str, str]:
        """Cells that stay as they are although nothing failed."""
        return self.unheard | self.withheld | self.left_alone

    def take(self, transcript: Transcript) -> Sequence[_Result]:
        """Results that may be written after one more transcript; an empty one never replaces a text."""
        self.heard.append(transcript)
        recorded = self.cells[transcript.key]
        cell = recorded.chosen.cell
        if transcript.error is not None:
            logger.warning("%s: %s", recorded.label, transcript.error)
            self.failed[cell.id] = f"{recorded.label}: {transcript.error}"
            return ()
        if not transcript.text:
            self.unheard[cell.id] = "nothing was heard in the recording; the cell stays as it is"
            return ()
        if transcript.is_uncertain:
            logger.warning("%s: low confidence (%.2f)", recorded.label, transcript.confidence)
        patch = TextPatch(cell.id, cell.state, transcript.text, self.author)
        return self._gate.take(
            transcript, (recorded.chapter, CellResult(recorded.chosen.notebook.path, patch))
        )

    def rest(self) -> Sequence[_Result]:
        """Results that may be written now that all is heard."""
        results = self._gate.finish()
        if self._gate.doubt is not None:
            why = _WITHHELD[self._gate.doubt]
            self.withheld = {result.patch.cell_id: why for _, result in self._gate.withheld}
        return results

    def readings(self, written: Collection[str]) -> list[CellReading]:
        """All that was heard, beside where; `written` are the cells that hold it now."""
        cells = [(self.cells[transcript.key], transcript) for transcript in self.heard]
        return [
            CellReading(one.chosen.cell.id, one.label, transcript, is_written=one.chosen.cell.id in written)
            for one, transcript in cells
        ]

    def doubts(self) -> list[Fact]:
        """Why readings were withheld from their cells."""
        if not self.withheld:
            return []
        unsure = [Fact(what=What.TOO_UNSURE)] if self._gate.doubt is Doubt.TOO_UNSURE else []
        return [*unsure, Fact(what=What.WITHHELD, count=len(self.withheld))]

    def facts(self, unfetched: int, written: Collection[str]) -> list[Fact]:
        """What to listen to, and why cells were not written; of those failed, `unfetched` come first."""
        failed = list(self.failed.values())
        uncertain = sum(one.is_written and one.transcript.is_uncertain for one in self.readings(written))
        counts = {What.UNCERTAIN: uncertain, What.NOTHING_HEARD: len(self.unheard)}
        return [
            *(Fact(what=what, count=count) for what, count in counts.items() if count),
            *counted(What.NOT_FETCHED, failed[:unfetched]),
            *counted(What.NOT_READ, failed[unfetched:]),
            *counted(What.LEFT_ALONE, (f"{cell}: {why}" for cell, why in self.left_alone.items())),
        ]

    def metrics(self) -> dict[str, float]:
        """How sure the readings are, on average."""
        sure = [transcript.confidence for transcript in self.heard if transcript.text]
        return {"mean_confidence": sum(sure) / len(sure)} if sure else {}


def _report(
    job: JobContext,
    callbacks: JobCallbacks,
    readings: Sequence[CellReading],
    quality: Sequence[Fact],
    threshold: float,
) -> None:
    """Every reading with its confidence, least sure first: as a table with all words, and as a page."""
    if not readings:
        return
    ordered = to_listen_to(readings)
    publish_report(job, callbacks, "transcripts.json", table_of(ordered, threshold))
    page = readings_page(ordered, quality, threshold, job.project)
    publish_report(job, callbacks, "readings.html", page)
