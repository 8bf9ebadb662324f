"""How far this host's clock is from the store's, and what that means for what may start here.

Each beat brings the store's clock. With the time before it was sent and how long the answer took,
that gives the offset, known to half the round trip. The offset arms this host's timers, and bars
the host where it is too large: late beats early. Beats go on while it is barred.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hostagent.policy.words import span_text

WARN_SKEW = timedelta(milliseconds=250)
MAX_SKEW = timedelta(seconds=1)
"""The store refuses claims from a host whose clock differs by more."""

KEPT = 8
"""How many samples are kept; the one with the shortest round trip counts."""

DRIFT = timedelta(milliseconds=50)
"""By how much two samples may differ beyond their errors before a clock must have been set."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement: the store's clock less this host's, ``error`` at most beside the truth."""

    theta: timedelta
    error: timedelta


def measured(sent_at: datetime, round_trip: timedelta, store_now: datetime) -> Sample:
    """The offset. ``round_trip`` by a clock that is never set, ``sent_at`` by the host's own."""
    return Sample(store_now - (sent_at + round_trip / 2), round_trip / 2)


def kept(samples: Sequence[Sample], new: Sample) -> tuple[Sample, ...]:
    """The last samples with ``new`` behind them; those that it contradicts are forgotten.

    A clock that was set makes every earlier sample wrong, however short its round trip was.
    """
    before = samples[-(KEPT - 1) :]
    if any(abs(new.theta - s.theta) > new.error + s.error + DRIFT for s in before):
        return (new,)
    return (*before, new)


def best(samples: Sequence[Sample]) -> Sample:
    """The sample with the least error, the latest of these."""
    return min(reversed(samples), key=lambda sample: sample.error)


def here(at: datetime, sample: Sample) -> datetime:
    """When this host's clock shows it, it is ``at`` or a little later by the store's clock."""
    return at - sample.theta + sample.error


class Skew(StrEnum):
    """Whether this host's clock is near enough. ``FENCED``: nothing is claimed here."""

    OK = "ok"
    WARN = "warn"
    FENCED = "fenced"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the clock is near enough, and the sentence with its figures."""

    skew: Skew
    reason: str


def decide(theta: timedelta, error: timedelta) -> Verdict:
    """Judge an offset by what is certain of it: its size less the error."""
    certain = abs(theta) - error
    side = "behind" if theta > timedelta(0) else "ahead of"
    figures = (
        f"this host's clock is {span_text(abs(theta))} {side} the store's (±{span_text(error)})"
    )
    if certain > MAX_SKEW:
        most = span_text(MAX_SKEW)
        reason = f"{figures}: over {most}, so no job of the cluster starts here; see: timedatectl"
        return Verdict(Skew.FENCED, reason)
    if certain > WARN_SKEW:
        most = span_text(MAX_SKEW)
        reason = f"{figures}; over {most} no job of the cluster starts here; see: timedatectl"
        return Verdict(Skew.WARN, reason)
    return Verdict(Skew.OK, figures)
