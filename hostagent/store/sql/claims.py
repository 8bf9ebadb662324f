"""Claims, final writes and settlements, inside the caller's transaction; see the port.

A claim is a change of the cursor and its ledger row together; the token is the cursor's counter.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.model import End, Kind, Outcome, Run
from hostagent.store.port import (
    Accepted,
    Claimed,
    Finish,
    Refusal,
    Refused,
    Session,
    Settlement,
    Stale,
    Want,
)
from hostagent.store.sql.database import Row, Transaction
from hostagent.store.sql.ledger import named
from hostagent.store.sql.rows import (
    INSERT_RUN,
    SELECT_RUN,
    at,
    cpu_us,
    micros,
    run_of,
    run_values,
)

_DONE = {None, str(Outcome.SUCCEEDED)}
"""What nobody tries again: a run that goes on, or has succeeded."""

_CURSOR = "SELECT * FROM cursor WHERE job=? AND scope=? AND retired=0"


def lock(db: Transaction, names: Collection[tuple[str, str]]) -> None:
    """Nobody else changes these cursors until the transaction ends.

    Everybody locks in one order, of jobs and then of scopes, so that nobody waits in a circle.
    """
    if db.for_update:
        for marks, values in named(names):
            db.execute(
                f"SELECT 1 FROM cursor WHERE (job, scope) IN ({marks}) "
                f"ORDER BY job, scope{db.for_update}",
                values,
            )


def claim(db: Transaction, session: Session, want: Want, now: datetime) -> Claimed | Refused:
    """One claim of an open session, at the store's ``now``."""
    cursor = db.execute(_CURSOR, (want.job, want.scope)).fetchone()
    if cursor is None:
        return Refused(Refusal.UNKNOWN)
    is_scheduled = want.kind is Kind.SCHEDULED
    if is_scheduled and cursor["spec_hash"] != want.spec_hash:
        return Refused(Refusal.SPEC)
    if cursor["active_token"] is not None:
        holder = _active_run(db, want.job, want.scope, cursor["active_token"])
        return Refused(Refusal.ACTIVE, holder)
    if (holder := _run_of_former_name(db, want.job, want.scope)) is not None:
        return Refused(Refusal.ACTIVE, holder)
    opens, follows = is_scheduled and want.attempt == 1, want.attempt > 1
    if follows:
        may_follow = _may_follow_by_hand if want.by_hand else _may_follow
        refusal = may_follow(db, cursor, want, now)
    elif opens:
        refusal = _may_open(cursor, want, now)
    else:
        refusal, want = None, _unused(db, want)
    if refusal is not None:
        return Refused(refusal)
    if opens:
        overtaken = f"superseded by the one of {want.scheduled_for:%Y-%m-%d %H:%M:%S}Z"
        give_up_retry(db, cursor, overtaken)
    run = opened(session, want, cursor["token"] + 1)
    db.execute(INSERT_RUN, run_values(run))
    db.execute(
        "UPDATE cursor SET token=?, active_token=?, high_water=? WHERE job=? AND scope=?",
        (
            run.token,
            run.token,
            micros(run.scheduled_for) if opens else cursor["high_water"],
            run.job,
            run.scope,
        ),
    )
    if follows and _is_awaited(db, cursor, want):
        _clear_retry(db, run.job, run.scope)
    return Claimed(run)


def attach(db: Transaction, key: tuple[str, str, int], invocation_id: str, at: datetime) -> bool:
    """The unit of an active token is starting."""
    held = db.execute(
        f"SELECT 1 FROM cursor WHERE job=? AND scope=? AND active_token=?{db.for_update}", key
    ).fetchone()
    if held:
        db.execute(
            "UPDATE run SET invocation_id=?, started_at=? "
            "WHERE job=? AND scope=? AND token=? AND attempt>0 AND outcome IS NULL",
            (invocation_id or None, micros(at) if invocation_id else None, *key),
        )
    return held is not None


def finish(db: Transaction, one: Finish, now: datetime) -> Accepted | Stale:
    """One final write, at the store's ``now``."""
    key = (one.job, one.scope, one.token)
    held = db.execute(
        "SELECT * FROM cursor WHERE job=? AND scope=? AND active_token=?", key
    ).fetchone()
    if held is None:
        repeated = any(_is_same_end(before, one.end) for before in attempts_of(db, *key))
        return Accepted() if repeated else Stale()
    _write_end(db, one, now)
    db.execute("UPDATE cursor SET active_token=NULL WHERE job=? AND scope=?", key[:2])
    if one.retry_at is not None:
        give_up_retry(db, held, "superseded by another run's retry")
        db.execute(
            "UPDATE cursor SET retry_token=?, retry_at=? WHERE job=? AND scope=?",
            (one.token, micros(one.retry_at), *key[:2]),
        )
    if held["retired"]:
        give_up(db, one.job, one.scope, "not tried again: the job was removed or renamed")
    if held["successor"] is not None:
        db.execute(
            "UPDATE run SET job=? WHERE job=? AND scope=? AND token=? AND attempt>0 "
            "AND NOT EXISTS (SELECT 1 FROM run AS other WHERE other.job=? "
            "AND other.scope=run.scope AND other.kind=run.kind "
            "AND other.scheduled_for=run.scheduled_for AND other.attempt=run.attempt)",
            (held["successor"], *key, held["successor"]),
        )
    return Accepted()


def settle(db: Transaction, one: Settlement) -> Accepted | Refused:
    """One ledger row for occurrences that get no attempt."""
    cursor = db.execute(_CURSOR, (one.job, one.scope)).fetchone()
    if cursor is None:
        return Refused(Refusal.UNKNOWN)
    if cursor["spec_hash"] != one.spec_hash:
        return Refused(Refusal.SPEC)
    if one.first <= at(cursor["high_water"]):
        return Refused(Refusal.PASSED)
    run = Run(
        job=one.job,
        scope=one.scope,
        kind=Kind.SCHEDULED,
        scheduled_for=one.last,
        attempt=0,
        token=0,
        host=one.host,
        reason=one.reason,
        spec_hash=one.spec_hash,
        ended_at=one.at,
        outcome=one.outcome,
        covers_from=one.first,
        covers=one.count,
    )
    db.execute(INSERT_RUN, run_values(run))
    db.execute(
        "UPDATE cursor SET high_water=? WHERE job=? AND scope=?",
        (max(cursor["high_water"], micros(one.last) or 0), one.job, one.scope),
    )
    return Accepted()


def attempts_of(db: Transaction, job: str, scope: str, token: int | None) -> list[Run]:
    """The attempts that were given ``token``, under the name that the job has now.

    One, but where a job was renamed to the name of an earlier one, which used the token, too. Of
    those at most one goes on: its ``outcome`` is None.
    """
    found = db.execute(
        SELECT_RUN + " WHERE job=? AND scope=? AND token=? AND attempt>0", (job, scope, token)
    ).fetchall()
    if found:
        return [run_of(row) for row in found]
    heir = successor_of(db, job, scope)
    return attempts_of(db, heir, scope, token) if heir else []


def _active_run(db: Transaction, job: str, scope: str, token: int) -> Run | None:
    held = (run for run in attempts_of(db, job, scope, token) if run.outcome is None)
    return next(held, None)


def _run_of_former_name(db: Transaction, job: str, scope: str) -> Run | None:
    """The run that goes on under a name that the job had."""
    row = db.execute(
        "SELECT job, active_token FROM cursor "
        "WHERE successor=? AND scope=? AND active_token IS NOT NULL",
        (job, scope),
    ).fetchone()
    return None if row is None else _active_run(db, row["job"], scope, row["active_token"])


def successor_of(db: Transaction, job: str, scope: str) -> str | None:
    """The name under which a renamed job goes on."""
    row = db.execute(
        "SELECT successor FROM cursor WHERE job=? AND scope=?", (job, scope)
    ).fetchone()
    heir: str | None = None if row is None else row["successor"]
    return heir


def give_up(db: Transaction, job: str, scope: str, why: str, token: int | None = None) -> bool:
    """Give up the pending retry of a (job, scope), if there is one (that follows ``token``)."""
    cursor = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", (job, scope)).fetchone()
    if cursor is None or (token is not None and cursor["retry_token"] != token):
        return False
    return give_up_retry(db, cursor, why)


def give_up_retry(db: Transaction, cursor: Row, why: str) -> bool:
    """The attempt that was to be followed stays failed, and says why nothing followed."""
    if cursor["retry_token"] is None:
        return False
    job, scope = cursor["job"], cursor["scope"]
    db.execute(
        "UPDATE run SET end_reason=end_reason || ? "
        "WHERE job=? AND scope=? AND token=? AND attempt>0",
        (f"; {why}", job, scope, cursor["retry_token"]),
    )
    _clear_retry(db, job, scope)
    return True


def _clear_retry(db: Transaction, job: str, scope: str) -> None:
    db.execute(
        "UPDATE cursor SET retry_token=NULL, retry_at=NULL WHERE job=? AND scope=?", (job, scope)
    )


def _is_same_end(before: Run, end: End) -> bool:
    """Whether ``end`` is what was written; ``give_up_retry`` may have added to its reason."""
    said = before.end_reason or ""
    return (before.outcome, before.exit_code, before.signal) == (
        end.outcome,
        end.exit_code,
        end.signal,
    ) and (said == end.reason or said.startswith(f"{end.reason}; "))


def _may_open(cursor: Row, want: Want, now: datetime) -> Refusal | None:
    if want.scheduled_for > now:
        return Refusal.EARLY
    if (want.covers_from or want.scheduled_for) <= at(cursor["high_water"]):
        return Refusal.PASSED
    return None


def _may_follow(db: Transaction, cursor: Row, want: Want, now: datetime) -> Refusal | None:
    if not _is_awaited(db, cursor, want):
        return Refusal.ATTEMPT
    return Refusal.EARLY if at(cursor["retry_at"]) > now else None


def _may_follow_by_hand(db: Transaction, _: Row, want: Want, __: datetime) -> Refusal | None:
    last = db.execute(
        "SELECT attempt, outcome FROM run WHERE job=? AND scope=? AND kind=? AND scheduled_for=? "
        "ORDER BY attempt DESC LIMIT 1",
        (want.job, want.scope, str(want.kind), micros(want.scheduled_for)),
    ).fetchone()
    follows = last is not None and last["attempt"] == want.attempt - 1
    return None if follows and last["outcome"] not in _DONE else Refusal.ATTEMPT


def _is_awaited(db: Transaction, cursor: Row, want: Want) -> bool:
    """Whether this is the attempt that was to follow."""
    expected = (want.kind, want.scheduled_for, want.attempt - 1)
    waiting = attempts_of(db, want.job, want.scope, cursor["retry_token"])
    return any((last.kind, last.scheduled_for, last.attempt) == expected for last in waiting)


def _unused(db: Transaction, want: Want) -> Want:
    """Manual and backfill runs have identities of their own: the next free microsecond."""
    while db.execute(
        "SELECT 1 FROM run WHERE job=? AND scope=? AND kind=? AND scheduled_for=?",
        (want.job, want.scope, str(want.kind), micros(want.scheduled_for)),
    ).fetchone():
        want = replace(want, scheduled_for=want.scheduled_for + timedelta(microseconds=1))
    return want


def opened(session: Session, want: Want, token: int) -> Run:
    """The ledger row of a claim that is given."""
    return Run(
        job=want.job,
        scope=want.scope,
        kind=want.kind,
        scheduled_for=want.scheduled_for,
        attempt=want.attempt,
        token=token,
        host=session.host,
        reason=want.reason,
        spec_hash=want.spec_hash,
        session=session.id,
        boot_id=session.boot_id,
        claimed_at=want.at,
        started_at=want.at if want.invocation_id else None,
        invocation_id=want.invocation_id,
        covers_from=want.covers_from,
        covers=want.covers,
    )


def _write_end(db: Transaction, one: Finish, now: datetime) -> None:
    end, usage = one.end, one.end.usage
    db.execute(
        "UPDATE run SET outcome=?, end_reason=?, result=?, exit_code=?, signal=?, ended_at=?, "
        "cpu_us=?, memory_peak=?, io_read=?, io_written=?, report=?, report_problem=? "
        "WHERE job=? AND scope=? AND token=? AND attempt>0 AND outcome IS NULL",
        (
            str(end.outcome),
            end.reason,
            end.result,
            end.exit_code,
            end.signal,
            micros(end.ended_at or now),
            cpu_us(usage),
            usage.memory_peak,
            usage.io_read,
            usage.io_written,
            end.report,
            end.report_problem,
            one.job,
            one.scope,
            one.token,
        ),
    )
