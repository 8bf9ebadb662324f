"""Warnings (``policy.trouble``): what is unusual about the run that goes on, or the last one."""

from __future__ import annotations

from datetime import datetime, timedelta

from hostagent.model import Form, Job, Kind, Outcome, Run
from hostagent.policy import durations
from hostagent.policy.due import FRESH_FOR
from hostagent.policy.durations import Usual
from hostagent.policy.trouble import OF_A_RUN, Facts, Trouble, Wrong
from hostagent.policy.words import span_text
from hostagent.schedule.occurrences import period

_LATE_BY = timedelta(minutes=1), timedelta(hours=1)
"""A start is late by a tenth of the interval, but by so much at least, and at most."""


def hung(facts: Facts) -> Trouble | None:
    """An agent that begins anew has to look for a while: what was seen before stands until then."""
    going = facts.going
    if going is not None and going.still is not None:
        return Trouble(Wrong.HUNG, f"{going.run.run_id} on {going.run.host} {going.still}")
    if going is not None and not going.moves:
        return _as_before(facts, Wrong.HUNG)
    return None


def overran(facts: Facts) -> tuple[datetime | None, Trouble | None]:
    """When the run that goes on will have, and what has by now: that one, or else the last."""
    going = facts.going.run if facts.going else None
    if going is not None and durations.counts(going) and going.started_at is not None:
        most = durations.longest(known := durations.usual(facts.runs))
        if most is not None and known is not None:
            overruns_at = going.started_at + most
            if facts.now < overruns_at:
                return overruns_at, _judged(facts)
            reason = f"{going.run_id} on {going.host} goes on for more than {span_text(most)}"
            return None, Trouble(Wrong.OVERRAN, f"{reason}; {_usually(known)}")
    return None, _judged(facts)


def _judged(facts: Facts) -> Trouble | None:
    """Whether the last run that ended took much longer than those before it."""
    last, known = _last(facts)
    most = durations.longest(known)
    span = durations.took(last) if last else None
    if last is None or known is None or most is None or span is None or span < most:
        return None
    reason = f"{last.run_id} on {last.host} took {span_text(span)}; {_usually(known)}"
    return Trouble(Wrong.OVERRAN, reason)


def too_short(facts: Facts) -> Trouble | None:
    """Whether the last run succeeded much sooner than those before it."""
    last, known = _last(facts)
    least = durations.shortest(known)
    span = durations.took(last) if last else None
    if last is None or known is None or least is None or span is None or span >= least:
        return None
    if last.outcome is not Outcome.SUCCEEDED:
        return None
    reason = f"{last.run_id} on {last.host} succeeded after {span_text(span)}; usual are "
    reason += f"{span_text(known.median)}, the median of the {known.count} before it"
    return Trouble(Wrong.TOO_SHORT, reason)


def _last(facts: Facts) -> tuple[Run | None, Usual | None]:
    """The last run that compares, and what was usual before it."""
    at = next((at for at, run in enumerate(facts.runs) if durations.counts(run)), None)
    if at is None:
        return None, None
    return facts.runs[at], durations.usual(facts.runs[at + 1 :])


def _usually(known: Usual) -> str:
    return f"usual are at most {span_text(known.most)}, as for 95 % of {known.count} successes"


def late(facts: Facts) -> Trouble | None:
    """Whether the run that goes on, or else the last, started long after it was due."""
    last = next((run for run in facts.runs if run.kind is Kind.SCHEDULED), None)
    if facts.going is not None and facts.going.run.kind is Kind.SCHEDULED:
        last = facts.going.run
    behind = late_by(facts.job, last) if last else None
    if last is None or behind is None:
        return None
    reason = f"{last.run_id} on {last.host} started {span_text(behind)} after it was due"
    return Trouble(Wrong.LATE, f"{reason}; allowed are {span_text(_start_allowed(facts.job))}")


def late_by(job: Job, run: Run) -> timedelta | None:
    """How long after it was due it started, if that was late. What waits for others never is."""
    is_fresh = run.kind is Kind.SCHEDULED and run.attempt == 1 and run.covers_from is None
    if not is_fresh or job.after or run.started_at is None or job.schedule.form is Form.ON_BOOT:
        return None
    behind = run.started_at - run.scheduled_for
    return behind if behind > _start_allowed(job) else None


def _start_allowed(job: Job) -> timedelta:
    least, most = _LATE_BY
    tenth = (period(job.schedule) or timedelta.max) / 10
    return job.schedule.jitter + FRESH_FOR + min(max(tenth, least), most)


def near(facts: Facts) -> Trouble | None:
    """Whether its runs take nearly as long as its interval."""
    reason = near_interval(durations.usual(facts.runs), period(facts.job.schedule))
    return Trouble(Wrong.NEAR_INTERVAL, reason) if reason else None


def near_interval(known: Usual | None, interval: timedelta | None) -> str | None:
    """That runs take nearly as long as the interval between them, or longer."""
    near = durations.near(interval)
    if known is None or interval is None or near is None or known.count < durations.NEAR_FROM:
        return None
    if known.most < near:
        return None
    share = f"{known.most / interval * 100:.0f} %"
    return (
        f"95 % of its last {known.count} successes took up to {span_text(known.most)}, {share} of "
        f"the {span_text(interval)} until the next"
    )


def may_tell(job: Job, run: Run, known: Usual | None) -> bool:
    """Whether a run that has ended is worth a look at the ledger. Most successes are not.

    ``known`` is what was usual when somebody looked last.
    """
    span = durations.took(run)
    if run.outcome is not Outcome.SUCCEEDED or late_by(job, run) is not None or span is None:
        return True
    if known is None or span >= durations.SHORT_FROM:
        return True
    near = durations.near(period(job.schedule))
    if near is not None and max(span, known.most) >= near:
        return True
    least = durations.shortest(known)
    return known.median >= durations.SHORT_FROM and (least is None or span < least)


def kept(facts: Facts) -> Trouble | None:
    """What only the host that runs it can say, and has said."""
    told = (_as_before(facts, wrong) for wrong in OF_A_RUN if facts.is_elsewhere)
    return next((one for one in told if one), None)


def _as_before(facts: Facts, wrong: Wrong) -> Trouble | None:
    if facts.standing is None or not facts.stands(wrong):
        return None
    return Trouble(wrong, facts.standing.reason)
