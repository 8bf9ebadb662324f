"""Whether a (job, scope) is taken out because it keeps crashing, until a person reinstates it.

``decide(facts)`` is asked after every attempt that crashed, before ``retry``: a quarantined job is
not tried again, however many retries it has left. It counts the last attempts without a break:

1. Attempts of all kinds count, manual ones too: a crash is a crash, whoever asked for it.
2. Anything but a crash ends the row, also a failure that is none (``exit 3``) and a run that was
   stopped. Records without an attempt (skipped, abandoned) and runs that go on are passed over,
   and so is an attempt that was lost before PID 1 executed anything: the job did nothing.
3. What ended before the last reinstatement is forgotten.

A job that went down twice with its host counts as crashing: it may be what brings hosts down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from hostagent.model import Job, Run
from hostagent.policy.outcome import failure, is_crash
from hostagent.policy.words import when

LOST = {"host-lost", "lease-lost"}
"""Results of attempts that ended with their host, wherever they had got to."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``attempts`` are the latest of the (job, scope), at least ``job.quarantine_after`` of them; the
    ledger's records without an attempt may stand among them.
    """

    job: Job
    attempts: tuple[Run, ...]
    reinstated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """It is taken out; ``attempts`` are the crashes that did it, newest first, a sentence each."""

    reason: str
    attempts: tuple[str, ...]


def decide(facts: Facts) -> Quarantine | None:
    """The quarantine, or None: it may go on."""
    crashes = tuple(takewhile(_has_crashed, _that_count(facts)))
    most = facts.job.quarantine_after
    if len(crashes) < most:
        return None
    last = crashes[:most]
    kinds = ", ".join(dict.fromkeys(_how(run) for run in last))
    crashed = f"its last {most} attempts crashed" if most > 1 else "its last attempt crashed"
    reason = f"{crashed} ({kinds}); quarantine_after = {most}"
    return Quarantine(reason, tuple(map(sentence, last)))


def sentence(run: Run) -> str:
    """One attempt: which, where, when, and how it ended."""
    at = f" at {when(run.ended_at)}" if run.ended_at else ""
    how = run.end_reason or _how(run)
    return f"{run.run_id}, attempt {run.attempt} on {run.host}: {how}{at}"


def _that_count(facts: Facts) -> list[Run]:
    """Ended attempts since the reinstatement, in the order of their claims, newest first."""
    ended = [run for run in facts.attempts if run.attempt and run.outcome is not None]
    ran = [run for run in ended if run.started_at is not None or run.result not in LOST]
    since = [run for run in ran if not _is_before(run, facts.reinstated_at)]
    return sorted(since, key=lambda run: run.token, reverse=True)


def _is_before(run: Run, reinstated_at: datetime | None) -> bool:
    ended_at = run.ended_at or run.claimed_at
    return reinstated_at is not None and ended_at is not None and ended_at <= reinstated_at


def _has_crashed(run: Run) -> bool:
    return is_crash(run.outcome, run.result)


def _how(run: Run) -> str:
    return failure(run.result, run.exit_code, run.signal)
