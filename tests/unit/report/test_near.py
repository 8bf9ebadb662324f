"""Whose runs would soon overlap, for whoever plans, from a real ledger."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hostagent.model import End, Form, Job, Kind, Outcome, Schedule
from hostagent.report.ledgers import Ledgers
from hostagent.report.near import near_intervals
from hostagent.store.port import Claimed, Finish, Registration, Want
from hostagent.store.sqlite.engine import SqliteStore

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = Schedule(Form.EVERY, "1h", every=60 * MINUTE, anchor=T0)
HALF = Schedule(Form.EVERY, "30min", every=30 * MINUTE, anchor=T0)


def job(name: str, schedule: Schedule = HOURLY) -> Job:
    """One that runs once in the cluster."""
    return Job(name, ("/bin/true",), schedule, timedelta(minutes=54))


def ran(store: SqliteStore, name: str, minutes: int) -> None:
    """Six runs that took so long."""
    session = store.open_session("one", "boot")
    for hour in range(1, 7):
        at = T0 + hour * 60 * MINUTE
        want = Want(name, "", HOURLY.hash, Kind.SCHEDULED, at, "due", at, invocation_id="i")
        (answer,) = store.claim(session, [want])
        assert isinstance(answer, Claimed)
        end = End(Outcome.SUCCEEDED, "finished", ended_at=at + minutes * MINUTE)
        store.finish([Finish(name, "", answer.run.token, end)])


def test_a_plan_says_whose_runs_would_soon_overlap(tmp_path: Path) -> None:
    """By the schedule that is wanted, and by the history of a job that is to be renamed."""
    with closing(SqliteStore(tmp_path / "o")) as store:
        store.register([Registration.of(job(name), "one") for name in ("slow", "quick")], [], T0)
        ran(store, "slow", 50)
        ran(store, "quick", 25)
        both = Ledgers(store, "one")
        near = "95 % of its last 6 successes took up to 50min, 83 % of the 1h until the next"
        assert list(near_intervals(both, [job("slow"), job("quick")], "one")) == [("slow", near)]
        more = near.replace("50min, 83 % of the 1h", "25min, 83 % of the 30min")
        assert list(near_intervals(both, [job("quick", HALF)], "one")) == [("quick", more)]
        renamed = replace(job("slower"), renamed_from="slow")
        assert list(near_intervals(both, [renamed, job("new")], "one")) == [("slower", near)]
        boot = job("slow", Schedule(Form.ON_BOOT, "on_boot"))
        assert list(near_intervals(both, [boot], "one")) == []
