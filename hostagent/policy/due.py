"""What becomes of the occurrences that a job owes: the one decision behind every scheduled start.

``decide(facts)`` is asked when PID 1 starts a unit, when the agent's own clock says that an
occurrence should have started, when a run ended, and after every absence. It looks only at its
facts, so the answer is the same whoever asks, and asking twice is harmless. Its rules, in order:

0. While the job is in quarantine, what falls due is quarantined, too.
1. What is older than the catch-up window, or past its ``start_deadline``, is skipped.
2. While the job is paused, what falls due is skipped.
3. An occurrence inside a blackout range is skipped.
4. While a run is active: ``overlap = "skip"`` skips, ``"queue"`` waits, ``"replace"`` stops it;
   for the end of a backfill's run all wait.
5. An occurrence is fresh until its jitter and 15 s have passed since it fell due (or since the
   run that it had to wait for ended). What is not fresh was missed: ``missed = "skip"`` skips
   it, ``"latest"`` runs once for all of them, ``"all"`` runs each, oldest first: while one that
   failed is to be tried again, the next one that was missed waits for that. A fresh one does not.
6. What comes ``after`` other jobs waits until they have succeeded, and is skipped at its
   ``start_deadline``. Only then it counts as due to the rules 4 and 5. A later one that may start
   stands for those that wait, where ``missed`` is not ``"all"``.

Nothing here walks through occurrences: they are counted, divided at instants, and picked from, so
that a job that owes a million of them costs what one costs, and its settlements are as few.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from hostagent.model import Form, Job, Kind, Missed, Outcome, Overlap, Run
from hostagent.policy import upstream
from hostagent.policy.upstream import Free, Lacks
from hostagent.policy.words import ago, span_text, when

PAUSED, BLACKOUT = "paused: ", "blackout: "
"""How the reasons of occurrences begin that nobody wanted to run."""

FRESH_FOR = timedelta(seconds=15)
"""An absence of the agent shorter than this leaves an occurrence fresh (the session's TTL)."""


@dataclass(frozen=True, slots=True)
class Paused:
    """A person paused the job, its lane, its host or the cluster; ``order`` says who and why."""

    order: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Expired:
    """Owed occurrences that lie before the catch-up window: ``count``, from first to last."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Owed:
    """Occurrences in a row that fell due and have no outcome; at least one.

    ``times`` ascend, and need not be listed: a sequence that counts is enough. ``blackout``: the
    range that covers all of them. ``upstream``: what the jobs say that they come after; None: there
    are none, or it does not matter.
    """

    times: Sequence[datetime]
    blackout: str | None = None
    upstream: Free | Lacks | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``owed`` is ascending and holds what fell due above the high-water mark and inside the
    catch-up window. ``freed_from`` and ``freed_at`` are when the job's
    last run began and ended, if this agent saw it. ``quarantined`` is why the job was taken out.
    What fell due from ``kept_from`` on was fresh when it began to wait for a place of its pool.
    ``retry`` is the attempt that failed and is to be tried again, ``retry_at`` when.
    """

    job: Job
    now: datetime
    owed: tuple[Owed, ...]
    expired: Expired | None = None
    active: Run | None = None
    freed_at: datetime | None = None
    freed_from: datetime | None = None
    paused: Paused | None = None
    quarantined: str | None = None
    kept_from: datetime | None = None
    retry: Run | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """These occurrences get no attempt; ``outcome`` and ``reason`` are final."""

    first: datetime
    last: datetime
    count: int
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    """Run this occurrence now; it stands for ``covers`` of them, from ``covers_from``."""

    at: datetime
    covers_from: datetime
    covers: int
    missed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the active run; what replaces it is decided when it has ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now: decide again when the active run has ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """The next attempt of ``Facts.retry`` goes first; decide again when that has ended."""

    reason: str


@dataclass(frozen=True, slots=True)
class Await:
    """Other jobs have not succeeded after which the occurrence ``at`` comes.

    Decide again when that changes; at ``until`` it is skipped.
    """

    reason: str
    at: datetime
    until: datetime


Action = Settle | Start | Stop | Wait | Again | Await

Fate = tuple[Sequence[datetime], str | Lacks | None]
"""Occurrences in a row, and why none of them gets an attempt, or for what they wait; None: they may
start."""

_EVER = datetime.min.replace(tzinfo=UTC)


def decide(facts: Facts) -> tuple[Action, ...]:
    """What to do, in this order. Settlements and starts ascend in time, so each can be claimed.

    Returns:
        At most one ``Start``, ``Stop``, ``Wait``, ``Again`` or ``Await``, the last. What a run of
        ``missed = "all"`` leaves owed is decided again when that run has ended.
    """
    if facts.quarantined is not None:
        return tuple(_quarantined(facts, facts.quarantined))
    actions: list[Action] = []
    if facts.expired is not None:
        actions.append(_settle_expired(facts, facts.expired))
    fates = [fate for owed in facts.owed for fate in _fates(facts, owed)]
    awaits: tuple[Await, ...] = ()
    if facts.active is not None or facts.job.missed is not Missed.ALL:
        fates, awaits = _ready(facts, fates)
    eligible = [times for times, why in fates if not isinstance(why, str)]
    if not eligible:
        return (*actions, *_settle(fates), *awaits)
    if facts.active is not None:
        return (*actions, *_beside(facts, facts.active, fates, eligible))
    if facts.job.missed is Missed.ALL:
        again = _again(facts, eligible[0][0])
        return (*actions, again) if again else (*actions, *_each(facts, fates, eligible))
    return (*actions, *_latest(facts, fates, eligible))


def abandon(facts: Facts, before: datetime | None, reason: str) -> tuple[Settle, ...]:
    """Give up what was missed, up to ``before``, as a person wants; fresh occurrences go on."""
    missed = [_missed(facts, owed.times) for owed in facts.owed]
    if before is not None:
        missed = [times[: bisect_right(times, before)] for times in missed]
    given_up = [times for times in missed if times]
    if not given_up:
        return ()
    expired = (_settle_expired(facts, facts.expired),) if facts.expired else ()
    first, last, count = given_up[0][0], given_up[-1][-1], sum(map(len, given_up))
    return (*expired, Settle(first, last, count, Outcome.ABANDONED, reason))


def is_fresh(facts: Facts, at: datetime) -> bool:
    """The occurrence at ``at`` can still start as if nothing had kept it waiting."""
    return at >= _fresh_from(facts)


def _fresh_from(facts: Facts) -> datetime:
    """What fell due then or later is fresh."""
    if facts.job.schedule.form is Form.ON_BOOT:
        return _EVER  # however long the boot took
    since = facts.now - facts.job.schedule.jitter - FRESH_FOR
    freed = ((owed.times[0], owed.upstream) for owed in facts.owed)
    bounds = [since, *(at for at, one in freed if isinstance(one, Free) and one.at >= since)]
    if facts.kept_from is not None:
        bounds.append(facts.kept_from)
    if facts.freed_at is not None and facts.freed_at >= since:
        bounds.append(facts.freed_from or _EVER)
    return min(bounds)


def _missed(facts: Facts, times: Sequence[datetime]) -> Sequence[datetime]:
    """Those of them that are not fresh."""
    return times[: bisect_left(times, _fresh_from(facts))]


def was_missed(job: Job, run: Run) -> bool:
    """A run that began when its occurrence was no longer fresh: a catch-up run."""
    since = run.started_at or run.claimed_at
    if run.kind is not Kind.SCHEDULED or since is None or job.schedule.form is Form.ON_BOOT:
        return False
    return since > run.scheduled_for + job.schedule.jitter + FRESH_FOR


def is_catch_up(job: Job, run: Run) -> bool:
    """A catch-up run, or another attempt of one, or a backfill: what the gate has to let go.

    Another attempt of a fresh run is late, too, but stands for nothing that was missed.
    """
    if run.kind is Kind.BACKFILL:
        return True
    is_first = run.attempt == 1 and not job.after  # which may have waited for others
    return was_missed(job, run) and (is_first or run.covers_from is not None)


def _fates(facts: Facts, owed: Owed) -> Iterator[Fate]:
    """Which of them get no attempt whatever else is true, and why."""
    times, deadline = owed.times, facts.job.start_deadline
    lacks = owed.upstream if isinstance(owed.upstream, Lacks) else None
    if lacks is not None:
        deadline = upstream.patience(facts.job)
    if facts.paused is not None:
        yield times, f"{PAUSED}{facts.paused.order}"
    elif owed.blackout is not None:
        lie = "lie" if len(times) > 1 else "lies"
        yield times, f'{BLACKOUT}{_span(map(when, _ends(times)))} {lie} in "{owed.blackout}"'
    elif deadline is not None:
        late = bisect_left(times, facts.now - deadline)
        if late and lacks is not None:
            yield times[:late], upstream.given_up(lacks, facts.job)
        elif late:
            by = _span(span_text(facts.now - at) for at in reversed(_ends(times[:late])))
            yield times[:late], f"start_deadline: {by} late, allowed are {span_text(deadline)}"
        if late < len(times):
            yield times[late:], lacks
    else:
        yield times, None


def _ready(facts: Facts, fates: list[Fate]) -> tuple[list[Fate], tuple[Await, ...]]:
    """What is decided now: nothing behind the first that waits, for it would be passed by.

    What waits before the last one that may start is started, or skipped, with that.
    """
    able = [number for number, (_, why) in enumerate(fates) if why is None]
    last = able[-1] if able and facts.job.missed is not Missed.ALL else 0
    ready: list[Fate] = []
    for number, (times, why) in enumerate(fates):
        if isinstance(why, Lacks) and number >= last:
            return ready, (_await(facts, times[0], why),)
        ready.append((times, None if isinstance(why, Lacks) else why))
    return ready, ()


def _await(facts: Facts, at: datetime, lacks: Lacks) -> Await:
    until = facts.now if lacks.is_unasked else at + upstream.patience(facts.job)
    return Await(lacks.reason, at, until)


def _ends(times: Sequence[datetime]) -> tuple[datetime, datetime]:
    return times[0], times[-1]


def _span(words: Iterable[str]) -> str:
    """``from to to``, or the one word where both are the same."""
    return " to ".join(dict.fromkeys(words))


def _quarantined(facts: Facts, why: str) -> Iterator[Settle]:
    """Rule 0. Expired ones first: settlements ascend."""
    reason = f"in quarantine: {why}; put it back: hostagent quarantine reinstate {facts.job.name}"
    if span := facts.expired:
        yield Settle(span.first, span.last, span.count, Outcome.QUARANTINED, reason)
    if due := facts.owed:
        count = sum(len(owed.times) for owed in due)
        yield Settle(due[0].times[0], due[-1].times[-1], count, Outcome.QUARANTINED, reason)


def _settle_expired(facts: Facts, expired: Expired) -> Settle:
    reason = f"missed: older than the catch-up window of {span_text(facts.job.catch_up_window)}"
    return Settle(expired.first, expired.last, expired.count, Outcome.SKIPPED, reason)


def _settle(fates: Iterable[Fate]) -> Iterator[Settle]:
    """One settlement for each stretch of occurrences with the same fate."""
    for why, group in groupby(fates, key=lambda fate: fate[1]):
        if isinstance(why, str):
            parts = [times for times, _ in group]
            count = sum(map(len, parts))
            yield Settle(parts[0][0], parts[-1][-1], count, Outcome.SKIPPED, why)


def _beside(
    facts: Facts, active: Run, fates: list[Fate], eligible: list[Sequence[datetime]]
) -> Iterator[Action]:
    """Rule 4: what an active run means for what is owed."""
    held = f"run {active.run_id} is still running"
    if active.started_at is not None:
        since = when(active.started_at.replace(microsecond=0))
        held += f" since {since} ({ago(facts.now - active.started_at)})"
    is_backfill = active.kind is Kind.BACKFILL  # which never costs an occurrence
    is_queued = is_backfill or facts.job.overlap is Overlap.QUEUE
    if is_queued or _is_chained(facts, active, eligible[0][0]):
        yield Wait(f"queued: {held}")
    elif facts.job.overlap is Overlap.REPLACE:
        yield Stop(f"replaced by the occurrence of {when(eligible[-1][-1])}")
    else:
        yield from _settle(_instead(fates, f"overlap: {held}"))


def _instead(fates: Iterable[Fate], reason: str) -> Iterator[Fate]:
    """What may start gets no attempt, either."""
    return ((times, reason if why is None else why) for times, why in fates)


def _is_chained(facts: Facts, active: Run, first: datetime) -> bool:
    """``missed = "all"``: what was owed before the active run began does not overlap with it."""
    if facts.job.missed is not Missed.ALL:
        return False
    is_owed_before = active.claimed_at is not None and first <= active.claimed_at
    return is_owed_before or was_missed(facts.job, active)


def _again(facts: Facts, first: datetime) -> Again | None:
    """``missed = "all"``: what failed goes before the next one that was missed (not a fresh one).

    A backfill costs no occurrence, and keeps none waiting.
    """
    retry, at = facts.retry, facts.retry_at
    if retry is None or at is None or retry.kind is not Kind.SCHEDULED or is_fresh(facts, first):
        return None
    shown = when(at.replace(microsecond=0))
    return Again(f"queued: {retry.run_id} failed and is tried again first, at {shown}")


def _each(facts: Facts, fates: list[Fate], eligible: list[Sequence[datetime]]) -> Iterator[Action]:
    """``missed = "all"``: the oldest first; catch_up_max bounds how many were missed."""
    missed = sum(len(_missed(facts, times)) for times in eligible)
    most = facts.job.catch_up_max
    capped = f"catch_up_max: {missed} were missed, allowed are {most}"
    dropped = max(0, missed - most) if most is not None else 0
    before: list[Fate] = []
    for times, why in fates:
        if isinstance(why, str):
            before.append((times, why))
            continue
        if dropped:
            before.append((times[:dropped], capped))
        if dropped < len(times):
            yield from _settle(before)
            first = times[dropped]
            if why is not None:
                yield _await(facts, first, why)
                return
            late = not is_fresh(facts, first)
            yield Start(first, first, 1, late, _reason(facts, first, 1, first, late=late))
            return
        dropped -= len(times)
    yield from _settle(before)


def _latest(
    facts: Facts, fates: list[Fate], eligible: list[Sequence[datetime]]
) -> Iterator[Action]:
    """``missed = "latest"`` and ``"skip"``: one run at most, for the latest that may run."""
    last = eligible[-1][-1]
    late = not is_fresh(facts, last)
    able = [number for number, (_, why) in enumerate(fates) if why is None]
    opens, closes = able[0], able[-1]
    if facts.job.missed is Missed.SKIP:
        missed = f'missed: no agent was up in time, and missed = "skip" (seen {when(facts.now)})'
        passed = f"it waited until the occurrence of {when(last)} fell due, which starts instead"
        if late:
            yield from _settle(_instead(fates, missed))
            return
        before = [*fates[:closes], (eligible[-1][:-1], None)]
        yield from _settle(_told(facts, before, missed, passed))
        yield Start(last, last, 1, False, _reason(facts, last, 1, last, late=False))
        yield from _settle(fates[closes + 1 :])
        return
    first, covers = eligible[0][0], sum(len(times) for times, _ in fates[opens : closes + 1])
    yield from _settle(fates[:opens])
    yield Start(last, first, covers, late, _reason(facts, last, covers, first, late=late))
    yield from _settle(fates[closes + 1 :])


def _told(facts: Facts, fates: list[Fate], missed: str, passed: str) -> Iterator[Fate]:
    """What may start and does not, by whether it was missed."""
    for times, why in fates:
        if why is not None:
            yield times, why
            continue
        late = len(_missed(facts, times))
        parts = (times[:late], missed), (times[late:], passed)
        yield from (part for part in parts if part[0])


def _reason(facts: Facts, at: datetime, covers: int, first: datetime, *, late: bool) -> str:
    behind, others = ago(facts.now - at), _others(facts, at)
    if covers > 1 and not late:
        return f"due {when(at)}, admitted {behind} after; {_stands(covers - 1, first)}{others}"
    if covers > 1:
        return (
            f"catch-up: {covers} occurrences fell due from {when(first)} to {when(at)}; "
            f'missed = "latest" runs once for all of them{others}'
        )
    if late:
        missed = f'missed = "{facts.job.missed}"'
        return f"catch-up: due {when(at)}, missed by {behind}; {missed}{others}"
    return f"due {when(at)}, admitted {behind} after{others}"


def _stands(before: int, first: datetime) -> str:
    """What a fresh run is besides: the one for those before it, too."""
    those = f"the {before} before it, from {when(first)} on,"
    if before == 1:
        those = f"the one before it, due {when(first)},"
    return f'{those} had not run: missed = "latest" runs once for all'


def _others(facts: Facts, at: datetime) -> str:
    """That those have succeeded after which the occurrence ``at`` comes."""
    own = (owed.upstream for owed in facts.owed if owed.times[0] <= at <= owed.times[-1])
    return "".join(f"; {one.reason}" for one in own if isinstance(one, Free))
