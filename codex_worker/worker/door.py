"""Which jobs may begin now, of those that this machine can do; who waits is told once, and why."""

import logging
from collections.abc import Mapping

from codex_worker.contract.manifest import JobEntry
from codex_worker.supervisor.tenancy import FREE, Admission, Tenancy
from codex_worker.worker.next_job import Candidate

logger = logging.getLogger(__name__)

_ALL = ("", "")


class Door:
    """Asks for the hours first, which are the same for all jobs, then for room on the GPU."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._waiting: dict[tuple[str, str], str] = {}  # (address, job): why it waits; _ALL: the hours
        self._told: set[tuple[str, str]] = set()

    @property
    def is_open(self) -> bool:
        """Whether any job may begin at this hour."""
        return self._tenancy.is_open

    @property
    def keeps_waiting(self) -> list[str]:
        """Why jobs wait that were to begin in the last round, each reason once."""
        return list(dict.fromkeys(self._waiting.values()))

    def those_of_this_hour(
        self, found: Mapping[Candidate, JobEntry | None]
    ) -> Mapping[Candidate, JobEntry | None]:
        """All that could begin, or none outside the hours. Begins a round."""
        self._told.intersection_update(self._waiting)
        self._waiting = {}
        if not found or self.is_open:
            return found
        self._keep_waiting(
            _ALL, f"Jobs are done in these hours only: {self._tenancy.hours} (--active-hours)."
        )
        return {}

    def let_in(self, candidate: Candidate, entry: JobEntry | None, project: str) -> Admission | None:
        """How a job may begin; None where it has to wait. May take some seconds."""
        found = FREE if entry is None else self._tenancy.admit(entry)
        if isinstance(found, Admission):
            return found
        reason = f"Job {candidate.job_id} of {project} waits. {found}"
        self._keep_waiting((candidate.project, candidate.job_id), reason)
        return None

    def _keep_waiting(self, key: tuple[str, str], reason: str) -> None:
        """Says it once, for as long as it is so: the figures in it change all the time."""
        self._waiting[key] = reason
        logger.log(logging.DEBUG if key in self._told else logging.WARNING, "%s", reason)
        self._told.add(key)
