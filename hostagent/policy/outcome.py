"""How an attempt ended, from what systemd says of the service: one table, one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hostagent.model import End, Outcome, Usage
from hostagent.policy.words import ago

SENTENCES = {
    "timeout": "ran into its timeout",
    "watchdog": "sent no heartbeat in time",
    "oom-kill": "was killed because memory ran out",
    "resources": "could not be started: a resource was missing",
    "protocol": "did not follow the start protocol",
    "start-limit-hit": "was started too often",
    "host-lost": "the host went down while it ran",
    "start-refused": (
        "could not be set up: PID 1 gave up three starts before the agent was asked "
        "(a user, group, directory or credential that is missing?)"
    ),
    "unknown": "ended while no agent was up, and the journal does not say how",
}
"""Results that say all by themselves: systemd's (systemd.service(5), $SERVICE_RESULT) and ours."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A service that is no longer running. ``result`` as systemd names it, or ``unknown``."""

    result: str
    exit_code: int | None = None
    signal: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    usage: Usage = field(default_factory=Usage)


def end_of(ended: Ended, stopped: str | None = None) -> End:
    """The final record of an attempt. ``stopped``: the agent's reason, if it stopped the run."""
    outcome = Outcome.SUCCEEDED if ended.result == "success" else Outcome.FAILED
    if stopped is not None:
        outcome = Outcome.ABANDONED
    return End(
        outcome=outcome,
        reason=stopped or _sentence(ended),
        result=ended.result,
        exit_code=ended.exit_code,
        signal=ended.signal,
        ended_at=ended.ended_at,
        usage=ended.usage,
    )


def _sentence(ended: Ended) -> str:
    lasted = ""
    if ended.started_at is not None and ended.ended_at is not None:
        lasted = f" after {ago(ended.ended_at - ended.started_at)}"
    if ended.result == "success":
        return f"finished{lasted}"
    if ended.result.startswith("start-failed: "):
        return f"could not be started: {ended.result.removeprefix('start-failed: ')}"
    if ended.result == "exit-code":
        return f"exited with status {ended.exit_code}{lasted}"
    if ended.result in {"signal", "core-dump"}:
        dumped = " and dumped core" if ended.result == "core-dump" else ""
        return f"was killed by signal {ended.signal}{dumped}{lasted}"
    return SENTENCES.get(ended.result, f"failed with result {ended.result}") + lasted
