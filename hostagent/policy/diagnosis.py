"""Whether something is wrong with a job (``policy.trouble``), by the facts alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

from hostagent.model import Form, Job, Kind, Outcome, Run
from hostagent.policy import durations, early
from hostagent.policy.due import BLACKOUT, PAUSED
from hostagent.policy.trouble import RANKED, Facts, Trouble, Verdict, Wrong, is_serious
from hostagent.policy.words import ago, span_text, when
from hostagent.schedule.blackout import covering
from hostagent.schedule.occurrences import between

_AHEAD, _LOOKED_AT = timedelta(days=5 * 366), 10_000
"""How far an occurrence is looked for, and how many in a blackout are passed over."""

CHANCE = timedelta(minutes=2)
"""After an absence, until a job is silent for what that explains: the minute in which the host
settles, and one to run. Who was silent already is so still."""


def final(rows: tuple[Run, ...], retried: str | None) -> tuple[Run, ...]:
    """Of ledger rows, newest first, the last attempt of each run that has succeeded or failed.

    ``retried`` is the run whose next attempt is to come.
    """
    last: dict[str, Run] = {}
    for row in rows:
        if row.attempt and row.outcome is not None and row.run_id != retried:
            before = last.get(row.run_id)
            if before is None or before.attempt < row.attempt:
                last[row.run_id] = row
    ended = [row for row in last.values() if row.outcome in {Outcome.SUCCEEDED, Outcome.FAILED}]
    return tuple(sorted(ended, key=lambda row: row.token, reverse=True))


def is_excused(row: Run) -> bool:
    """Whether nobody wanted the occurrence to run."""
    return row.outcome is Outcome.SKIPPED and row.reason.startswith((PAUSED, BLACKOUT))


def decide(facts: Facts) -> Verdict:
    """Whether the (job, scope) is in trouble."""
    silent_at, silent = _silent(facts)
    out = facts.quarantined
    serious = [out and Trouble(Wrong.QUARANTINED, out), _failed(facts), silent]
    overruns_at, overran = early.overran(facts)
    warnings = [early.hung(facts), overran, early.too_short(facts), early.late(facts)]
    warnings += [early.near(facts), early.kept(facts)]
    found = [one for one in (*serious, *warnings) if one and one.wrong not in facts.job.mute]
    return Verdict(
        max(found, key=lambda one: RANKED.index(one.wrong), default=None),
        _relief(facts),
        _after(facts) if any(serious) or silent_at is None else silent_at,
        overruns_at,
        durations.usual(facts.runs),
    )


def _success(facts: Facts) -> Run | None:
    return next((run for run in facts.runs if run.outcome is Outcome.SUCCEEDED), None)


def _relief(facts: Facts) -> str:
    """Why it is over, if it is."""
    standing, success = facts.standing, _success(facts)
    if standing is None or is_serious(standing.kind):
        return _ended(success) if success else "nothing is owed"
    if facts.stands(Wrong.HUNG) and facts.going is not None and facts.going.moves:
        return f"{facts.going.run.run_id} moves on"
    last = next(iter(facts.runs), None)
    if last is None or last.ended_at is None or last.ended_at < standing.since:
        return "its run is over"
    return _ended(last)


def _ended(run: Run) -> str:
    span = durations.took(run)
    after = "" if span is None else f" after {span_text(span)}"
    return f"{run.run_id} {run.outcome} on {run.host}{after}"


def _failed(facts: Facts) -> Trouble | None:
    counted = []
    for run in facts.runs:
        if run.outcome is Outcome.SUCCEEDED:
            break
        if run.kind is Kind.SCHEDULED:
            counted.append(run)
    most = facts.job.alarm_after
    if len(counted) < most:
        return None
    last = counted[0]
    how = f"{last.run_id} on {last.host} {last.end_reason or 'failed'}"
    count = f"the last {most} runs failed; " if most > 1 else ""
    return Trouble(Wrong.FAILED, count + how)


def _silent(facts: Facts) -> tuple[datetime | None, Trouble | None]:
    """From when on it is, if nothing happens (None: never), and whether it is by now."""
    success = _success(facts)
    ended_at = success.ended_at if success else None
    marks = [facts.since, facts.skipped_at, ended_at]
    due = _wanted(facts.job, max(mark for mark in marks if mark is not None))
    if due is None:
        return None, None
    silent_at = due + _allowed(facts.job)
    woke_at = facts.woke_at
    if woke_at is not None and due <= woke_at and not facts.stands(Wrong.SILENT):
        silent_at = max(silent_at, woke_at + CHANCE)
    if facts.now < silent_at:
        return silent_at, None
    last = f"no success since {when(ended_at)}" if ended_at else "no success yet"
    grace = span_text(_allowed(facts.job))
    late = ago(facts.now - due)
    most = facts.job.alarm_after
    count = f"{most} were due, the last" if most > 1 else "one was due"
    reason = f"{last}; {count} {when(due)}, {late} ago, and allowed are {grace}"
    return silent_at, Trouble(Wrong.SILENT, reason)


def _after(facts: Facts) -> datetime | None:
    """When it would be silent if it succeeded just now, by a run that nobody tells us of."""
    due = _wanted(facts.job, facts.now)
    return due + _allowed(facts.job) if due else None


def _wanted(job: Job, base: datetime) -> datetime | None:
    """The occurrence after ``base``, of those that are to run, whose success is waited for at last.

    None: there is none before long.
    """
    schedule = job.schedule
    if schedule.form is Form.ON_BOOT:
        return None
    coming = islice(between(schedule, base, base + _AHEAD), _LOOKED_AT + job.alarm_after)
    wanted = (
        at
        for at in coming
        if not schedule.blackout or covering(schedule.blackout, schedule.zone, at) is None
    )
    return next(islice(wanted, job.alarm_after - 1, None), None)


def _allowed(job: Job) -> timedelta:
    return job.schedule.jitter + (job.grace or job.timeout)
