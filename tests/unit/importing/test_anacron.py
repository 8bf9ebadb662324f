"""Anacrontabs, and the jobs they become."""

from __future__ import annotations

from datetime import datetime

import pytest

from hostagent.errors import InputError
from hostagent.model import Missed
from tests.unit.importing.loading import anacrontab, jobs_of, said, tables_of

CRONIES = """\
SHELL=/bin/sh
PATH=/sbin:/bin:/usr/sbin:/usr/bin
MAILTO=root
RANDOM_DELAY=45
START_HOURS_RANGE=3-22
#period in days   delay in minutes   job-identifier   command
1\t5\tcron.daily\t\tnice run-parts /etc/cron.daily
7\t25\tcron.weekly\t\tnice run-parts /etc/cron.weekly
@monthly 45\tcron.monthly\t\tnice run-parts /etc/cron.monthly
10 70 trim /sbin/fstrim / > 100%
"""


def test_periods_become_times_and_what_is_missed_is_run() -> None:
    """The first hour anacron may start in, plus the delay; a percent sign is one."""
    found = anacrontab(CRONIES, zone="Europe/Berlin")
    tables = tables_of(found)
    assert [table.get("cron") for table in tables.values()] == [
        "5 3 * * *",
        "25 3 * * 1",
        "45 3 1 * *",
        None,
    ]
    path = {"PATH": "/sbin:/bin:/usr/sbin:/usr/bin"}
    assert tables["trim"] == {
        "command": ["/bin/sh", "-c", "/sbin/fstrim / > 100%"],
        "every": "10d",
        "anchor": datetime(2026, 1, 1, 4, 10),  # noqa: DTZ001 -- in the job's zone
        "timezone": "Europe/Berlin",
        "jitter": "45min",
        "user": "root",
        "environment": path,
    }
    assert {job.missed for job in jobs_of(found).values()} == {Missed.LATEST}
    mail, end = said(found)
    assert mail.startswith("/etc/anacrontab:3:1: MAILTO is not carried over: ")
    assert end.startswith("/etc/anacrontab:5:1: the end of START_HOURS_RANGE is not carried over")


def test_the_time_of_day_is_debians_where_none_is_said() -> None:
    """It is said that it is."""
    found = anacrontab("@daily 10 a /bin/x\n@yearly 0 b /bin/x\n")
    crons = [table["cron"] for table in tables_of(found).values()]
    assert crons == ["40 7 * * *", "30 7 1 1 *"]
    assert said(found) == [
        "/etc/anacrontab:1:1: anacron names no time of day: 07:30 plus the delay is taken"
    ]


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("1 5 x", "1:1", "is neither a setting nor an entry"),
        ("@hourly 5 x y", "1:1", '"@hourly" is no period'),
        ("0 5 x y", "1:1", '"0" is no period'),
        ("1 soon x y", "1:3", '"soon" is no delay'),
    ],
)
def test_a_line_that_is_none_is_refused_with_its_place(line: str, place: str, message: str) -> None:
    """As in a crontab."""
    with pytest.raises(InputError) as refusal:
        anacrontab(line + "\n")
    assert str(refusal.value).startswith(f"/etc/anacrontab:{place}: {message}")
