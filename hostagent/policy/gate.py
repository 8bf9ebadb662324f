"""How many missed runs may go at once. Fresh occurrences are never asked about here.

Today this is the last of the ten rules alone (no signal: one run per two cores); the pressure
of the host comes in with the catch-up gate.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now; ``reason`` is one sentence with its figures."""

    reason: str


def decide(running: int, cores: int) -> Hold | None:
    """Hold one more missed run while ``running`` of them go, or None: it may start."""
    most = max(1, cores // 2)
    if running < most:
        return None
    return Hold(f"held: {running} missed runs go already, at most {most} at once on {cores} cores")
