"""Whether the jobs that an occurrence comes after (``after``) have succeeded: decision 0321.

A *period* of a job lasts from one of its occurrences to its next. What comes after a job needs a
success of it for an instant of the period in which its own occurrence lies: of the occurrence that
opens the period, by whatever attempt, or of a run that a person asked for meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hostagent.model import Form, Job, Outcome, Run, Schedule
from hostagent.policy.words import ago, span_text, when
from hostagent.schedule.occurrences import last_until, next_after

SEEN_TO = timedelta(minutes=1)
"""So much longer is looked back at what waited until the end of its catch-up window, so that its
outcome names the upstream, and not the window."""

UPSTREAM = "upstream: "
"""How the reasons of occurrences begin that were skipped because another job had not succeeded."""


@dataclass(frozen=True, slots=True)
class Period:
    """From an occurrence of a job to its next, which is not in it. None: there is none."""

    begins: datetime | None
    ends: datetime | None


@dataclass(frozen=True, slots=True)
class Upstream:
    """What is known of one (job, scope) that is waited for, in one of its periods.

    ``rows`` are those of the ledger for an instant of the period, and what stands for the
    occurrence that opens it; None: they cannot be read now. ``retry`` is the attempt that is to be
    tried again, at ``retry_at``.
    """

    job: str
    scope: str
    period: Period
    rows: tuple[Run, ...] | None
    retry: Run | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Free:
    """All have succeeded, the last of them ``at`` then."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Lacks:
    """One has not succeeded: ``who`` is waited for, and ``state`` is what is known of it.

    ``hint`` is what a person can do about it. ``is_unasked``: nobody has looked yet.
    """

    who: str
    state: str
    hint: str = ""
    is_unasked: bool = False

    @property
    def reason(self) -> str:
        """Why nothing starts now."""
        return f"waits for {self.who}, which {self.state}{self.hint and f'; {self.hint}'}"


UNASKED = Lacks("another job", "is looked at next", is_unasked=True)


def scopes(scope: str, upstream: Job) -> tuple[str, ...]:
    """Which scopes of ``upstream`` are waited for: the same one, else all that there are."""
    known = upstream.scopes(scope)
    return (scope,) if scope in known else known


def period(schedule: Schedule, at: datetime) -> Period:
    """The period in which ``at`` lies. Boots have none: each is waited for by itself."""
    if schedule.form is Form.ON_BOOT:
        return Period(at, None)
    return Period(last_until(schedule, at), next_after(schedule, at))


def patience(job: Job) -> timedelta:
    """How long after it was due an occurrence waits for others at most."""
    return min(job.start_deadline or job.catch_up_window, job.catch_up_window)


def judge(upstreams: Sequence[Upstream], now: datetime) -> Free | Lacks:
    """Whether what comes after them (at least one) may start."""
    reasons, ends = [], []
    for one in upstreams:
        done = [run for run in one.rows or () if run.outcome is Outcome.SUCCEEDED]
        if not done:
            return _lacking(one, now)
        first = min(done, key=lambda run: run.ended_at or now)
        reasons.append(f"{_name(one)} succeeded on {first.host}")
        ends.append(first.ended_at or now)
    return Free(max(ends), ", ".join(reasons))


def given_up(lacks: Lacks, job: Job) -> str:
    """Why an occurrence that has waited for so long is skipped."""
    allowed = patience(job)
    key = "start_deadline" if job.start_deadline == allowed else "catch_up_window"
    waited = f"it was waited for {span_text(allowed)}, as {key} says"
    return f"{UPSTREAM}{lacks.who} {lacks.state}; {waited}"


def _lacking(one: Upstream, now: datetime) -> Lacks:
    who = _name(one)
    if one.rows is None:
        return Lacks(who, "is not known: the store that hosts share is not reached")
    going = next((run for run in one.rows if run.outcome is None), None)
    if going is not None:
        if going.started_at is None:
            return Lacks(who, f"is being started on {going.host}")
        return Lacks(who, f"runs on {going.host} since {ago(now - going.started_at)}")
    last = max(one.rows, key=lambda run: (run.ended_at or now, run.token), default=None)
    if last is not None:
        return _ended(one, who, last)
    begins, ends = one.period.begins, one.period.ends
    if begins is None:
        first = f": its first occurrence is due {when(ends)}" if ends else ""
        return Lacks(who, f"has no occurrence yet{first}")
    return Lacks(who, "has not started", f"see: hostagent why {one.job}")


def _ended(one: Upstream, who: str, last: Run) -> Lacks:
    if last.outcome is not Outcome.FAILED:
        return Lacks(who, f"was {last.outcome}: {last.reason}", f"run it: hostagent run {one.job}")
    state = f"failed on {last.host}: {last.end_reason}"
    if one.retry is not None and one.retry.run_id == last.run_id and one.retry_at is not None:
        at = when(one.retry_at.replace(microsecond=0))
        return Lacks(who, f"{state}, and is tried again at {at}")
    return Lacks(who, state, f"try it again: hostagent retry {last.run_id}")


def _name(one: Upstream) -> str:
    name = f"{one.job}@{one.scope}" if one.scope else one.job
    return f"{name} of {when(one.period.begins)}" if one.period.begins else name
