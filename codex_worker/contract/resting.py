"""How long a worker leaves a job to others that it failed because of its machine: a pure function."""

from datetime import datetime, timedelta

from codex_worker.contract.state import JobFacts, failed_by

FIRST_REST = timedelta(minutes=30)
LONGEST_REST = timedelta(hours=8)
CLOCKS_DIFFER = timedelta(minutes=5)  # an observer's clock may be ahead of ours


def rests_until(facts: JobFacts, folder: str, now: datetime) -> datetime | None:
    """When the worker with this folder may claim the job again; None where it may now.

    Each failure doubles the rest, so that a worker that is alone tries again, and a sick one does not use
    up the job's budget before another has come. An end of the far future was written by a wrong clock.
    """
    ends = failed_by(facts, folder)
    if not ends:
        return None
    last = max(end.ended_at for end in ends)
    until = last + min(FIRST_REST * 2 ** min(len(ends) - 1, 10), LONGEST_REST)
    return until if last - CLOCKS_DIFFER <= now < until else None
