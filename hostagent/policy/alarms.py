"""Whether something is wrong with a job that people should be told of, and what is told.

A (job, scope) has one alarm at most: the worst of these, each of which is there or not by the
ledger alone, whoever looks.

- ``quarantined``: it was taken out because it kept crashing.
- ``failed``: its last ``alarm_after`` scheduled runs all failed. A run that is to be tried again
  has not; what was skipped or abandoned is passed over. A run by hand that fails adds nothing; any
  success ends the row.
- ``silent``, the dead man's switch: ``alarm_after`` occurrences fell due since the last success (or
  since the job was deployed), and the jitter and ``grace`` of the last of them have passed without
  another. Occurrences in a pause or a blackout are not waited for.

``step`` says what becomes of the alarm that stands. It begins, gets worse or ends once, and each of
these is told once; to become less bad is no news. Who could not be reached by its end is told of
that alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from hostagent.model import Alarm, Form, Job, Kind, Outcome, Run
from hostagent.policy.due import BLACKOUT, PAUSED
from hostagent.policy.words import ago, span_text, when
from hostagent.schedule.blackout import covering
from hostagent.schedule.occurrences import between


class Wrong(StrEnum):
    """What can be wrong, the worst last."""

    SILENT = "silent"
    FAILED = "failed"
    QUARANTINED = "quarantined"


RECOVERED = "recovered"
"""What is told when an alarm is over."""

WORST = list(Wrong)

HOLD = timedelta(seconds=90)
"""Who tells has so long; if nothing is heard of it by then, it was lost, and others tell."""

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 20, 60))
"""Before each further try to tell those who could not be reached; then it is given up."""

_AHEAD, _LOOKED_AT = timedelta(days=5 * 366), 10_000
"""How far an occurrence is looked for, and how many in a blackout are passed over."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``since`` is from when on the schedule holds. ``runs`` are the last that succeeded or failed for
    good, newest first: at least ``alarm_after`` of them and the last success, where there are so
    many. ``skipped_at`` is the last occurrence that a pause or a blackout took.
    """

    job: Job
    scope: str
    now: datetime
    since: datetime
    runs: tuple[Run, ...] = ()
    skipped_at: datetime | None = None
    quarantined: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, with its sentence."""

    wrong: Wrong
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong now, else None and why not; and when to look again if nothing happens."""

    trouble: Trouble | None
    relief: str
    again_at: datetime | None


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
    success = next((run for run in facts.runs if run.outcome is Outcome.SUCCEEDED), None)
    relief = f"{success.run_id} succeeded on {success.host}" if success else "nothing is owed"
    if facts.quarantined is not None:
        return Verdict(Trouble(Wrong.QUARANTINED, facts.quarantined), relief, _after(facts))
    if failed := _failed(facts):
        return Verdict(failed, relief, _after(facts))
    marks = [facts.since, facts.skipped_at, success.ended_at if success else None]
    due = _wanted(facts.job, max(mark for mark in marks if mark is not None))
    if due is None:
        return Verdict(None, relief, _after(facts))
    silent_at = due + _allowed(facts.job)
    if facts.now < silent_at:
        return Verdict(None, relief, silent_at)
    ended_at = success.ended_at if success else None
    last = f"no success since {when(ended_at)}" if ended_at else "no success yet"
    grace = span_text(silent_at - due)
    late = ago(facts.now - due)
    most = facts.job.alarm_after
    count = f"{most} were due, the last" if most > 1 else "one was due"
    reason = f"{last}; {count} {when(due)}, {late} ago, and allowed are {grace}"
    return Verdict(Trouble(Wrong.SILENT, reason), relief, _after(facts))


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


def step(
    standing: Alarm | None,
    name: tuple[str, str],
    verdict: Verdict,
    to: tuple[str, ...],
    now: datetime,
) -> Alarm | None:
    """What the alarm of ``name`` becomes; the same as ``standing``: nothing. ``to`` are told.

    What it says is to be told is to be told by who calls, and now: see ``HOLD``.
    """
    trouble = verdict.trouble
    if trouble is None:
        return None if standing is None else _over(standing, verdict.relief, now)
    if standing is None or standing.over_at is not None:
        return _telling(Alarm(*name, str(trouble.wrong), now, trouble.reason, untold=to), now)
    if standing.kind == trouble.wrong:
        return standing
    changed = replace(standing, kind=str(trouble.wrong), reason=trouble.reason)
    if _rank(trouble.wrong) < _rank(standing.kind):
        return changed
    return _telling(replace(changed, untold=to), now)


def taken(alarm: Alarm, now: datetime) -> Alarm:
    """Somebody tries once more to tell it."""
    return replace(alarm, tries=alarm.tries + 1, due_at=now + HOLD)


def held(alarm: Alarm, now: datetime) -> Alarm:
    """The same try, which still goes on."""
    return replace(alarm, due_at=now + HOLD)


def is_last_try(alarm: Alarm) -> bool:
    """Whether nobody is told after this one."""
    return alarm.tries > len(WAITS)


def tried(alarm: Alarm, reached: tuple[str, ...], now: datetime) -> Alarm | None:
    """After a try: who was not ``reached`` is tried again, a few times. None: it is over."""
    left = tuple(name for name in alarm.untold if name not in reached)
    gives_up = not left or is_last_try(alarm)
    if alarm.over_at is not None and gives_up:
        return None
    told = alarm.told
    if alarm.over_at is None:
        told += tuple(name for name in alarm.untold if name in reached and name not in told)
    if gives_up:
        return replace(alarm, told=told, untold=(), tries=0, due_at=None)
    return replace(alarm, told=told, untold=left, due_at=now + WAITS[alarm.tries - 1])


def sentence(alarm: Alarm) -> str:
    """What people read, whole: which job, what of it, and why."""
    name = f"{alarm.job}@{alarm.scope}" if alarm.scope else alarm.job
    if alarm.over_at is not None:
        lasted = ago(alarm.over_at - alarm.since)
        return f"{name} has recovered ({alarm.kind} for {lasted}): {alarm.reason}"
    return f"{name} {_IS.get(alarm.kind, alarm.kind)}: {alarm.reason}"


_IS: dict[str, str] = {
    Wrong.SILENT: "is silent",
    Wrong.FAILED: "fails",
    Wrong.QUARANTINED: "is in quarantine",
}


def message(alarm: Alarm) -> dict[str, str]:
    """The same for programs: what webhooks get, and commands on their standard input.

    ``alarm`` is what is told, ``was`` what is over; ``text`` is the sentence.
    """
    is_over = alarm.over_at is not None
    return {
        "alarm": RECOVERED if is_over else alarm.kind,
        "was": alarm.kind if is_over else "",
        "job": alarm.job,
        "scope": alarm.scope,
        "since": when(alarm.since),
        "reason": alarm.reason,
        "text": sentence(alarm),
    }


def _over(standing: Alarm, relief: str, now: datetime) -> Alarm | None:
    if standing.over_at is not None:
        return standing
    know = dict.fromkeys((*standing.told, *standing.untold))
    if not know:
        return None
    return _telling(replace(standing, over_at=now, reason=relief, told=(), untold=tuple(know)), now)


def _telling(alarm: Alarm, now: datetime) -> Alarm:
    """With the try that is made now, if there is anybody to tell."""
    if not alarm.untold:
        return replace(alarm, tries=0, due_at=None)
    return replace(alarm, tries=1, due_at=now + HOLD)


def _rank(kind: str) -> int:
    """A kind that a later version made is worse than all: it is that one's to change."""
    known = [str(one) for one in WORST]
    return known.index(kind) if kind in known else len(known)
