"""Which job comes next."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from codex_worker.worker.next_job import Candidate, in_order

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


def at(project: str, job_id: str, minutes: float | None) -> Candidate:
    return Candidate(project, job_id, None if minutes is None else NOON + timedelta(minutes=minutes))


def ids(candidates) -> list[str]:
    return [candidate.job_id for candidate in candidates]


def test_the_oldest_job_comes_first_across_projects():
    assert ids(in_order([at("b", "late", 200), at("a", "early", -100), at("c", "middle", 61)])) == [
        "early", "middle", "late",
    ]  # fmt: skip


def test_a_job_without_a_readable_time_comes_last():
    assert ids(in_order([at("a", "undated", None), at("a", "dated", 9999)])) == ["dated", "undated"]


def test_within_an_hour_the_projects_take_turns():
    busy = [at("busy", f"busy{n}", n) for n in range(5)]
    calm = [at("calm", "calm0", 30), at("calm", "calm1", 31)]
    assert ids(in_order(busy + calm)) == ["busy0", "calm0", "busy1", "calm1", "busy2", "busy3", "busy4"]


def test_turns_go_on_from_one_poll_to_the_next():
    jobs = [at("busy", f"busy{n}", n) for n in range(100)] + [at("calm", f"calm{n}", 50) for n in range(3)]
    served: Counter = Counter()
    done: list[str] = []
    while jobs and len(done) < 6:
        first = in_order(jobs, served)[0]
        done.append(first.job_id)
        served[first.project, first.hour] += 1
        jobs.remove(first)
    assert done == ["busy0", "calm0", "busy1", "calm1", "busy2", "calm2"]


def test_an_older_hour_goes_before_a_projects_turn():
    assert ids(in_order([at("a", "a0", 0), at("a", "a1", 1), at("b", "b0", 60)])) == ["a0", "a1", "b0"]
