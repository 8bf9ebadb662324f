"""Runs that a person stopped, as the next agent knows of them (agent.stops)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hostagent.agent import stops
from hostagent.agent.book import Book, View, order_of
from hostagent.model import Form, Job, Kind, Manifest, Run, Schedule, Unit
from hostagent.store.port import AuditEvent, Cursor, Pause, PauseTarget

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
S = timedelta(seconds=1)
JOB = Job("backup", ("/bin/true",), Schedule(Form.ON_BOOT, "on_boot"), 60 * S)
RUN = Run("backup", "", Kind.SCHEDULED, T, 2, 7, "db1", "due", claimed_at=T)
MANIFEST = Manifest(
    1, T, 257, "db1", (JOB,), units=(Unit("backup", "", "hostagent-backup.service", None),)
)


def book(*pauses: Pause, shared: View | None = None) -> Book:
    """One job, whose run goes on."""
    cursor = Cursor("backup", "", JOB.schedule.hash, T, 7, RUN)
    return Book(MANIFEST, "db1", View((cursor,), pauses), shared)


def why_stopped(*log: AuditEvent) -> str | None:
    """What is known of the run, by that log."""
    mine = book()
    stops.remember(mine, log)
    (entry,) = mine
    return entry.stopped


def test_a_stop_is_known_to_the_next_agent() -> None:
    """With the same sentence that the one before would have written."""
    event = AuditEvent(T + S, 1000, "db1", stops.STOP, stops.target(RUN), "it hangs")
    assert why_stopped(event) == "stopped by uid 1000: it hangs"
    assert why_stopped(event) == stops.sentence(1000, "it hangs")


def test_only_this_attempt_was_stopped() -> None:
    """Not one before it, not another run, not by another order."""
    event = AuditEvent(T + S, 0, "db1", stops.STOP, stops.target(RUN), "it hangs")
    other = replace(RUN, kind=Kind.MANUAL)
    assert why_stopped(replace(event, at=T - S)) is None
    assert why_stopped(replace(event, target=stops.target(other))) is None
    assert why_stopped(replace(event, action="retry")) is None
    assert why_stopped() is None


def test_the_pauses_of_a_host_are_those_that_hold_here_now() -> None:
    """Its own and the cluster's, none twice; no other host's, none that has lapsed."""
    everywhere = Pause(PauseTarget.CLUSTER, "", "a fire", "uid 0", T)
    lane = Pause(PauseTarget.LANE, "bulk", "too much", "uid 7", T, T + 9 * S)
    here = Pause(PauseTarget.HOST, "db1", "its disk", "uid 0", T)
    lapsed = Pause(PauseTarget.JOB, "backup", "over", "uid 0", T, T)
    there = Pause(PauseTarget.HOST, "db2", "its disk", "uid 0", T)
    mine = book(lane, here, lapsed, there, shared=View((), (everywhere, lane)))
    assert [order_of(one) for one in mine.pauses(T + S)] == [
        "cluster by uid 0: a fire",
        "host db1 by uid 0: its disk",
        "lane bulk by uid 7 until 2026-11-21 02:00:09Z: too much",
    ]
