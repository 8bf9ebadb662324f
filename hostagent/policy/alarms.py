"""What becomes of an alarm, who is told of it, and in which words.

``step`` says what becomes of the alarm that stands, by what is wrong now (``policy.trouble``). It
begins, gets worse or ends once, and each of these is told once. Among what keeps a job from its
work, to become less bad is no news; where a job works again, it has recovered, and what is left is
told as an alarm of its own. Who could not be reached by its end is told of that alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from hostagent.model import Alarm, End, Kind, Notify, Outcome, Run
from hostagent.policy.trouble import RANKED, Verdict, Wrong, is_serious
from hostagent.policy.words import ago, when
from hostagent.schedule.blackout import covering, stretches
from hostagent.schedule.zones import MICROSECOND

RECOVERED = "recovered"
"""What is told when an alarm is over."""

SUCCEEDED = "succeeded"
"""What is told of a run to those who want to hear of each success."""

TRIAL = "test"
"""What is told when a person tries out who is told."""

HOLD = timedelta(seconds=90)
"""Who tells has so long; if nothing is heard of it by then, it was lost, and others tell."""

WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 20, 60))
"""Before each further try to tell those who could not be reached; then it is given up."""

_NOBODY: Mapping[str, datetime] = MappingProxyType({})
_LONGEST = timedelta(days=8)
"""Who has longer quiet hours is looked at again then."""


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
    kind, reason = str(trouble.wrong), trouble.reason
    begun = _telling(Alarm(*name, kind, now, reason, untold=to), now)
    if standing is None:
        return begun
    if standing.over_at is not None:  # a warning waits until that was told
        return begun if is_serious(kind) else standing
    if standing.kind == kind:
        return standing
    changed = replace(standing, kind=kind, reason=reason)
    if _rank(kind) > _rank(standing.kind):
        since = standing.since if is_serious(standing.kind) else now
        return _telling(replace(changed, since=since, untold=to), now)
    if is_serious(kind):
        return changed
    return _over(standing, verdict.relief, now) or begun


def success(run: Run, end: End, to: tuple[str, ...]) -> Alarm | None:
    """What ``to`` are told of a run that ended; None: nothing. It never stands anywhere."""
    if not to or run.kind is not Kind.SCHEDULED or end.outcome is not Outcome.SUCCEEDED:
        return None
    assert end.ended_at is not None, "it was recorded"
    reason = f"{run.run_id} on {run.host} {end.reason}"
    return Alarm(run.job, run.scope, SUCCEEDED, end.ended_at, reason, untold=to, tries=1)


def trial(host: str, now: datetime) -> Alarm:
    """What is told where a person asks for it. It never stands anywhere."""
    return Alarm("", host, TRIAL, now, "somebody typed hostagent notify test; nothing is wrong")


def taken(alarm: Alarm, now: datetime) -> Alarm:
    """Somebody tries once more to tell it."""
    return replace(alarm, tries=alarm.tries + 1, due_at=now + HOLD)


def held(alarm: Alarm, now: datetime) -> Alarm:
    """The same try, which still goes on."""
    return replace(alarm, due_at=now + HOLD)


def is_last_try(alarm: Alarm) -> bool:
    """Whether nobody is told after this one."""
    return alarm.tries > len(WAITS)


def quiet_until(notify: Notify, now: datetime) -> datetime | None:
    """The end of the quiet hours that it is now; None: whoever it is may be told."""
    if not notify.quiet or covering(notify.quiet, notify.zone, now) is None:
        return None
    ends, until = now, now + _LONGEST - MICROSECOND
    for last, text in stretches(notify.quiet, notify.zone, now, until):
        if text is None:
            break
        ends = last + MICROSECOND
    return ends


def tried(
    alarm: Alarm, reached: tuple[str, ...], now: datetime, quiet: Mapping[str, datetime] = _NOBODY
) -> Alarm | None:
    """After a try: who was not ``reached`` is tried again, a few times. None: it is over.

    Who has ``quiet`` hours was not tried, and is when they end.
    """
    left = tuple(name for name in alarm.untold if name not in reached)
    told = alarm.told
    if alarm.over_at is None:
        told += tuple(name for name in alarm.untold if name in reached and name not in told)
    if any(name not in quiet for name in left) and not is_last_try(alarm):
        return replace(alarm, told=told, untold=left, due_at=now + WAITS[alarm.tries - 1])
    wait = tuple(name for name in left if name in quiet)
    if not wait and alarm.over_at is not None:
        return None
    due_at = min((quiet[name] for name in wait), default=None)
    return replace(alarm, told=told, untold=wait, tries=0, due_at=due_at)


def whose(job: str, scope: str) -> str:
    """Whose alarm it is, for people. A host's has no job."""
    if not job:
        return f"host {scope}"
    return f"{job}@{scope}" if scope else job


def sentence(alarm: Alarm) -> str:
    """What people read, whole: which job, what of it, and why."""
    name = whose(alarm.job, alarm.scope)
    if alarm.over_at is not None:
        lasted = ago(alarm.over_at - alarm.since)
        return f"{name} has recovered ({alarm.kind} for {lasted}): {alarm.reason}"
    return f"{name} {_IS.get(alarm.kind, alarm.kind)}: {alarm.reason}"


_IS: dict[str, str] = {
    TRIAL: "tries out its messages",
    Wrong.MIXED_SPECS: "has another jobs.toml than most",
    Wrong.DRIFT: "is not as applied",
    Wrong.BACKLOG: "holds a backlog",
    Wrong.SKEW: "has a wrong clock",
    Wrong.STORE: "does not reach the store",
    Wrong.NEAR_INTERVAL: "comes near its interval",
    Wrong.LATE: "was late",
    Wrong.TOO_SHORT: "was too short",
    Wrong.OVERRAN: "overran",
    Wrong.HUNG: "may hang",
    Wrong.SILENT: "is silent",
    Wrong.FAILED: "fails",
    Wrong.QUARANTINED: "is in quarantine",
}


def message(alarm: Alarm) -> dict[str, str]:
    """The same for programs: what webhooks get, and commands on their standard input.

    ``alarm`` is what is told, ``was`` what is over; ``text`` is the sentence, and what to type.
    """
    is_over = alarm.over_at is not None
    more = f"; see: hostagent why {alarm.job}" if alarm.job else ""
    return {
        "alarm": RECOVERED if is_over else alarm.kind,
        "was": alarm.kind if is_over else "",
        "job": alarm.job,
        "scope": alarm.scope,
        "since": when(alarm.since),
        "reason": alarm.reason,
        "text": f"{sentence(alarm)}{more}",
    }


def _over(standing: Alarm, relief: str, now: datetime) -> Alarm | None:
    if standing.over_at is not None:
        return standing
    may_know = standing.untold if standing.tries else ()  # who has quiet hours was not tried
    know = dict.fromkeys((*standing.told, *may_know))
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
    return next((at for at, one in enumerate(RANKED) if one == kind), len(RANKED))
