"""Running a program beside the agent: as a transient unit of PID 1, not as the agent's child.

The agent itself has no network, no new privileges and hardly a file that it may write. What is run
for its messages needs some of these, and must not take the agent's memory or time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

LIMIT_S = 60
"""How long it may take; then PID 1 ends it."""

_LATER_S = 10
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended: its exit status, and the last line that it printed."""

    status: int
    line: str


async def run(command: Sequence[str], told: bytes, *, unit: str, user: bool, does: str) -> Done:
    """Run ``command`` as ``unit`` with ``told`` on its standard input, as root or this user.

    ``does`` says for what, in the unit's description. What cannot be run, or takes too long, is
    told as a failure of it.
    """
    asked = [
        "systemd-run",
        *(["--user"] if user else []),
        *("--quiet", "--pipe", "--wait", "--collect", "--service-type=exec"),
        f"--unit={unit}",
        f"--description=hostagent, {does}",
        *(["--setenv=PYTHONDONTWRITEBYTECODE=1"] if sys.dont_write_bytecode else []),
        f"--property=RuntimeMaxSec={LIMIT_S}",
        "--property=TimeoutStopSec=5",
        "--",
        *command,
    ]
    try:
        process = await asyncio.create_subprocess_exec(
            *asked,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        return Done(127, str(error))
    try:
        async with asyncio.timeout(LIMIT_S + _LATER_S):
            printed, _ = await process.communicate(told)
    except TimeoutError:
        return Done(124, f"did not end within {LIMIT_S} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    lines = printed.decode(errors="replace").strip().splitlines()
    return Done(process.returncode or 0, lines[-1][:_LONGEST] if lines else "")
