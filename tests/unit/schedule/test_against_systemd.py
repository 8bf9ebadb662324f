"""``systemd-analyze calendar`` as the oracle: what it accepts, and when expressions elapse.

Expressions are drawn from the whole grammar by a seeded generator: the same in every run.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from hostagent.model import Form, Schedule
from hostagent.schedule import calendar, occurrences
from hostagent.schedule.zones import stretches

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is the oracle"
)

NEGATIVE_DST = {"Europe/Dublin", "Africa/Casablanca"}
"""Zones whose winter time is the exception; there systemd loses the rest of a day with a gap."""
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",  # a half-hour offset
    "America/Santiago",  # changes at midnight: one day begins at 01:00, another has 23:00 twice
    "America/Havana",  # changes at midnight, and back from 01:00
    "Australia/Lord_Howe",  # changes by half an hour
    "Africa/Casablanca",  # changes about Ramadan
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out a whole day in 2011
)
START, STOP = datetime(2011, 11, 7, tzinfo=UTC), datetime(2037, 1, 1, tzinfo=UTC)
_UTC_LINE = re.compile(r" *(?:\(in UTC\)|Next elapse|Iter.*?): \w+ ([-0-9]+ [:0-9]+) (?:UTC|\+00)$")


def analyze(
    arguments: Sequence[str], expressions: Sequence[str], zone: str
) -> subprocess.CompletedProcess[str]:
    """Run ``systemd-analyze calendar`` in that local time zone."""
    return subprocess.run(
        ["systemd-analyze", "calendar", *arguments, "--", *expressions],
        capture_output=True,
        text=True,
        check=False,
        env={"TZ": zone, "LC_ALL": "C", "PATH": os.environ["PATH"]},
    )


def elapses(expressions: Sequence[str], zone: str, base: datetime, n: int) -> list[list[datetime]]:
    """What systemd says for each: its next n elapses, without fractions of seconds."""
    shown = base.strftime("--base-time=%Y-%m-%d %H:%M:%S UTC")
    result = analyze([shown, f"--iterations={n}"], expressions, zone)
    answers: list[list[datetime]] = []
    for line in result.stdout.splitlines():
        if line.startswith("Normalized form:"):
            answers.append([])
        elif found := _UTC_LINE.match(line):
            answers[-1].append(datetime.fromisoformat(found[1]).replace(tzinfo=UTC))
    assert len(answers) == len(expressions), result.stderr
    return answers


def refused(expressions: Sequence[str]) -> set[str]:
    """Those that systemd cannot read."""
    bad: set[str] = set()
    for start in range(0, len(expressions), 1000):
        result = analyze([], expressions[start : start + 1000], "UTC")
        bad.update(re.findall(r"Failed to parse calendar specification '(.*)':", result.stderr))
    return bad


class Writer:
    """Writes random expressions, good ones and some that are slightly wrong."""

    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "monday", "TUESDAY", "Thurs")
    specials = (
        *("minutely", "hourly", "daily", "Daily", "weekly", "monthly", "quarterly"),
        *("semiannually", "bi-annually", "yearly", "annually", "anually", "midnight"),
    )
    years = ("*", "*", "2026", "26", "99", "2024..2030", "2020/4", "2027,2029", "2000..2034/2")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, low: int, high: int, *, fraction: bool) -> str:
        top = high + 1 if self.random.random() < 0.03 else high
        text = f"{self.random.randint(low, top):{self.random.choice(['', '02'])}}"
        if fraction and self.random.random() < 0.2:
            text += self.random.choice([".5", ".25", ".000001"])
        return text

    def component(self, low: int, high: int, *, fraction: bool = False) -> str:
        def n() -> str:
            return self.number(low, high, fraction=fraction)

        def step() -> str:
            return self.number(1, max(2, high // 2), fraction=fraction)

        def one() -> str:
            return self.random.choice([n(), f"{n()}..{n()}", f"{n()}/{step()}"])

        forms = [
            "*",
            n(),
            one(),
            f"{n()}..{n()}/{step()}",
            ",".join(one() for _ in range(self.random.randint(2, 3))),
            f"*/{step()}",
            f"*,{n()}",
        ]
        return self.random.choices(forms, [25, 25, 20, 10, 15, 1, 1])[0]

    def weekdays(self) -> str:
        def n() -> str:
            return self.random.choice(self.names)

        forms = [n(), f"{n()}..{n()}", f"{n()}-{n()}", f"{n()},", f"{n()},{n()}..{n()}", f"{n()}/2"]
        return self.random.choices(forms, [30, 30, 5, 5, 20, 1])[0]

    def time(self) -> str:
        early = self.random.random() < 0.4  # most clocks change in the first hours of a day
        time = f"{self.component(0, 4 if early else 23)}:{self.component(0, 59)}"
        if self.random.random() < 0.3:
            time += f":{self.component(0, 59, fraction=True)}"
        return time

    def date(self) -> str:
        year = "" if self.random.random() < 0.4 else self.random.choice(self.years) + "-"
        mark = self.random.choice("----~")
        return f"{year}{self.component(1, 12)}{mark}{self.component(1, 31)}"

    def expression(self) -> str:
        if self.random.random() < 0.04:
            return self.random.choice(self.specials)
        kinds = ((self.weekdays, 0.4), (self.date, 0.5), (self.time, 0.8))
        return " ".join(w() for w, share in kinds if self.random.random() < share) or "00:00"

    def good(self, count: int) -> list[str]:
        """That many different expressions that can be read."""
        found: dict[str, None] = {}
        while len(found) < count:
            expression = self.expression()
            if readable(expression):
                found[expression] = None
        return list(found)


def readable(expression: str) -> bool:
    """Whether we can read it."""
    try:
        calendar.parse(expression)
    except calendar.CalendarError:
        return False
    return True


def changes(zone: str) -> list[datetime]:
    """The clock changes of a zone, each less than a day before the instant named."""
    days = [START + timedelta(days=n) for n in range((STOP - START).days)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    return [
        day for day, old, new in zip(days[1:], offsets, offsets[1:], strict=False) if old != new
    ]


def bases(zone: str, count: int, seed: int) -> Iterator[datetime]:
    """Instants, nine of ten near a change of the clock; none in the second pass of an hour."""
    rng = random.Random(seed)
    near = changes(zone)
    while count:
        if near and count % 10:
            base = rng.choice(near) - timedelta(seconds=rng.randint(-6 * 3600, 36 * 3600))
        else:
            base = START + timedelta(seconds=rng.randint(0, int((STOP - START).total_seconds())))
        if not base.astimezone(ZoneInfo(zone)).fold:
            yield base
            count -= 1


def ours(expression: str, zone: str, base: datetime, count: int) -> list[datetime]:
    """Our first occurrences, without fractions of seconds as systemd-analyze shows them."""
    schedule = Schedule(Form.CALENDAR, expression, calendar=(expression,), zone=zone)
    found = occurrences.between(schedule, base, datetime(2200, 1, 1, tzinfo=UTC))
    whole = (at for at, _ in itertools.groupby(at.replace(microsecond=0) for at in found))
    return list(itertools.islice(whole, count))


def first_passes(found: list[datetime], zone: str, base: datetime) -> list[datetime]:
    """The same wall times in the first pass of a repeated hour; those before the base dropped."""
    rules = ZoneInfo(zone)
    once = {at.astimezone(rules).replace(fold=0).astimezone(UTC) for at in found}
    return sorted(at for at in once if at >= base)  # equal: a fraction of a second after it


def has_gap(day: date, zone: str) -> bool:
    """Whether wall times of that day do not exist."""
    return sum(part.stop - part.start for part in stretches(zone, day)) < 24 * 3600 * 10**6


def agree(mine: list[datetime], theirs: list[datetime], zone: str) -> bool:
    """Whether both name the same; where systemd is known to lose occurrences, whether it did so."""
    if not mine or not theirs:
        return mine == theirs
    common = min(mine[-1], theirs[-1])
    mine, theirs = [[at for at in some if at <= common] for some in (mine, theirs)]
    lost = [at.astimezone(ZoneInfo(zone)).date() for at in mine if at not in theirs]
    if zone in NEGATIVE_DST and lost:
        return set(theirs) <= set(mine) and all(has_gap(day, zone) for day in lost)
    return mine == theirs


def differences(zone: str, expressions: Sequence[str], base: datetime) -> list[str]:
    """The expressions on whose next three elapses we and systemd differ."""
    written = [calendar.for_timer(expression) for expression in expressions]
    wrong = []
    for expression, found in zip(expressions, elapses(written, zone, base, 3), strict=True):
        theirs = first_passes(found, zone, base)
        mine = ours(expression, zone, base, max(1, len(theirs)))
        if not agree(mine, theirs, zone):
            shown = [[str(at)[:19] for at in some] for some in (theirs, mine)]
            wrong.append(f"{expression!r} in {zone} after {base}: {shown}")
    return wrong


def test_what_systemd_reads_we_read_and_nothing_else() -> None:
    """An expression is refused by check exactly when a timer would refuse it."""
    writer = Writer(1)
    drawn = list(dict.fromkeys(writer.expression() for _ in range(12_000)))
    bad = refused(drawn)
    assert len(drawn) > 6000
    assert len(bad) > 1000
    differing = [text for text in drawn if readable(text) == (text in bad)]
    assert [text for text in differing if "more than ten times" not in why(text)] == []


def why(expression: str) -> str:
    """Why we refuse it."""
    with pytest.raises(calendar.CalendarError) as refusal:
        calendar.parse(expression)
    return str(refusal.value)


@pytest.mark.parametrize("zone", ZONES)
def test_occurrences_are_the_elapses_that_systemd_names(zone: str) -> None:
    """Ours equal systemd's over clock changes, but for what docs/explanation/dst.md names."""
    writer = Writer(ZONES.index(zone))
    wrong: list[str] = []
    for base in bases(zone, 12, seed=7):
        wrong += differences(zone, writer.good(72), base)
    assert wrong == []


def test_a_zone_behind_the_expression_means_the_same_as_the_local_zone() -> None:
    """Timers carry their zone as a suffix; systemd computes the same elapses from it."""
    expressions = [calendar.for_timer(text) for text in Writer(30).good(60)]
    for zone in ("Europe/Berlin", "America/Santiago"):
        for base in bases(zone, 2, seed=3):
            suffixed = [f"{text} {zone}" for text in expressions]
            assert elapses(suffixed, "UTC", base, 2) == elapses(expressions, zone, base, 2)


def test_from_within_a_repeated_hour_systemd_names_its_second_pass_and_we_do_not() -> None:
    """A timer loaded in the second pass elapses in it; that is no occurrence of ours."""
    base = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 CET, the second time it is 02:10
    theirs = elapses(["*:0/20"], "Europe/Berlin", base, 3)[0]
    assert [at.strftime("%H:%M") for at in theirs] == ["01:20", "01:40", "02:00"]
    assert ours("*:0/20", "Europe/Berlin", base, 1) == [theirs[2]]


@pytest.mark.parametrize("written", ["2/4:37", "*-3/7-30", "*-*-2/9 02:30", "0/21:22:51"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Europe/Dublin", "America/Havana"])
def test_a_timer_keeps_elapsing_over_changes_of_the_clock(written: str, zone: str) -> None:
    """As a timer gets it, no expression ends in systemd's "Resource deadlock avoided"."""
    base, years = datetime(2026, 1, 1, tzinfo=UTC), 2
    theirs = elapses([calendar.for_timer(written)], zone, base, 366 * 6 * years)[0]
    assert theirs[-1] > base + timedelta(days=365 * years)


def test_the_same_occurrences_are_written_for_timers() -> None:
    """What for_timer changes is the writing, never the meaning."""
    for text in Writer(40).good(3000):
        assert calendar.parse(calendar.for_timer(text)) == calendar.parse(text)
