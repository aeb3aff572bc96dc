"""One attempt as its threads share it: the queue's job, its folder and log, and how far it is."""

from dataclasses import replace

from codex_worker.job.ends import Cause
from codex_worker.job.machine_paths import MachinePaths
from codex_worker.publish.standing import Publications
from codex_worker.queue.owned import Outcome, OwnedJob
from codex_worker.supervisor.child_watch import ChildWatch, JobProgress
from codex_worker.supervisor.logs import JobLog
from codex_worker.supervisor.resume_saving import ResumeSaver
from codex_worker.supervisor.spares import Room
from codex_worker.supervisor.tenancy import FREE, Admission


class SeenJob:
    """An attempt as its threads share it: a supervision's view of the queue's job."""

    def __init__(
        self,
        owned: OwnedJob,
        address: str,
        place: Room,
        log: JobLog,
        paths: MachinePaths,
        admission: Admission = FREE,
    ) -> None:
        self.owned = owned
        self.address = address
        self.folder = place.folder
        self.child = place.child  # one that waits for the job, or None
        self.log = log
        self.paths = paths
        self.admission = admission
        self.watch: ChildWatch | None = None
        self.resume: ResumeSaver | None = None
        self.publications = Publications(owned.entry.job_id, owned.repository, owned.entry)

    @property
    def progress(self) -> JobProgress:
        """How far the handler says it is, without paths of this machine."""
        if self.watch is None:
            return JobProgress()
        progress = self.watch.progress
        return replace(progress, message=self.paths.shortened(progress.message))

    def beat(self, progress: JobProgress) -> None:
        """Renews the lease. Raises LeaseLost."""
        self.owned.beat(progress.stage, progress.epochs_completed, progress.message)

    def look(self) -> Cause | None:
        """What people did to the job meanwhile; what a merge has left out of its results is put back."""
        cause = self.owned.look()
        if cause is None:
            self.publications.look()
        return cause

    def report(self, progress: JobProgress) -> None:
        """Shows progress, log and metrics in the project."""
        progress = self.progress
        self.owned.progress(
            progress.stage,
            progress.epochs_completed,
            progress.message,
            self.log.content(),
            self.folder.metrics(),
        )

    def without_paths(self, outcome: Outcome) -> Outcome:
        """As the project may read it: without paths of this machine."""
        result = self.paths.in_values(dict(outcome.result))
        return replace(outcome, message=self.paths.shortened(outcome.message), result=result)

    def forget(self) -> None:
        """The job is over: what was saved for a next attempt is of no use any more."""
        if self.resume is not None:
            self.resume.forget()

    def lost(self) -> None:
        """The job belongs to somebody else: the child has to end."""
        if self.watch is not None:
            self.watch.wish(Cause.LOST)
