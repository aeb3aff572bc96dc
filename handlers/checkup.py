"""The data doctor at the start of a training job: what it finds goes to the log and to `report/data.html`."""

import logging

from codex_worker.data.doctor import Align, DataReport, LostLetters, examine, require_usable
from codex_worker.data.recordings import Recorded
from codex_worker.report.data_page import data_page
from handlers.base import JobCallbacks, JobContext
from handlers.preparation import threads

logger = logging.getLogger(__name__)

REPORT_EVERY = 100


def check_up(
    job: JobContext,
    callbacks: JobCallbacks,
    recorded: Recorded,
    *,
    align: Align | None = None,
    lost_letters: LostLetters | None = None,
) -> DataReport:
    """Listens to what a job is going to learn from, and publishes the page.

    `recorded.skipped` should account for all other cells of the project. Raises UserError where nothing can
    be used, and what a heartbeat raises when the job is to end.
    """

    def progress(done: int, total: int) -> None:
        if done == total or done // REPORT_EVERY != (done - 1) // REPORT_EVERY:
            callbacks.heartbeat(0, f"Listened to {done} of {total} recordings", "preprocess")

    report = examine(
        recorded, align=align, lost_letters=lost_letters, workers=threads(), on_progress=progress
    )
    for line in report.lines():
        logger.info(line)
    page = job.folder / "data.html"
    page.write_text(data_page(report, job.project), encoding="utf-8")
    callbacks.scanner.publish_artifact(page, "report")
    require_usable(report)
    return report
