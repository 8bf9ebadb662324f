"""From schedules and marks to what is owed (hostagent.agent.owed)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.agent.book import Entry
from hostagent.agent.owed import owed
from hostagent.model import Form, Job, Missed, Schedule, Unit
from hostagent.policy.due import Facts, Owed, abandon, decide
from hostagent.schedule.blackout import covering
from hostagent.schedule.occurrences import between, latest

T = datetime(2026, 3, 28, 1, 0, 7, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def entry(schedule: Schedule, missed: Missed = Missed.LATEST) -> Entry:
    """A job that has done all up to T."""
    job = Job("one", ("/bin/true",), schedule, HOUR, missed=missed, catch_up_window=31 * 24 * HOUR)
    return Entry(job, Unit("one", "", "one.service", None), "", high_water=T, registered=True)


schedules = st.sampled_from(
    [
        Schedule(Form.EVERY, "", every=97 * SECOND, anchor=T),
        Schedule(Form.CALENDAR, "", calendar=("*:0/5",), zone="Europe/Berlin"),
        Schedule(Form.CALENDAR, "", calendar=("*:0/7", "02:30"), zone="America/Santiago"),
        Schedule(Form.AT, "", at=T + HOUR),
    ]
)
blackouts = st.sampled_from(
    [(), ("Sun",), ("22:00..06:00", "Sat"), ("2026-03-29T02:30..2026-04-01",)]
)


@settings(deadline=None)  # the machine may be busy
@given(
    schedules,
    blackouts,
    st.sampled_from(Missed),
    st.timedeltas(timedelta(0), timedelta(days=4)),
    st.timedeltas(SECOND, timedelta(days=2)),
    st.none() | st.integers(1, 50),
    st.none() | st.timedeltas(SECOND, timedelta(days=1)),
)
def test_what_is_counted_is_decided_as_what_is_listed(
    schedule: Schedule,
    blackout: tuple[str, ...],
    missed: Missed,
    absent: timedelta,
    window: timedelta,
    most: int | None,
    deadline: timedelta | None,
) -> None:
    """Rows and blackout stretches stand for the same occurrences, one by one."""
    one = entry(replace(schedule, blackout=blackout), missed)
    one.job = replace(one.job, catch_up_window=window, catch_up_max=most, start_deadline=deadline)
    now = T + absent
    expired, found = owed(one, now, T)
    start = max(T, now - max(window, 15 * SECOND))
    times = list(between(one.job.schedule, start, now))
    assert [at for part in found for at in part.times] == times
    zone = one.job.schedule.zone
    texts = [part.blackout for part in found for _ in part.times]
    assert texts == [covering(blackout, zone, at) for at in times]
    span = latest(one.job.schedule, T, start)
    assert (expired and expired.count) == (span and span.count)
    listed = tuple(Owed(tuple(part.times), part.blackout) for part in found)
    asked = Facts(one.job, now, found, expired)
    assert decide(asked) == decide(replace(asked, owed=listed))
    assert abandon(asked, None, "") == abandon(replace(asked, owed=listed), None, "")
