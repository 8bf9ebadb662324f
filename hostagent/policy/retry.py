"""Whether an attempt that ended is tried again, and when.

``decide(facts)`` is asked once an attempt has ended and its job is not quarantined for it. Its
rules, in order:

1. Only what failed is tried again, and only where it is known how: never on ``unknown`` alone.
2. A manual run is tried once: the person who asked for it sees how it ended.
3. A leased run that was lost with its host or its lease is taken over at once, whatever
   ``retries`` says: it was not the job that failed. (If it was, quarantine puts an end to it.)
   Where nobody could take over, going down with the host is a failure like any other.
4. A run that the catch-up gate stopped waits in the backlog again, once: it was the host that ran
   out of memory. Stopped a second time it has failed.
5. ``retries`` more attempts, each after its wait: ``backoff``, give or take 10 %.
6. A pool's jobs share a budget of retries, so that a broken downstream is not asked a thousand
   times over: a tenth of the pool's starts in the last hour, but ten.

A retry may fall behind the next occurrence; it is scheduled all the same, and given up when that
occurrence is claimed. (Missed ones of ``missed = "all"`` wait for it: ``policy.due``.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hostagent.model import Backoff, End, Job, Kind, Outcome, Run
from hostagent.policy.outcome import GATE_STOPPED, ErrorClass, error_class, failure
from hostagent.policy.words import span_text, when

JITTER = 0.1
"""The share by which a wait is longer or shorter, so that what failed together comes back apart."""

BUDGET_SHARE = 10
"""One retry for so many starts of a pool."""

BUDGET_LEAST = 10
"""Retries that every pool has in an hour."""

LOOKED_AT = 1000
"""The pool's last starts that are counted, however many it had: what a failure costs is bounded."""

LOST = frozenset({ErrorClass.HOST_LOST, ErrorClass.LEASE_LOST})


@dataclass(frozen=True, slots=True)
class PoolHour:
    """What a pool's jobs did in the last hour: ``starts`` of all kinds, ``retries`` among them.

    Of no more than the last ``LOOKED_AT`` starts.
    """

    name: str
    starts: int
    retries: int

    @property
    def allowed(self) -> int:
        """How many retries it may have in an hour."""
        return max(BUDGET_LEAST, self.starts // BUDGET_SHARE)

    def __str__(self) -> str:
        if self.starts >= LOOKED_AT:
            return f"the last {self.starts} starts of pool {self.name}"
        return f"the {self.starts} starts of pool {self.name} in the last hour"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``attempt`` counts from 1, ``before`` are the run's attempts before it. ``next_at`` is the job's
    next occurrence. ``is_leased``: the run is the cluster's, in a store that several hosts share.
    """

    job: Job
    run_id: str
    kind: Kind
    attempt: int
    end: End
    now: datetime
    before: tuple[Run, ...] = ()
    next_at: datetime | None = None
    pool: PoolHour | None = None
    is_leased: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Attempt n + 1 may start at ``at``."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Final:
    """The run has ended with this attempt."""

    reason: str


def decide(facts: Facts) -> Retry | Final:
    """Whether there is another attempt, and the sentence why (not)."""
    end, job = facts.end, facts.job
    if end.outcome is not Outcome.FAILED:
        return Final(f"no retry: the attempt {end.outcome}")
    kind_of_failure = error_class(end.outcome, end.result)
    if kind_of_failure is None:
        return Final("no retry: nobody knows how the attempt ended")
    how = failure(end.result, end.exit_code, end.signal)
    if facts.kind is Kind.MANUAL:
        return Final(f"no retry: it failed ({how}), and a manual run is tried once")
    if kind_of_failure in LOST and facts.is_leased:
        return Retry(facts.now, f"attempt {facts.attempt} was lost ({how}); taken over at once")
    if kind_of_failure is ErrorClass.GATE_STOPPED and not _was_stopped(facts.before):
        return Retry(facts.now, "it waits in the backlog again, with its expected peak doubled")
    used = facts.attempt - 1 - _forgiven(facts)
    failed = f"attempt {used + 1} of {job.retries + 1} failed ({how})"
    if used >= job.retries:
        return Final(f"{failed}; no retry is left: retries = {job.retries}")
    pool = facts.pool
    if pool is not None and pool.retries >= pool.allowed:
        return Final(
            f"{failed}; no retry: {pool.retries} of {pool} were retries, allowed are "
            f"{pool.allowed} (a tenth, at least {BUDGET_LEAST})"
        )
    pause = wait(job.backoff, used + 1, f"{facts.run_id} {facts.attempt}")
    at = facts.now + pause
    overtaken = ""
    if facts.next_at is not None and at >= facts.next_at:
        overtaken = f", unless the occurrence of {when(facts.next_at)} comes first"
    shown = when(at.replace(microsecond=0))
    return Retry(at, f"{failed}; next in {span_text(pause)} (at {shown}){overtaken}")


def _forgiven(facts: Facts) -> int:
    """How many attempts before this one cost no retry: what others took over, what gave way."""
    lost = sum(error_class(run.outcome, run.result) in LOST for run in facts.before)
    return (lost if facts.is_leased else 0) + _was_stopped(facts.before)


def _was_stopped(attempts: Iterable[Run]) -> bool:
    """The gate has stopped this run before: once is nobody's fault."""
    return any(run.result == GATE_STOPPED for run in attempts)


def wait(backoff: Backoff, number: int, seed: str) -> timedelta:
    """How long before retry ``number`` (from 1). The same for the same ``seed``."""
    if backoff.steps:
        base = backoff.steps[min(number, len(backoff.steps)) - 1]
    else:
        base = min(backoff.most, _grown(backoff, number))
    draw = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / 2**64
    return base * (1 + JITTER * (2 * draw - 1))


def _grown(backoff: Backoff, number: int) -> timedelta:
    try:
        return backoff.first * backoff.factor ** (number - 1)
    except OverflowError:  # the thousandth doubling
        return backoff.most
