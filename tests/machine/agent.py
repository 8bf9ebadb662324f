"""The agent inside a machine: installed as an administrator does it, asked as a script asks.

Jobs of these tests leave their own history, which owes nothing to the ledger: ``WORK`` appends a
line to ``HISTORY`` when it starts and when it ends. What the ledger says is compared with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.machine.guest import Guest, MachineError

LONG = bool(os.environ.get("HOSTAGENT_LONG"))
"""Run the long loops in full."""

SETTLE_NOT = '[gate]\nsettle = "0s"\n'
"""In agent.toml: catch-up begins at once, where a test is about what is caught up."""

PAUSED = "hostagent pause --host --reason 'end of the test'"

WORK = "/usr/local/bin/work"
HISTORY = "/root/history"

_WORK = f"""#!/bin/bash
# work SECONDS: says that it starts, takes its time, says that it ends.
run="$HOSTAGENT_JOB ${{HOSTAGENT_SCOPE:--}} $HOSTAGENT_RUN_ID $HOSTAGENT_TOKEN"
say() {{ echo "$1 $run $EPOCHREALTIME" >>{HISTORY}; }}
say start
sleep "${{1:-0}}"
say end
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job's own history; ``at`` is in seconds since the epoch."""

    what: str
    job: str
    scope: str
    run_id: str
    token: int
    at: float


def with_agent(machine: Guest, jobs: str = "", settings: str = SETTLE_NOT) -> Guest:
    """Install and start the agent, and deploy ``jobs`` (the text of a jobs.toml).

    ``settings`` is its agent.toml.
    """
    machine.write(WORK, _WORK, 0o755)
    machine.write("/etc/hostagent/agent.toml", settings)
    machine.succeed("hostagent agent install")
    if jobs:
        apply(machine, jobs)
    return machine


def apply(machine: Guest, jobs: str) -> str:
    """Write jobs.toml and apply it; returns what apply printed."""
    machine.write("/etc/hostagent/jobs.toml", jobs)
    return machine.succeed("hostagent apply")


def runs(machine: Guest, job: str = "") -> list[dict[str, Any]]:
    """The ledger's rows, oldest first."""
    rows: list[dict[str, Any]] = json.loads(
        machine.succeed(f"hostagent runs {job} -n 100000 --json")
    )
    return rows[::-1]


def wait_for_runs(
    machine: Guest,
    job: str,
    enough: Callable[[list[dict[str, Any]]], bool],
    timeout: float = 20,
) -> list[dict[str, Any]]:
    """The rows of ``job``, once ``enough`` says that they are what is waited for."""
    end = time.monotonic() + timeout
    while not enough(rows := runs(machine, job)):
        if time.monotonic() > end:
            shown = "\n".join(f"{row['run_id']} {row['outcome']} {row['reason']}" for row in rows)
            raise MachineError(f"{job}: not the runs waited for within {timeout} s:\n{shown}")
        time.sleep(0.1)
    return rows


def ended(count: int, outcome: str | None = None) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether ``count`` runs have (this) outcome."""

    def enough(rows: list[dict[str, Any]]) -> bool:
        return (
            sum(r["outcome"] is not None and outcome in {None, r["outcome"]} for r in rows) >= count
        )

    return enough


def audit(machine: Guest) -> dict[str, Any]:
    """What ``hostagent audit`` says; it must find no difference."""
    found: dict[str, Any] = json.loads(machine.succeed("hostagent audit --json"))
    assert found["differences"] == []
    return found


def history(machine: Guest, job: str | None = None) -> list[Line]:
    """What the jobs themselves wrote down, in order."""
    return read_history(machine.run(f"cat {HISTORY} 2>/dev/null").stdout, job)


def read_history(text: str, job: str | None = None) -> list[Line]:
    """The lines of ``work``; the last one may be torn, where a power cut ended it."""
    lines = []
    for words in (line.split() for line in text.splitlines()):
        if len(words) != 6:
            continue
        what, name, scope, run_id, token, at = words
        line = Line(what, name, scope.replace("-", "", 1), run_id, int(token), float(at))
        if job in {None, name}:
            lines.append(line)
    return lines


def check_history(lines: Sequence[Line]) -> None:
    """No run started twice, no two of a job at once, tokens strictly grow: promise 1."""
    started = [line.run_id for line in lines if line.what == "start"]
    assert len(started) == len(set(started)), sorted(r for r in started if started.count(r) > 1)
    tokens: dict[tuple[str, str], int] = {}
    for line in lines:
        if line.what == "start":
            name = (line.job, line.scope)
            assert line.token > tokens.get(name, 0), f"{line} after token {tokens[name]}"
            tokens[name] = line.token


def next_of(machine: Guest, job: str) -> datetime:
    """The next occurrence of a job."""
    (row,) = json.loads(machine.succeed(f"hostagent next {job} -n 1 --json"))
    return datetime.fromisoformat(row["scheduled_for"])


def status(machine: Guest) -> dict[str, Any]:
    """What the agent says of itself."""
    answer: dict[str, Any] = json.loads(machine.succeed("hostagent agent status --json"))
    return answer


def agent_pid(machine: Guest) -> int:
    """The agent's main process, in the machine's own count; 0: there is none."""
    return int(machine.succeed("systemctl show -P MainPID hostagent.service"))


def kill_agent(machine: Guest) -> None:
    """SIGKILL, as the kernel's OOM killer would; systemd starts it again."""
    machine.run("systemctl kill --signal=KILL --kill-whom=main hostagent.service")


def wait_for_agent(machine: Guest, timeout: float = 20) -> None:
    """Wait until the agent answers."""
    machine.wait_until("hostagent agent status", timeout)


def instant(text: str) -> datetime:
    """An RFC 3339 time of the command line's JSON."""
    return datetime.fromisoformat(text)


def now() -> datetime:
    """The machine's clock is the host's."""
    return datetime.now(UTC)
