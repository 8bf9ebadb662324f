"""What the jobs of a cluster write down themselves: a history that owes nothing to the ledger.

The program ``WORK`` appends to one file for each host, in a directory of the test's that every
machine sees as ``PLACE``. The host's kernel holds what was written at once: a kill of the
job, or a power cut of its machine, takes away at most the line under way. Container machines share
one kernel's clocks, so the lines of all hosts have one order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WORK = "/usr/local/bin/work"
PLACE = "/history"
EVERY_S = 0.1

PROGRAM = f"""#!/bin/bash
# work SECONDS [stubborn]: says that it starts, then every {EVERY_S} s that it lives, then that it
# ends. A stubborn one ignores SIGTERM. No process but this one, and nothing kept back.
[ "${{2-}}" != stubborn ] || trap '' TERM
exec 3>>"{PLACE}/$HOSTNAME" 4<> <(:)
say() {{
    local up
    read -r up _ </proc/uptime
    printf '%s %s %s %s %s %s %s %s %s\\n' "$1" "$HOSTAGENT_JOB" "${{HOSTAGENT_SCOPE:--}}" \\
        "$HOSTAGENT_RUN_ID" "$HOSTAGENT_ATTEMPT" "$HOSTAGENT_TOKEN" "$HOSTNAME" \\
        "$EPOCHREALTIME" "$up" >&3
}}
printf -v lasts '%.0f' "${{1:-0}}e6"
say start
until=$((${{EPOCHREALTIME/./}} + lasts))
while left=$((until - ${{EPOCHREALTIME/./}})); ((left > 0)); do
    ((left < 100000)) || left=100000
    printf -v left '0.%06d' "$left"
    read -r -t "$left" -u 4
    ((until <= ${{EPOCHREALTIME/./}})) || say beat
done
say end
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a job's history. ``at`` is CLOCK_REALTIME, ``boottime`` CLOCK_BOOTTIME, in s."""

    what: str
    job: str
    scope: str
    run_id: str
    attempt: int
    token: int
    host: str
    at: float
    boottime: float


def read(place: Path) -> list[Line]:
    """The lines of all hosts in ``place``, in the order in which they were written."""
    lines = [
        line for file in sorted(place.iterdir()) for line in parse(file.read_text().split("\n"))
    ]
    return sorted(lines, key=lambda line: line.at)


def parse(texts: Iterable[str]) -> list[Line]:
    """The lines that are whole; a power cut may have torn one."""
    lines = []
    for text in texts:
        words = text.split(" ")
        try:
            what, job, scope, run_id, attempt, token, host, at, boottime = words
            lines.append(
                Line(
                    what,
                    job,
                    "" if scope == "-" else scope,
                    run_id,
                    int(attempt),
                    int(token),
                    host,
                    float(at),
                    float(boottime),
                )
            )
        except ValueError:
            continue
    return lines
