"""What a machine can do: nothing, some jobs or all of them, each with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from codex_worker.contract.manifest import JobEntry
from codex_worker.supervisor.machine import Condition


@dataclass(frozen=True)
class Fitness:
    """What was found of the machine."""

    conditions: Sequence[Condition] = ()

    @property
    def unfit(self) -> list[str]:
        """Why no job at all may be claimed, as sentences; empty where some may."""
        return [each.sentence for each in self.conditions if each.is_fatal]

    def why_not(self, entry: JobEntry, preset: str) -> str | None:
        """Why the machine must not begin this job, as sentences; None where it may."""
        if preset != "full":
            return None
        return " ".join(each.sentence for each in self.conditions if each.stops(entry)) or None


FIT = Fitness()
