"""Wall time and UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from hostagent.schedule.zones import DAY, stretches, zone_fingerprint

HOUR = DAY // 24


@pytest.mark.parametrize(
    ("zone", "day", "walls"),
    [
        ("UTC", date(2026, 3, 29), [(0, DAY)]),
        ("Europe/Berlin", date(2026, 3, 28), [(0, DAY)]),
        ("Europe/Berlin", date(2026, 3, 29), [(0, 2 * HOUR), (3 * HOUR, DAY)]),
        ("Europe/Berlin", date(2026, 10, 25), [(0, 3 * HOUR), (3 * HOUR, DAY)]),
        ("America/Santiago", date(2026, 9, 6), [(HOUR, DAY)]),
        ("America/Santiago", date(2026, 4, 4), [(0, DAY)]),
        ("America/Havana", date(2026, 11, 1), [(0, HOUR), (HOUR, DAY)]),
        ("Australia/Lord_Howe", date(2026, 10, 4), [(0, 2 * HOUR), (5 * HOUR // 2, DAY)]),
        ("Pacific/Apia", date(2011, 12, 30), []),
    ],
)
def test_a_day_has_the_wall_times_that_exist(
    zone: str, day: date, walls: list[tuple[int, int]]
) -> None:
    """Skipped ones are left out; of repeated ones there is the first pass alone."""
    assert [(part.start, part.stop) for part in stretches(zone, day)] == walls


def test_stretches_agree_with_zoneinfo_in_every_zone() -> None:
    """On each day of a change, every quarter of an hour is where zoneinfo puts its first pass."""
    compared = 0
    for zone in sorted(available_timezones()):
        rules = ZoneInfo(zone)
        for day in (date(2026, 1, 1) + timedelta(days=n) for n in range(366)):
            ends = (datetime(day.year, day.month, day.day, hour, tzinfo=rules) for hour in (0, 23))
            if len({at.utcoffset() for at in ends}) == 1:
                continue
            compared += 1
            assert computed(zone, day) == expected(zone, day), (zone, day)
    assert compared > 200


def expected(zone: str, day: date) -> list[datetime]:
    """The quarters of that day that zoneinfo knows, in UTC."""
    rules = ZoneInfo(zone)
    found = []
    for quarter in range(96):
        wall = datetime(day.year, day.month, day.day, quarter // 4, quarter % 4 * 15, tzinfo=rules)
        instant = wall.astimezone(UTC)
        if instant.astimezone(rules).replace(fold=0, tzinfo=None) == wall.replace(tzinfo=None):
            found.append(instant)
    return found


def computed(zone: str, day: date) -> list[datetime]:
    """The same from the stretches."""
    return [
        part.midnight + timedelta(microseconds=wall)
        for part in stretches(zone, day)
        for wall in range(0, DAY, DAY // 96)
        if part.start <= wall < part.stop
    ]


def test_a_fingerprint_tells_rules_apart_and_stays_the_same_all_year() -> None:
    """UTC has none: there is nothing that two hosts could know differently."""
    summer, winter = (datetime(2026, month, 1, tzinfo=UTC) for month in (7, 1))
    assert zone_fingerprint("UTC", summer) == ""
    berlin = zone_fingerprint("Europe/Berlin", summer)
    assert len(berlin) == 16
    assert berlin == zone_fingerprint("Europe/Berlin", winter)
    assert berlin == zone_fingerprint("Europe/Paris", winter)
    assert berlin != zone_fingerprint("Europe/Dublin", winter)
    assert berlin != zone_fingerprint("Europe/Berlin", summer + timedelta(days=366))
