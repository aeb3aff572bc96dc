"""Whether this machine may claim jobs: what its probe says, and how its last jobs ended."""

from collections.abc import Callable

from codex_worker.contract.manifest import JobEntry
from codex_worker.contract.records import EndState
from codex_worker.errors import Kind, ResourceError
from codex_worker.queue.owned import Outcome
from codex_worker.supervisor.fitness import FIT, Fitness

# One end may be the job's own; a second in a row speaks of the machine.
MOST_SICK_ENDS = 2
_SICK = {Kind.SYSTEM, Kind.RESOURCE}
# Ends of handlers that computed well enough to tell.
_WELL = {Kind.DATA, Kind.MODEL}


class Health:
    """Probes the machine before its first claim, and again after each end that speaks of the machine."""

    def __init__(
        self,
        probe: Callable[[], Fitness] = lambda: FIT,
        preset: str | None = None,
        room_there: Callable[[str, JobEntry], None] = lambda address, entry: None,
    ) -> None:
        """`preset` is the operator's, for jobs that don't say; `room_there` asks a project's server."""
        self._probe = probe
        self._room_there = room_there
        self._preset = preset
        self._fitness: Fitness | None = None
        self._sick_ends: list[str] = []
        self._is_doubtful = False

    def stay_fit(self) -> None:
        """Raises ResourceError where this machine may claim no more jobs."""
        if len(self._sick_ends) >= MOST_SICK_ENDS:
            raise ResourceError(
                f"{MOST_SICK_ENDS} jobs in a row failed here because of the machine, so no more are claimed: "
                f"{' '.join(self._sick_ends)} Look after the machine (`codex-worker check` helps), then "
                "start the worker again."
            )
        if self._is_doubtful:
            self._fitness = None
            self.before_claim()

    def before_claim(self) -> None:
        """Probes the machine unless that was done. Raises ResourceError where it can do no job at all."""
        if self._fitness is not None:
            return
        fitness = self._probe()
        if fitness.unfit:
            raise ResourceError(f"{' '.join(fitness.unfit)} No job is claimed.")
        self._fitness, self._is_doubtful = fitness, False

    def why_not(self, entry: JobEntry) -> str | None:
        """Why this machine does not begin a job, as a sentence; None where it may."""
        return (self._fitness or FIT).why_not(entry, entry.preset(self._preset))

    def ask_server(self, address: str, entry: JobEntry) -> None:
        """Raises a WorkerError where the project's server would not take what a full job makes."""
        if entry.preset(self._preset) == "full":
            self._room_there(address, entry)

    def ended(self, job_id: str, outcome: Outcome) -> None:
        """Notes how a job of this machine ended."""
        if outcome.state is EndState.FAILED and outcome.kind in _SICK:
            self._sick_ends.append(f"{job_id}: {outcome.message}")
            self._is_doubtful = True
        elif outcome.state is EndState.COMPLETED or outcome.kind in _WELL:
            self._sick_ends.clear()
