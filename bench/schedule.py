"""What the schedule's mathematics costs beside cronsim, which walks from one instant to the next.

Run ``python -m bench.schedule``. Both take turns in one run: the next instant of a thousand
different expressions, and how many minutes of a month fell due. Medians of the rounds and their
ratios are printed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from statistics import median
from time import perf_counter

from cronsim import CronSim

from hostagent.model import Form, Schedule
from hostagent.schedule import occurrences

ROUNDS = 5
NOW = datetime(2026, 11, 21, 2, tzinfo=UTC)
MONTH = timedelta(days=31)


def schedules() -> list[Schedule]:
    texts = [f"Mon..Sat *-*-* {n % 24:02}:{n % 60:02}:00" for n in range(1000)]
    return [Schedule(Form.CALENDAR, text, (text,)) for text in texts]


def next_of_ours() -> None:
    for schedule in schedules():
        occurrences.next_after(schedule, NOW)


def next_of_cronsim() -> None:
    for n in range(1000):
        next(CronSim(f"{n % 60} {n % 24} * * 1-6", NOW))


def month_of_ours() -> None:
    occurrences.latest(Schedule(Form.CALENDAR, "minutely", ("minutely",)), NOW - MONTH, NOW)


def month_of_cronsim() -> None:
    sum(1 for _ in takewhile(lambda at: at <= NOW, CronSim("* * * * *", NOW - MONTH)))


def seconds(work: Callable[[], None]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


def main() -> None:
    for what, ours, theirs in (
        ("the next of 1,000 expressions", next_of_ours, next_of_cronsim),
        ("how many minutes of a month", month_of_ours, month_of_cronsim),
    ):
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
        mine, other = (median(times) for times in zip(*pairs, strict=True))
        print(f"{what:32} {mine * 1e3:8.1f} ms  cronsim {other * 1e3:8.1f} ms  {mine / other:6.3f}")


if __name__ == "__main__":
    main()
