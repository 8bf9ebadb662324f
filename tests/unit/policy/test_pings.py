"""What a ping_url hears of a run (policy.pings)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hostagent.model import End, Kind, Outcome, Run
from hostagent.policy.outcome import SENTENCES, Ended, end_of
from hostagent.policy.pings import LONGEST, Ping, address, at_end, at_start

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
RUN = Run("backup", "", Kind.SCHEDULED, AT, 1, 7, "web1", "due 2026-11-21 02:00:00Z")


def signal(end: End, retry_at: datetime | None = None) -> str:
    """What follows the URL."""
    found = at_end(RUN, end, retry_at)
    assert found is not None
    return found.signal


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (Ended("success", exit_code=0), ""),
        (Ended("success", exit_code=3), ""),  # success_exit_status
        (Ended("exit-code", exit_code=1), "/1"),
        (Ended("exit-code", exit_code=255), "/255"),
        (Ended("exit-code"), "/fail"),
        (Ended("signal", signal="KILL"), "/fail"),
        (Ended("core-dump", signal="SEGV"), "/fail"),
        (Ended("timeout", exit_code=1), "/fail"),
        (Ended("start-failed: no such user"), "/fail"),
        *((Ended(result), "/fail") for result in SENTENCES),
    ],
)
def test_an_end_has_one_signal(ended: Ended, expected: str) -> None:
    """Nothing for a success, an exit status as a number, /fail for every other failure."""
    assert signal(end_of(ended)) == expected


def test_what_is_tried_again_has_not_failed_yet() -> None:
    """It is told as something to know, as is what was stopped on purpose."""
    failed = end_of(Ended("exit-code", exit_code=1))
    assert signal(failed, AT) == "/log"
    assert signal(end_of(Ended("signal", signal="TERM"), "stopped by uid 0: enough")) == "/log"


def test_all_pings_of_a_run_have_one_id() -> None:
    """On whichever host and attempt; another run has another."""
    start = at_start(RUN)
    assert start is not None
    assert start.signal == "/start"
    assert uuid.UUID(start.rid).version == 5
    elsewhere = replace(RUN, host="web2", attempt=2, token=8)
    end = at_end(elsewhere, end_of(Ended("success")), None)
    assert end is not None
    assert end.rid == start.rid
    other = at_start(replace(RUN, scope="eu"))
    assert other is not None
    assert other.rid != start.rid


def test_the_text_says_what_happened_where_and_why() -> None:
    """One sentence, as everywhere; it has an end."""
    start = at_start(RUN)
    assert start is not None
    assert start.text == f"{RUN.run_id} starts on web1: due 2026-11-21 02:00:00Z"
    ended = Ended("exit-code", 1, None, AT, AT.replace(minute=2))
    end = at_end(RUN, end_of(ended), None)
    assert end is not None
    assert end.text == f"{RUN.run_id} failed on web1: exited with status 1 after 2min"
    long = at_end(RUN, End(Outcome.FAILED, "x" * 9999), None)
    assert long is not None
    assert len(long.text) == LONGEST


def test_a_backfill_says_nothing_of_today() -> None:
    """A run by hand does: it is the job's work, whoever asked for it."""
    past = replace(RUN, kind=Kind.BACKFILL)
    assert at_start(past) is None
    assert at_end(past, end_of(Ended("success")), None) is None
    assert at_start(replace(RUN, kind=Kind.MANUAL)) is not None


@pytest.mark.parametrize(
    ("url", "signal", "expected"),
    [
        ("https://hc-ping.com/ab", "", "https://hc-ping.com/ab?rid=1"),
        ("https://hc-ping.com/ab/", "/start", "https://hc-ping.com/ab/start?rid=1"),
        (
            "https://hc.example:8443/p/slug?create=1",
            "/3",
            "https://hc.example:8443/p/slug/3?create=1&rid=1",
        ),
        ("https://u:p@hc.example#x", "/fail", "https://u:p@hc.example/fail?rid=1"),
    ],
)
def test_the_signal_follows_the_path(url: str, signal: str, expected: str) -> None:
    """The query of the URL stays what it is, and stays last."""
    assert address(url, Ping(signal, "1", "")) == expected
