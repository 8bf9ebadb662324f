"""Rows to model types and back: the one place that knows the columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.model import Alarm, Kind, Only, Outcome, Run, Usage
from hostagent.store.port import (
    AuditEvent,
    Backfill,
    Decision,
    Pause,
    PauseTarget,
    Quarantine,
    SpecRecord,
)
from hostagent.store.sql.database import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

RUN_COLUMNS = (
    "job, scope, kind, scheduled_for, attempt, token, host, reason, spec_hash, session, boot_id, "
    "claimed_at, started_at, ended_at, outcome, end_reason, result, exit_code, signal, cpu_us, "
    "memory_peak, io_read, io_written, invocation_id, covers_from, covers, report, report_problem"
)


INSERT_RUN = f"INSERT INTO run ({RUN_COLUMNS}) VALUES ({', '.join('?' * 28)})"
SELECT_RUN = f"SELECT {RUN_COLUMNS} FROM run"


def micros(at: datetime | None) -> int | None:
    """Microseconds since the epoch."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


def instant(value: int | None) -> datetime | None:
    """The inverse of ``micros``."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def at(value: int) -> datetime:
    """``instant`` of what is never null."""
    return _EPOCH + timedelta(microseconds=value)


def interval_us(length: timedelta | None) -> int | None:
    """Microseconds."""
    return None if length is None else length // _MICROSECOND


def interval(value: int | None) -> timedelta | None:
    """The inverse of ``interval_us``."""
    return None if value is None else timedelta(microseconds=value)


def run_values(run: Run) -> tuple[Any, ...]:
    """A ledger row, in the order of ``RUN_COLUMNS``."""
    usage = run.usage
    return (
        run.job,
        run.scope,
        str(run.kind),
        micros(run.scheduled_for),
        run.attempt,
        run.token,
        run.host,
        run.reason,
        run.spec_hash,
        run.session,
        run.boot_id,
        micros(run.claimed_at),
        micros(run.started_at),
        micros(run.ended_at),
        run.outcome and str(run.outcome),
        run.end_reason,
        run.result,
        run.exit_code,
        run.signal,
        cpu_us(usage),
        usage.memory_peak,
        usage.io_read,
        usage.io_written,
        run.invocation_id,
        micros(run.covers_from),
        run.covers,
        run.report,
        run.report_problem,
    )


def cpu_us(usage: Usage) -> int | None:
    """CPU time as the ledger keeps it, in microseconds."""
    return None if usage.cpu_s is None else round(usage.cpu_s * 1e6)


def run_of(row: Row) -> Run:
    """A ledger row as a Run."""
    return Run(
        job=row["job"],
        scope=row["scope"],
        kind=Kind(row["kind"]),
        scheduled_for=at(row["scheduled_for"]),
        attempt=row["attempt"],
        token=row["token"],
        host=row["host"],
        reason=row["reason"],
        spec_hash=row["spec_hash"],
        session=row["session"],
        boot_id=row["boot_id"],
        claimed_at=instant(row["claimed_at"]),
        started_at=instant(row["started_at"]),
        ended_at=instant(row["ended_at"]),
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        end_reason=row["end_reason"],
        result=row["result"],
        exit_code=row["exit_code"],
        signal=row["signal"],
        usage=Usage(
            cpu_s=None if row["cpu_us"] is None else row["cpu_us"] / 1e6,
            memory_peak=row["memory_peak"],
            io_read=row["io_read"],
            io_written=row["io_written"],
        ),
        invocation_id=row["invocation_id"],
        covers_from=instant(row["covers_from"]),
        covers=row["covers"],
        report=row["report"],
        report_problem=row["report_problem"],
    )


def spec_of(row: Row) -> SpecRecord:
    """A job_spec row."""
    return SpecRecord(
        row["job"],
        row["seq"],
        row["hash"],
        row["schedule"],
        tuple(json.loads(row["scopes"])),
        at(row["valid_from"]),
        instant(row["valid_to"]),
        row["host"],
    )


def pause_of(row: Row) -> Pause:
    """A pause row."""
    return Pause(
        PauseTarget(row["target"]),
        row["name"],
        row["reason"],
        row["by_whom"],
        at(row["since"]),
        instant(row["until"]),
    )


def backfill_of(row: Row) -> Backfill:
    """A backfill row."""
    return Backfill(
        row["job"],
        row["scope"],
        at(row["first"]),
        at(row["last"]),
        Only(row["only_those"]),
        row["by_whom"],
        at(row["since"]),
    )


def quarantine_values(one: Quarantine) -> tuple[Any, ...]:
    """A quarantine row."""
    return (
        one.job,
        one.scope,
        micros(one.since),
        one.host,
        one.reason,
        json.dumps(one.attempts),
        one.evidence,
        one.report,
    )


def quarantine_of(row: Row) -> Quarantine:
    """The inverse of ``quarantine_values``."""
    return Quarantine(
        row["job"],
        row["scope"],
        at(row["since"]),
        row["host"],
        row["reason"],
        tuple(json.loads(row["attempts"])),
        row["evidence"],
        row["report"],
    )


def alarm_values(one: Alarm) -> tuple[Any, ...]:
    """An alarm row."""
    return (
        one.job,
        one.scope,
        one.kind,
        micros(one.since),
        one.reason,
        micros(one.over_at),
        json.dumps(one.told),
        json.dumps(one.untold),
        one.tries,
        micros(one.due_at),
    )


def alarm_of(row: Row) -> Alarm:
    """The inverse of ``alarm_values``."""
    return Alarm(
        row["job"],
        row["scope"],
        row["kind"],
        at(row["since"]),
        row["reason"],
        instant(row["over_at"]),
        tuple(json.loads(row["told"])),
        tuple(json.loads(row["untold"])),
        row["tries"],
        instant(row["due_at"]),
    )


def decision_of(row: Row) -> Decision:
    """A decision row."""
    return Decision(
        row["job"],
        row["scope"],
        at(row["at"]),
        row["verdict"],
        row["reason"],
        instant(row["scheduled_for"]),
    )


def event_of(row: Row) -> AuditEvent:
    """An audit_log row."""
    return AuditEvent(
        at(row["at"]), row["uid"], row["host"], row["action"], row["target"], row["detail"]
    )
