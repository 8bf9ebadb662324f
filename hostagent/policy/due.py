"""What becomes of the occurrences that a job owes: the one decision behind every scheduled start.

``decide(facts)`` is asked when PID 1 starts a unit, when the agent's own clock says that an
occurrence should have started, when a run ended, and after every absence. It looks only at its
facts, so the answer is the same whoever asks, and asking twice is harmless. Its rules, in order:

0. While the job is in quarantine, what falls due is quarantined, too.
1. What is older than the catch-up window, or past its ``start_deadline``, is skipped.
2. While the job is paused, what falls due is skipped.
3. An occurrence inside a blackout range is skipped.
4. While a run is active: ``overlap = "skip"`` skips, ``"queue"`` waits, ``"replace"`` stops it.
5. An occurrence is fresh until its jitter and 15 s have passed since it fell due (or since the
   run that it had to wait for ended). What is not fresh was missed: ``missed = "skip"`` skips
   it, ``"latest"`` runs once for all of them, ``"all"`` runs each, oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from hostagent.model import Form, Job, Kind, Missed, Outcome, Overlap, Run
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
    """An occurrence that fell due and has no outcome. ``blackout``: the range that covers it."""

    at: datetime
    blackout: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``owed`` is ascending and holds what fell due above the high-water mark and inside the
    catch-up window. ``freed_from`` and ``freed_at`` are when the job's
    last run began and ended, if this agent saw it. ``quarantined`` is why the job was taken out.
    What fell due from ``kept_from`` on was fresh when it began to wait for a place of its pool.
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


Action = Settle | Start | Stop | Wait


def decide(facts: Facts) -> tuple[Action, ...]:
    """What to do, in this order. Settlements and starts ascend in time, so each can be claimed.

    Returns:
        At most one ``Start``, ``Stop`` or ``Wait``. What a run of ``missed = "all"`` leaves owed
        is decided again when that run has ended.
    """
    if facts.quarantined is not None:
        return tuple(_quarantined(facts, facts.quarantined))
    actions: list[Action] = []
    if facts.expired is not None:
        actions.append(_settle_expired(facts, facts.expired))
    fates = [(owed, _suppressed(facts, owed)) for owed in facts.owed]
    eligible = [owed.at for owed, fate in fates if fate is None]
    if not eligible:
        return (*actions, *_settle(fates))
    if facts.active is not None:
        return (*actions, *_beside(facts, facts.active, fates, eligible))
    if facts.job.missed is Missed.ALL:
        return (*actions, *_each(facts, fates, eligible))
    return (*actions, *_latest(facts, fates, eligible))


def abandon(facts: Facts, before: datetime | None, reason: str) -> tuple[Settle, ...]:
    """Give up what was missed, up to ``before``, as a person wants; fresh occurrences go on."""
    missed = [owed.at for owed in facts.owed if not is_fresh(facts, owed.at)]
    given_up = [at for at in missed if before is None or at <= before]
    if not given_up:
        return ()
    expired = (_settle_expired(facts, facts.expired),) if facts.expired else ()
    first, last = given_up[0], given_up[-1]
    return (*expired, Settle(first, last, len(given_up), Outcome.ABANDONED, reason))


def is_fresh(facts: Facts, at: datetime) -> bool:
    """The occurrence at ``at`` can still start as if nothing had kept it waiting."""
    if facts.job.schedule.form is Form.ON_BOOT:
        return True  # however long the boot took
    if facts.kept_from is not None and at >= facts.kept_from:
        return True
    waited = facts.freed_from is None or at >= facts.freed_from
    since = max(at, facts.freed_at) if facts.freed_at and waited else at
    return facts.now <= since + facts.job.schedule.jitter + FRESH_FOR


def was_missed(job: Job, run: Run) -> bool:
    """A run that began when its occurrence was no longer fresh: a catch-up run."""
    since = run.started_at or run.claimed_at
    if run.kind is not Kind.SCHEDULED or since is None or job.schedule.form is Form.ON_BOOT:
        return False
    return since > run.scheduled_for + job.schedule.jitter + FRESH_FOR


def is_catch_up(job: Job, run: Run) -> bool:
    """A catch-up run, or another attempt of one: what the gate has to let go.

    Another attempt of a fresh run is late, too, but stands for nothing that was missed.
    """
    return was_missed(job, run) and (run.attempt == 1 or run.covers_from is not None)


def _suppressed(facts: Facts, owed: Owed) -> str | None:
    """Why this occurrence gets no attempt whatever else is true, or None."""
    if facts.paused is not None:
        return f"{PAUSED}{facts.paused.order}"
    if owed.blackout is not None:
        return f'{BLACKOUT}{when(owed.at)} lies in "{owed.blackout}"'
    deadline = facts.job.start_deadline
    if deadline is not None and facts.now > owed.at + deadline:
        late = span_text(facts.now - owed.at)
        return f"start_deadline: {late} late, allowed are {span_text(deadline)}"
    return None


def _quarantined(facts: Facts, why: str) -> Iterator[Settle]:
    """Rule 0. Expired ones first: settlements ascend."""
    reason = f"in quarantine: {why}; put it back: hostagent quarantine reinstate {facts.job.name}"
    if span := facts.expired:
        yield Settle(span.first, span.last, span.count, Outcome.QUARANTINED, reason)
    if due := facts.owed:
        yield Settle(due[0].at, due[-1].at, len(due), Outcome.QUARANTINED, reason)


def _settle_expired(facts: Facts, expired: Expired) -> Settle:
    reason = f"missed: older than the catch-up window of {span_text(facts.job.catch_up_window)}"
    return Settle(expired.first, expired.last, expired.count, Outcome.SKIPPED, reason)


def _settle(fates: Iterable[tuple[Owed, str | None]]) -> Iterator[Settle]:
    """One settlement for each stretch of occurrences with the same fate."""
    for fate, group in groupby(fates, key=lambda pair: pair[1]):
        if fate is not None:
            times = [owed.at for owed, _ in group]
            yield Settle(times[0], times[-1], len(times), Outcome.SKIPPED, fate)


def _beside(
    facts: Facts,
    active: Run,
    fates: list[tuple[Owed, str | None]],
    eligible: list[datetime],
) -> Iterator[Action]:
    """Rule 4: what an active run means for what is owed."""
    held = f"run {active.run_id} is still running"
    if active.started_at is not None:
        held += f" since {when(active.started_at)} ({ago(facts.now - active.started_at)})"
    if facts.job.overlap is Overlap.QUEUE or _is_chained(facts, active, eligible[0]):
        yield Wait(f"queued: {held}")
    elif facts.job.overlap is Overlap.REPLACE:
        yield Stop(f"replaced by the occurrence of {when(eligible[-1])}")
    else:
        yield from _settle((owed, fate or f"overlap: {held}") for owed, fate in fates)


def _is_chained(facts: Facts, active: Run, first: datetime) -> bool:
    """``missed = "all"``: what was owed before the active run began does not overlap with it."""
    if facts.job.missed is not Missed.ALL:
        return False
    is_owed_before = active.claimed_at is not None and first <= active.claimed_at
    return is_owed_before or was_missed(facts.job, active)


def _each(
    facts: Facts, fates: list[tuple[Owed, str | None]], eligible: list[datetime]
) -> Iterator[Action]:
    """``missed = "all"``: the oldest first; catch_up_max bounds how many were missed."""
    missed = [at for at in eligible if not is_fresh(facts, at)]
    most = facts.job.catch_up_max
    dropped = set(missed[: len(missed) - most]) if most is not None else set()
    first = next(at for at in eligible if at not in dropped) if dropped != set(eligible) else None
    capped = f"catch_up_max: {len(missed)} were missed, allowed are {most}"
    before = [
        (owed, fate or (capped if owed.at in dropped else None))
        for owed, fate in fates
        if first is None or owed.at < first
    ]
    yield from _settle(before)
    if first is not None:
        late = first in missed
        yield Start(first, first, 1, late, _reason(facts, first, 1, first, late=late))


def _latest(
    facts: Facts, fates: list[tuple[Owed, str | None]], eligible: list[datetime]
) -> Iterator[Action]:
    """``missed = "latest"`` and ``"skip"``: one run at most, for the latest that may run."""
    last = eligible[-1]
    late = not is_fresh(facts, last)
    if facts.job.missed is Missed.SKIP:
        missed = f'missed: no agent was up in time and missed = "skip" ({when(facts.now)})'
        keep = None if late else last
        yield from _settle(
            (owed, fate or missed) for owed, fate in fates if keep is None or owed.at < keep
        )
        if keep is not None:
            yield Start(keep, keep, 1, False, _reason(facts, keep, 1, keep, late=False))
            yield from _settle((o, f) for o, f in fates if o.at > keep)
        return
    first = eligible[0]
    covers = sum(first <= owed.at <= last for owed, _ in fates)
    yield from _settle((o, f) for o, f in fates if o.at < first)
    yield Start(last, first, covers, late, _reason(facts, last, covers, first, late=late))
    yield from _settle((o, f) for o, f in fates if o.at > last)


def _reason(facts: Facts, at: datetime, covers: int, first: datetime, *, late: bool) -> str:
    behind = ago(facts.now - at)
    if covers > 1:
        return (
            f"catch-up: {covers} occurrences fell due from {when(first)} to {when(at)}; "
            f'missed = "latest" runs once for all of them'
        )
    if late:
        return f'catch-up: due {when(at)}, missed by {behind}; missed = "{facts.job.missed}"'
    return f"due {when(at)}, admitted {behind} after"
