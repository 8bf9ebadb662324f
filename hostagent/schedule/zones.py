"""Time zones: from wall time to UTC as systemd counts it, and what a zone's rules hash to.

Wall times that a clock change skips do not exist; of those it repeats only the first pass counts
(measured with ``systemd-analyze calendar``; docs/explanation/dst.md). The rules come from the
system's zoneinfo, else from the ``tzdata`` package.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from hostagent.schedule.errors import CalendarError, quoted

DAY = 86_400_000_000  # microseconds, the unit of wall times within a day
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one local day, ``start <= t < stop`` microseconds of wall time, with one offset.

    ``midnight`` is what 00:00 of that day is in UTC under this offset: the UTC instant of a wall
    time ``t`` in the stretch is ``midnight + t``.
    """

    start: int
    stop: int
    midnight: datetime


@functools.lru_cache(maxsize=1024)
def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """The zone of that IANA name; raises CalendarError, with the nearest name as its hint."""
    try:
        if not name or name.startswith(("/", ".")):
            raise ValueError(name)
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise CalendarError(f"{quoted(name)} is not a time zone", _nearest_zone(name)) from None


def is_zone(name: str) -> bool:
    """Whether there is a time zone of that name."""
    if not name[:1].isalpha():
        return False
    try:
        zone_of(name)
    except CalendarError:
        return False
    return True


def _nearest_zone(name: str) -> str:
    names = {
        zone.casefold(): zone for zone in sorted(zoneinfo.available_timezones()) if "/" in zone
    }
    cities = {key.rpartition("/")[2]: key for key in names}
    wanted = name.strip().casefold().replace(" ", "_")
    found = difflib.get_close_matches(wanted, names, n=1, cutoff=0.75)
    found = found or [cities[c] for c in difflib.get_close_matches(wanted, cities, 1, cutoff=0.8)]
    nearest = names[found[0]] if found else "Europe/Berlin"
    return f'write "{nearest}"' if found else f'write a name such as "{nearest}" or "UTC"'


@functools.lru_cache(maxsize=4096)
def stretches(zone: str, day: date) -> tuple[Stretch, ...]:
    """The wall times that exist on ``day``, first pass only, ascending; usually one stretch."""
    return _stretches(zone, day)


def _stretches(zone: str, day: date) -> tuple[Stretch, ...]:
    rules = zone_of(zone)
    midnight = datetime.combine(day, time(), UTC)
    before = _offset(datetime.combine(day, time(), rules))
    after = _offset(datetime.combine(day, time.max, rules).replace(fold=1))
    if before == after:
        return (Stretch(0, DAY, midnight - before),)
    change = _change(rules, midnight, before, after) - midnight
    first_stop = _within_day((change + before) // MICROSECOND)
    second_start = _within_day((change + max(before, after)) // MICROSECOND)
    parts = (
        Stretch(0, first_stop, midnight - before),
        Stretch(second_start, DAY, midnight - after),
    )
    return tuple(part for part in parts if part.start < part.stop)


def _change(
    rules: zoneinfo.ZoneInfo, midnight: datetime, before: timedelta, after: timedelta
) -> datetime:
    """The instant at which the offset stops being ``before``, found by halving."""
    low = midnight - max(before, after) - timedelta(seconds=1)
    high = midnight + timedelta(days=1) - min(before, after)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle.astimezone(rules)) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(at: datetime) -> timedelta:
    offset = at.utcoffset()
    assert offset is not None
    return offset


def _within_day(microseconds: int) -> int:
    return min(max(microseconds, 0), DAY)


def zone_fingerprint(zone: str, around: datetime) -> str:
    """16 hexadecimal digits over the zone's offsets in the five calendar years about ``around``.

    Two hosts whose tzdata would compute different occurrences differ in it; "" for UTC. It is
    the same all year, whatever the day.
    """
    if zone == "UTC":
        return ""
    year = around.astimezone(UTC).year
    first, last = date(year - 2, 1, 1).toordinal(), date(year + 3, 1, 1).toordinal()
    digest = hashlib.sha256()
    for day in map(date.fromordinal, range(first, last)):
        for part in _stretches(zone, day):
            digest.update(f"{part.start} {part.stop} {part.midnight.timestamp()}\n".encode())
    return digest.hexdigest()[:16]
