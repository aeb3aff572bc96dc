"""When a worker leaves a project: a table of what was seen there."""

from dataclasses import replace

import pytest

from codex_worker.gitlab.leaving import Decision, Idleness, Role, decide

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
NOW_S = 1_790_000_000.0
STAY, ASK_ROLE, LEAVE = Decision

IDLE = Idleness(first_seen_s=NOW_S - 100 * DAY_S, last_work_s=NOW_S - 2 * DAY_S)
DEVELOPER = Role(30)


@pytest.mark.parametrize(
    ("seen", "leave_after_s", "role", "expected"),
    [
        (IDLE, DAY_S, None, ASK_ROLE),
        (IDLE, DAY_S, DEVELOPER, LEAVE),
        (IDLE, DAY_S, Role(40), LEAVE),
        (IDLE, DAY_S, Role(50), STAY),
        (IDLE, DAY_S, Role(30, is_creator=True), STAY),
        (IDLE, DAY_S, Role(None), STAY),
        (IDLE, 0, DEVELOPER, STAY),
        (IDLE, 3 * DAY_S, DEVELOPER, STAY),
        (replace(IDLE, has_work=True), DAY_S, DEVELOPER, STAY),
        (replace(IDLE, was_read=False), DAY_S, DEVELOPER, STAY),
        (replace(IDLE, last_work_s=NOW_S - DAY_S + 1), DAY_S, DEVELOPER, STAY),
        (replace(IDLE, last_work_s=NOW_S - DAY_S), DAY_S, DEVELOPER, LEAVE),
        # Shared first, asked for a job later: a project that never had one waits as long.
        (Idleness(NOW_S - DAY_S + 1), DAY_S, DEVELOPER, STAY),
        (Idleness(NOW_S - DAY_S), DAY_S, DEVELOPER, LEAVE),
        # Shared again after we had left: what an older note says of its work does not count.
        (Idleness(NOW_S - HOUR_S, last_work_s=NOW_S - 90 * DAY_S), DAY_S, DEVELOPER, STAY),
        # A clock that was set back.
        (Idleness(NOW_S + DAY_S, last_work_s=NOW_S + 2 * DAY_S), DAY_S, DEVELOPER, STAY),
    ],
)
def test_what_was_seen_of_a_project_decides_whether_to_leave(seen, leave_after_s, role, expected):
    assert decide(seen, NOW_S, leave_after_s, role) is expected
