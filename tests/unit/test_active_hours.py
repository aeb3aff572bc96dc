"""When a worker may claim jobs: what the clock on the wall shows, daylight saving included."""

from datetime import datetime

import pytest

from codex_worker.active_hours import ActiveHours, read_windows, read_zone

LONDON, NEW_YORK, KATHMANDU, TROLL = "Europe/London", "America/New_York", "Asia/Kathmandu", "Antarctica/Troll"


@pytest.mark.parametrize(
    ("windows", "zone", "day", "opens_and_closes"),
    [
        ("02:00-06:00", "UTC", "2026-01-10", ["02:00", "06:00"]),
        ("02:00-06:00", LONDON, "2026-01-10", ["02:00", "06:00"]),
        ("02:00-06:00", LONDON, "2026-07-10", ["01:00", "05:00"]),
        ("02:00-06:00", KATHMANDU, "2026-07-10", ["20:15", "00:15"]),
        # Britain's clocks go from 01:00 to 02:00, and from 02:00 back to 01:00.
        ("02:00-06:00", LONDON, "2026-03-29", ["01:00", "05:00"]),
        ("02:00-06:00", LONDON, "2026-10-25", ["02:00", "06:00"]),
        ("01:00-02:00", LONDON, "2026-03-29", []),
        ("01:15-01:45", LONDON, "2026-10-25", ["00:15", "00:45", "01:15", "01:45"]),
        ("01:30-05:00", LONDON, "2026-10-25", ["00:30", "01:00", "01:30", "05:00"]),
        # New York's go from 02:00 to 03:00, and from 02:00 back to 01:00.
        ("02:00-06:00", NEW_YORK, "2026-03-08", ["07:00", "10:00"]),
        ("02:00-06:00", NEW_YORK, "2026-11-01", ["07:00", "11:00"]),
        ("02:10-02:50", NEW_YORK, "2026-03-08", []),
        ("02:30-03:30", NEW_YORK, "2026-03-08", ["07:00", "07:30"]),
        # Two hours at once: from 01:00 to 03:00.
        ("01:30-04:00", TROLL, "2026-03-29", ["01:00", "02:00", "23:30"]),
        ("22:00-02:00", "UTC", "2026-01-10", ["22:00", "02:00"]),
        ("23:00-24:00", "UTC", "2026-01-10", ["23:00", "00:00"]),
        ("00:00-00:01", "UTC", "2026-01-10", ["00:00", "00:01"]),
        ("02:00-06:00, 22:00-23:30", "UTC", "2026-01-10", ["02:00", "06:00", "22:00", "23:30"]),
        ("02:00-06:00,05:00-07:00", "UTC", "2026-01-10", ["02:00", "07:00"]),
    ],
)
def test_the_hours_are_those_of_the_clock_on_the_wall(windows, zone, day, opens_and_closes):
    hours = ActiveHours(read_windows(windows), read_zone(zone))
    midnight_s = datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
    is_open = [hours.is_open(midnight_s + 60 * minute) for minute in range(-1, 24 * 60)]
    changes = [f"{m // 60:02}:{m % 60:02}" for m in range(24 * 60) if is_open[m] != is_open[m + 1]]
    assert changes == sorted(opens_and_closes)
    assert hours.is_open(midnight_s + 59.9) == is_open[1], "a minute counts to its end"


@pytest.mark.parametrize("windows", ["", "00:00-24:00"])
def test_without_hours_and_with_the_whole_day_it_is_always_open(windows):
    hours = ActiveHours(read_windows(windows) if windows else (), read_zone(LONDON))
    assert all(hours.is_open(1_790_000_000 + 60 * minute) for minute in range(24 * 60))


def test_without_a_zone_the_machines_own_clock_counts(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        noon_s = datetime.fromisoformat("2026-01-10T12:00:00+05:45").timestamp()
        hours = ActiveHours(read_windows("11:59-12:01"))
        assert hours.is_open(noon_s) and not hours.is_open(noon_s + 60)
        assert str(hours) == "11:59-12:01 this machine's time"
    finally:
        monkeypatch.undo()
        time.tzset()
