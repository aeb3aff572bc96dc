"""The one back-off: what passes, how long the pauses are, and when it ends."""

import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codex_worker.errors import AccessDenied, DataError, PushRefused, ServerUnreachable, SystemFault
from codex_worker.retry import API, LARGE_FILES, PUBLICATION, TRANSACTION, BackOff, RetrySchedule, asked_for_s
from tests.support.clock import FakeClock

ROOT = Path(__file__).parents[2]
SCHEDULES = {"api": API, "files": LARGE_FILES, "transaction": TRANSACTION, "publication": PUBLICATION}


class Longest(random.Random):
    """Chance that always chooses the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Failing:
    """Fails with the errors that it was given, one a call (the last one for ever), then answers 'done'."""

    def __init__(self, *errors: Exception, for_ever: bool = False) -> None:
        self.errors = list(errors)
        self.for_ever = for_ever
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if not self.errors:
            return "done"
        raise self.errors[0] if self.for_ever else self.errors.pop(0)


class Pauses:
    """A clock and the pauses that were made on it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.made: list[float] = []

    def sleep(self, pause_s: float) -> None:
        self.made.append(pause_s)
        self.clock.advance(pause_s)

    def back_off(self, schedule: RetrySchedule, **options: Any) -> BackOff:
        return BackOff(schedule, self.clock.monotonic, self.sleep, **{"chance": Longest(), **options})


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ServerUnreachable("away"), True),
        (ServerUnreachable("busy", wait_s=3.0), True),
        (AccessDenied("token"), None),  # only where somebody reads the token again
        (PushRefused("hook"), False),
        (SystemFault("defect"), False),
        (DataError("damaged"), False),
        (ValueError("defect"), False),
    ],
)
def test_only_what_may_be_over_later_is_tried_again(name, error, passes):
    if passes is None:
        passes = name in {"transaction", "publication"}
    action = Failing(error)
    if passes:
        assert Pauses().back_off(SCHEDULES[name]).insist(action) == "done"
    else:
        with pytest.raises(type(error)):
            Pauses().back_off(SCHEDULES[name]).insist(action)
    assert action.calls == (2 if passes else 1)


@pytest.mark.parametrize(
    ("schedule", "pauses"),
    [
        (API, [1, 2, 4]),
        (LARGE_FILES, [1, 2, 4, 8, 16]),
        (TRANSACTION, [2, 4, 8, 16]),  # the next one, 32 s, would end after a minute
        (replace(PUBLICATION, timeout_s=3600), [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]),
    ],
)
def test_the_pauses_double_until_the_schedule_is_at_its_end(schedule, pauses):
    made, action = Pauses(), Failing(ServerUnreachable("The server is away."), for_ever=True)
    with pytest.raises(ServerUnreachable, match=r"The server is away\."):
        made.back_off(schedule).insist(action)
    assert made.made == pauses
    assert action.calls == len(pauses) + 1


def test_a_day_of_short_pauses_is_counted_without_overflow():
    made, action = Pauses(), Failing(ServerUnreachable("away"), for_ever=True)
    with pytest.raises(ServerUnreachable):
        made.back_off(replace(TRANSACTION, timeout_s=3 * 24 * 3600)).insist(action)
    assert action.calls > 4000 and max(made.made) == 60


@pytest.mark.parametrize(("asked_s", "made_s"), [(0.0, 0.0), (7.0, 7.0), (60.0, 60.0), (86_400.0, 60.0)])
def test_a_pause_that_the_server_asks_for_is_kept_up_to_the_longest_one(asked_s, made_s):
    pauses = Pauses()
    assert pauses.back_off(LARGE_FILES).insist(Failing(ServerUnreachable("busy", wait_s=asked_s))) == "done"
    assert pauses.made == [made_s]


def test_the_same_chance_makes_the_same_pauses_and_another_one_others():
    def made(seed: int) -> list[float]:
        pauses = Pauses()
        errors = [ServerUnreachable("away")] * 4
        pauses.back_off(LARGE_FILES, chance=random.Random(seed)).insist(Failing(*errors))
        return pauses.made

    assert made(7) == made(7) != made(8)
    assert all(0.5 * 2**n <= pause_s <= 2**n for n, pause_s in enumerate(made(7)))


def test_whoever_is_interrupted_tries_once_more_and_then_gives_up():
    pauses, give_up = Pauses(), threading.Event()

    def interrupted(pause_s: float) -> None:
        pauses.sleep(pause_s)
        give_up.set()

    action = Failing(ServerUnreachable("away"), for_ever=True)
    back_off = BackOff(PUBLICATION, pauses.clock.monotonic, interrupted, give_up)
    with pytest.raises(ServerUnreachable):
        back_off.insist(action)
    assert action.calls == 2
    with pytest.raises(ServerUnreachable):
        back_off.insist(action)
    assert action.calls == 3, "no pause is begun after an interruption"


def test_the_token_is_read_again_before_each_new_try_and_not_before_the_first():
    read: list[int] = []
    action = Failing(AccessDenied("expired"), AccessDenied("expired"))
    back_off = Pauses().back_off(PUBLICATION, refresh=lambda: read.append(action.calls))
    assert back_off.insist(action) == "done"
    assert read == [1, 2]


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 2015 00:00:30 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"RateLimit-Reset": "1767225610"}, 10.0),
        ({"RateLimit-Reset": "1"}, 0.0),
        ({"RateLimit-Reset": "never"}, None),
        ({"Retry-After": "7", "RateLimit-Reset": "1767225610"}, 7.0),
    ],
)
def test_the_pause_that_a_servers_answer_asks_for(headers, wait_s):
    assert asked_for_s(headers, FakeClock().time()) == wait_s


def test_no_other_module_repeats_by_itself_what_may_pass():
    sources = [p for folder in ("codex_worker", "handlers") for p in sorted((ROOT / folder).rglob("*.py"))]
    assert {path.name for path in sources if "import tenacity" in path.read_text()} == {"retry.py"}
    assert [path.name for path in sources if "except (ServerUnreachable" in path.read_text()] == []
