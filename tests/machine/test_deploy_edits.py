"""No edit starts a job, although its new schedule names an instant that has just passed.

systemd#16732: a changed OnCalendar= fires at once when an elapse lies between the last trigger
(or, without a stamp file, the timer's last start) and now. Admission says yes to everything here,
so nothing but apply stands between an edit and a start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.model import Form, Job, Lane, Missed, Overlap, RunOn, Sandbox, Schedule
from tests.machine.deploying import admit_everything, clock, deploy, job, ran, timers
from tests.machine.machine import Machine

FAR = "2030-01-01 00:00:00"
HOUR = timedelta(hours=1)

Edit = Callable[[Job, str], Job]


def _calendar(
    was: Job, *expressions: str, zone: str = "UTC", jitter: timedelta = timedelta(0)
) -> Job:
    text = ", ".join(expressions)
    schedule = Schedule(Form.CALENDAR, text, calendar=expressions, zone=zone, jitter=jitter)
    return replace(was, schedule=schedule)


def _at(was: Job, past: str) -> Job:
    at = datetime.fromisoformat(past + "+00:00")
    return replace(was, schedule=Schedule(Form.AT, past, at=at))


def _every(was: Job, past: str) -> Job:
    anchor = datetime.fromisoformat(past + "+00:00")
    return replace(was, schedule=Schedule(Form.EVERY, "1h", every=HOUR, anchor=anchor))


def _in_zone(was: Job, past: str) -> Job:
    local = datetime.fromisoformat(past) + timedelta(hours=9)  # Tokyo has no summer time
    return _calendar(was, local.strftime("%Y-%m-%d %H:%M:%S"), zone="Asia/Tokyo")


EDITS: dict[str, Edit] = {
    "calendar": _calendar,
    "second-expression": lambda was, past: _calendar(was, FAR, past),
    "daily": lambda was, past: _calendar(was, f"*-*-* {past[11:]}"),
    "weekday": lambda was, past: _calendar(was, f"Mon..Sun *-*-* {past[11:]}"),
    "zone": _in_zone,
    "at": _at,
    "every": _every,
    "jitter": lambda was, past: _calendar(was, past, jitter=timedelta(milliseconds=100)),
    "to-skip": lambda was, past: replace(_calendar(was, past), missed=Missed.SKIP),
    "to-latest": lambda was, past: replace(_calendar(was, past), missed=Missed.LATEST),
    "to-all": lambda was, past: replace(_calendar(was, past), missed=Missed.ALL),
    "queue": lambda was, past: replace(_calendar(was, past), overlap=Overlap.QUEUE),
    "each": lambda was, past: replace(_calendar(was, past), run_on=RunOn.EACH),
    "lane": lambda was, past: replace(_calendar(was, past), lane=Lane.BULK),
    "scopes": lambda was, past: replace(_calendar(was, past), for_each=("eu", "us")),
    "timeout": lambda was, past: replace(_calendar(was, past), timeout=HOUR / 2),
    "memory": lambda was, past: replace(_calendar(was, past), memory_max=1 << 28),
    "environment": lambda was, past: replace(_calendar(was, past), environment=(("A", "1"),)),
    "sandbox": lambda was, past: replace(_calendar(was, past), sandbox=Sandbox.DEFAULT),
    "description": lambda was, past: replace(_calendar(was, past), description="other"),
    "accuracy": lambda was, past: replace(
        _calendar(was, past), passthrough=(("Timer", "AccuracySec", ("1s",)),)
    ),
    "renamed": lambda was, past: replace(
        _calendar(was, past), name=f"{was.name}-new", renamed_from=was.name
    ),
}


@pytest.mark.parametrize("missed", [Missed.LATEST, Missed.SKIP])
def test_no_edit_starts_a_job(any_machine: Machine, missed: Missed) -> None:
    """22 kinds of edit at once, with and without a stamp file: nothing starts."""
    admit_everything(any_machine)
    before = [job(name, FAR, missed=missed) for name in EDITS]
    assert deploy(any_machine, before)["exit"] == 0
    any_machine.succeed("sleep 2.2")
    past = clock(datetime.now(UTC) - timedelta(seconds=1))
    after = [edit(was, past) for was, edit in zip(before, EDITS.values(), strict=True)]
    assert deploy(any_machine, after)["exit"] == 0
    any_machine.succeed("sleep 0.6")
    assert ran(any_machine) == set()
    assert "Starting hostagent-" not in any_machine.journal()
    assert set(timers(any_machine).values()) == {"active"}


@pytest.mark.parametrize("missed", [Missed.LATEST, Missed.SKIP])
def test_what_stopped_or_disabled_timers_missed_does_not_start(
    any_machine: Machine, missed: Missed
) -> None:
    """Re-enabling is an edit, too: a timer that apply starts again begins from now."""
    admit_everything(any_machine)
    soon = clock(datetime.now(UTC) + timedelta(seconds=3))
    jobs = [job(name, soon, missed=missed) for name in ("stopped", "disabled", "back")]
    assert deploy(any_machine, jobs)["exit"] == 0
    any_machine.succeed("systemctl stop hostagent-stopped.timer")
    any_machine.succeed("systemctl disable --now -q hostagent-disabled.timer")
    assert deploy(any_machine, jobs[:2])["exit"] == 0  # "back" goes; the others are repaired
    any_machine.succeed("systemctl stop hostagent-stopped.timer hostagent-disabled.timer")
    any_machine.succeed("sleep 4")
    done = deploy(any_machine, jobs)
    assert done["exit"] == 0
    any_machine.succeed("sleep 0.6")
    assert ran(any_machine) == set()
    assert set(timers(any_machine).values()) == {"active"}


def test_plain_systemd_does_start_it(machine: Machine) -> None:
    """The trap is real: the same edit by hand, followed by a reload, starts the job."""
    admit_everything(machine)
    deploy(machine, [job("trap", FAR)])
    machine.succeed("sleep 2.2")
    past = clock(datetime.now(UTC) - timedelta(seconds=1))
    unit = "/etc/systemd/system/hostagent-trap.timer"
    machine.succeed(f"sed -i 's/^OnCalendar=.*/OnCalendar={past} UTC/' {unit}")
    machine.succeed("systemctl daemon-reload")
    machine.wait_until("test -e /root/ran.trap", timeout=3)
