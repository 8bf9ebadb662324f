"""The ledger as people and scripts read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.codec import rfc3339
from hostagent.model import Run
from hostagent.policy.words import when

RUNNING = "running"
"""The state of a run that PID 1 has started."""


@dataclass(frozen=True, slots=True)
class Hung:
    """What the agent says of a run that goes on and does not seem to move."""

    since: datetime
    because: str

    def __str__(self) -> str:
        """``has used no CPU time …, since 2026-11-21 02:10:05Z``."""
        return f"{self.because}, since {when(self.since.replace(microsecond=0))}"


def run_json(run: Run, hung: Hung | None = None) -> dict[str, Any]:
    """One ledger row for ``--json``; the keys are an interface (docs/reference/json.md)."""

    def at(value: Any) -> str | None:
        return rfc3339(value) if value is not None else None

    return {
        "run_id": run.run_id,
        "job": run.job,
        "scope": run.scope,
        "scheduled_for": at(run.scheduled_for),
        "kind": str(run.kind),
        "host": run.host,
        "attempt": run.attempt,
        "token": run.token,
        "started_at": at(run.started_at),
        "ended_at": at(run.ended_at),
        "outcome": str(run.outcome) if run.outcome else None,
        "reason": run.end_reason or run.reason,
        "admission": run.reason,
        "result": run.result,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "cpu_s": run.usage.cpu_s,
        "memory_peak": run.usage.memory_peak,
        "io_read": run.usage.io_read,
        "io_written": run.usage.io_written,
        "invocation_id": run.invocation_id,
        "covers_from": at(run.covers_from),
        "covers": run.covers,
        "hung_since": at(hung.since) if hung else None,
        "hung_because": hung.because if hung else None,
        "report": json.loads(run.report) if run.report else None,
        "report_problem": run.report_problem,
    }


def state_of(run: Run) -> str:
    """The outcome, or what the run is doing."""
    if run.outcome is not None:
        return str(run.outcome)
    return RUNNING if run.invocation_id else "starting"
