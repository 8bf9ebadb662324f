"""How long a job's runs usually take, and what another duration says.

A run is compared with the last successes of its own job, and only where there are enough of them.
The bounds are wide: messages about nothing teach people not to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from hostagent.model import Kind, Outcome, Run

HISTORY = 20
"""So many successes at most say what is usual."""

NEAR_FROM, JUDGED_FROM = 5, 10
"""How many successes it takes to warn of all runs, and to judge one."""

NEAR = 0.8
"""Runs that take this share of the interval are near it."""

LONG, LONG_BY = 3, timedelta(minutes=1)
"""Too long is what takes more than so many times the usual, and so much more."""

SHORT, SHORT_FROM = 10, timedelta(seconds=10)
"""Too short is less than this part of the usual, where that is at least so long."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Of the last ``count`` successes: the median, and what 95 % of them did not exceed."""

    count: int
    median: timedelta
    most: timedelta


def took(run: Run) -> timedelta | None:
    """How long it took; None: it has not ended, or never started."""
    if run.started_at is None or run.ended_at is None:
        return None
    return max(run.ended_at - run.started_at, timedelta(0))


def counts(run: Run) -> bool:
    """Whether its duration compares: not what a person asked for, or what stands for several."""
    return run.kind is Kind.SCHEDULED and run.covers == 1


def usual(runs: Sequence[Run]) -> Usual | None:
    """By the successes among ``runs``, newest first; None: there are none."""
    spans = [
        span
        for run in runs
        if run.outcome is Outcome.SUCCEEDED and counts(run) and (span := took(run)) is not None
    ][:HISTORY]
    if not spans:
        return None
    spans.sort()
    return Usual(len(spans), spans[len(spans) // 2], spans[-(-len(spans) * 95 // 100) - 1])


def near(interval: timedelta | None) -> timedelta | None:
    """What is near the interval: soon one run may meet the next."""
    return None if interval is None else interval * NEAR


def longest(known: Usual | None) -> timedelta | None:
    """What a run may take at most; None: too little is known."""
    if known is None or known.count < JUDGED_FROM:
        return None
    return max(known.most * LONG, known.most + LONG_BY)


def shortest(known: Usual | None) -> timedelta | None:
    """What a success must take at least; None: too little is known, or any may be so short."""
    if known is None or known.count < JUDGED_FROM or known.median < SHORT_FROM:
        return None
    return known.median / SHORT
