"""Which job comes next: a pure function of what is pending."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_NEVER = datetime.max.replace(tzinfo=UTC)

Hour = datetime


@dataclass(frozen=True)
class Candidate:
    """A job that could be done."""

    project: str  # its address
    job_id: str
    submitted_at: datetime | None
    is_takeover: bool = False  # its worker has been silent for too long

    @property
    def hour(self) -> Hour:
        """The hour it was submitted in; what has no readable time comes last."""
        if self.submitted_at is None:
            return _NEVER
        return self.submitted_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def in_order(
    candidates: Iterable[Candidate], served: Mapping[tuple[str, Hour], int] | None = None
) -> list[Candidate]:
    """The oldest first; within one hour the projects take turns, so that many jobs of one starve nobody.

    `served` counts how many jobs of a project and hour this worker has done already.
    """
    turns: Counter[tuple[str, Hour]] = Counter(served or {})
    ordered: list[tuple[tuple[Hour, int, datetime, str, str], Candidate]] = []
    for candidate in sorted(candidates, key=_age):
        place = (candidate.project, candidate.hour)
        key = (candidate.hour, turns[place], *_age(candidate))
        turns[place] += 1
        ordered.append((key, candidate))
    return [candidate for _, candidate in sorted(ordered, key=lambda pair: pair[0])]


def _age(candidate: Candidate) -> tuple[datetime, str, str]:
    return (candidate.submitted_at or _NEVER, candidate.project, candidate.job_id)
