"""What handlers share: which cells to train on, the check of recordings, resuming, reporting progress."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from codex_worker import cores
from codex_worker.audio.decode import Decode, decode
from codex_worker.audio.kept import KeptRecordings
from codex_worker.codex.choose import cells_for_training
from codex_worker.codex.provenance import people_and_machines
from codex_worker.contract.licences import refuse_non_commercial
from codex_worker.contract.options import SharedOptions
from codex_worker.contract.plain_text import plain_text
from codex_worker.data.project import Cells, Project
from codex_worker.data.recordings import FetchedCells
from codex_worker.data.usable import Needs
from codex_worker.doctor.examine import Align, Compare, DataReport, LostLetters, examine, require_usable
from codex_worker.doctor.page import data_page
from codex_worker.errors import JobCanceled, JobTimeout, Preempted, UserError
from codex_worker.job.machine_paths import MachinePaths
from codex_worker.training.loop import RESUME, TrainingOutcome
from codex_worker.training.metrics import MetricsTable
from handlers.base import JobCallbacks, JobContext, StopReason, stop_error

logger = logging.getLogger(__name__)

MOST_THREADS = 16
REPORT_EVERY = 100
KEPT_SHARE = 0.25  # of the free disk, for decoded recordings while they are prepared


def threads() -> int:
    """How many recordings are decoded or encoded at a time."""
    return min(MOST_THREADS, cores.count())


def project_of(job: JobContext, callbacks: JobCallbacks) -> Project:
    """The project's notebooks. Raises UserError where the job's options cannot be meant, before it reads."""
    logger.debug("Options: %s", job.options)
    return Project(callbacks.scanner)


def cells_to_train_on(job: JobContext, project: Project) -> Cells:
    """The cells with text and recording that the manifest leaves, machines' unvalidated work left out.

    Raises UserError where there are none.
    """
    cells = project.choose(cells_for_training, job.options.training)
    said = people_and_machines("Verses with text and recording", len(cells.chosen), cells.machine_made)
    if said and not cells.chosen:
        raise _nothing(f"There is nothing to learn from but what a machine made. {said}.", cells)
    if said:
        project.note(f"{said}.", logging.INFO)
    if not cells.chosen:
        raise _nothing(
            f"No cell of the {len(cells.skipped)} in this project has both text and a selected recording "
            "(after training.include_verses and exclude_verses). Record some verses that have text.",
            cells,
        )
    return cells


def _nothing(sentence: str, cells: Cells) -> UserError:
    """Names that mean no cell come first: they are the likeliest reason."""
    return UserError(f"{cells.unmatched_sentence} {sentence}".strip())


def require_licence(options: SharedOptions, licence: str | None, what: str) -> None:
    """Raises UserError where a job for commercial use would use `what` under a licence that forbids it."""
    if options.commercial:
        refuse_non_commercial(licence, what)


def training_folder(job: JobContext, callbacks: JobCallbacks) -> Path:
    """The folder to train in, with what an earlier attempt left behind."""
    folder = job.folder / "training"
    folder.mkdir(parents=True, exist_ok=True)
    resume = callbacks.scanner.fetch_resume()
    if resume is not None and not (folder / RESUME).exists():
        shutil.copyfile(resume, folder / RESUME)
    return folder


def kept_recordings(job: JobContext, sample_rate: int) -> KeptRecordings:
    """The recordings of a job whose model reads `sample_rate` Hz, decoded once for all who listen to them."""
    free_bytes = shutil.disk_usage(job.folder).free
    return KeptRecordings(job.folder / "decoded", sample_rate, int(KEPT_SHARE * free_bytes))


def check_up(
    job: JobContext,
    callbacks: JobCallbacks,
    recorded: FetchedCells,
    *,
    align: Align | None = None,
    compare: Compare | None = None,
    reader_cer: float | None = None,
    lost_letters: LostLetters | None = None,
    needs: Needs | None = None,
    decode: Decode = decode,
) -> DataReport:
    """Listens to what a job is going to learn from, and publishes the page.

    `recorded.skipped` should account for all other cells of the project. Raises UserError where nothing can
    be used, and what a heartbeat raises when the job is to end.
    """

    def progress(done: int, total: int) -> None:
        if done == total or done // REPORT_EVERY != (done - 1) // REPORT_EVERY:
            callbacks.heartbeat(0, f"Listened to {done} of {total} recordings", "preprocess")

    report = examine(
        recorded,
        align=align,
        compare=compare,
        reader_cer=reader_cer,
        lost_letters=lost_letters,
        needs=needs,
        workers=threads(),
        decode=decode,
        on_progress=progress,
    )
    for line in report.lines():
        logger.info(line)
    publish_report(job, callbacks, "data.html", data_page(report, job.project))
    require_usable(report)
    return report


def publish_report(job: JobContext, callbacks: JobCallbacks, name: str, text: str) -> None:
    """Publishes a page or a table: without what no file can hold, and without paths of this machine."""
    paths = MachinePaths(job.folder, {job.folder.parent: "(work folder)"})
    path = job.folder / name
    path.write_text(plain_text(paths.shortened(text)), encoding="utf-8")
    callbacks.scanner.publish_artifact(path, "report")


def say(callbacks: JobCallbacks, epochs: float | None, message: str, stage: str) -> None:
    """Report without ending: whoever works looks at `should_stop()` next, and saves before leaving."""
    try:
        callbacks.heartbeat(epochs, message, stage)
    except (JobCanceled, Preempted, JobTimeout):
        # The reason stays with the supervisor, which answers should_stop() from now on.
        return


def leave_if_preempted(job: JobContext, callbacks: JobCallbacks, outcome: TrainingOutcome) -> None:
    """Raises Preempted where that ended the training, unless its operator wants what there is published.

    The saved state has all that the next attempt needs; a half-trained model of each attempt would stay in
    the project for ever.
    """
    if job.publishes_when_preempted:
        return
    if outcome.ended == "stopped" and callbacks.stop_reason() is StopReason.PREEMPTED:
        raise stop_error(StopReason.PREEMPTED)


class TrainingProgress:
    """The loop's `TrainingObserver` over a job's callbacks.

    `columns` are those of the metrics file, `epoch_audio_s` is how much audio an epoch goes through.
    """

    def __init__(
        self, job: JobContext, callbacks: JobCallbacks, columns: Sequence[str], *, epoch_audio_s: float = 0.0
    ) -> None:
        self._epoch_audio_s = epoch_audio_s
        self._epochs_told: float | None = None  # the first report may be of epochs of another attempt
        self._job = job
        self._callbacks = callbacks
        self._table = MetricsTable(columns)
        self._path = job.folder / "training_metrics.csv"

    def should_stop(self) -> bool:
        """Whether the supervisor wants the job to end."""
        return self._callbacks.should_stop()

    def report(self, epochs_completed: float, message: str) -> None:
        """A sentence for people, and a number for the operator."""
        if self._epochs_told is not None:
            epochs_more = max(epochs_completed - self._epochs_told, 0.0)
            self._callbacks.computed(epochs_more * self._epoch_audio_s)
        self._epochs_told = epochs_completed
        say(self._callbacks, epochs_completed, message, "training")

    def metrics(self, row: dict[str, float]) -> None:
        """The metrics file, rewritten whole so that a reader never sees half a row."""
        self._table.add(row)
        partial: Path = self._path.with_suffix(".partial")
        partial.write_bytes(self._table.render())
        partial.replace(self._path)

    def saved_best(self, path: Path, metrics: dict[str, float]) -> None:
        """The checkpoint is published once, at the end."""

    @property
    def save_every_s(self) -> float:
        """As the operator chose."""
        return self._job.save_every_s

    def needs_resume(self, *, finished: bool) -> bool:
        """Another attempt goes on after a preemption, or where inference follows and may be interrupted."""
        if finished:
            return self._job.mode != "training"
        return self._callbacks.stop_reason() is StopReason.PREEMPTED

    def saved_resume(self, path: Path, epochs: float) -> None:
        """What the next attempt goes on from."""
        self._callbacks.scanner.save_resume(path, epochs)
