"""How much memory a run is expected to need at most, and how much of it is still to come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

LEARNED_AFTER = timedelta(seconds=60)
"""From then on a run of which nothing was known is judged by what it uses."""

UNKNOWN_PERCENT = 10
"""Of RAM: what a job is expected to need of which nothing is known."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


@dataclass(frozen=True, slots=True)
class Peak:
    """In bytes. ``source`` is how it is known; ``is_known`` False: it is a guess."""

    size: int
    source: str
    is_known: bool = True

    def __str__(self) -> str:
        return f"{size_text(self.size)} ({self.source})"


def expected(
    memory_max: int | None, observed: int | None, total: int, *, was_too_low: bool = False
) -> Peak:
    """From the job's ``memory_max``, or the highest peak of its last runs, or the host's RAM.

    ``was_too_low``: memory ran out on that estimate, so it is doubled.
    """
    if memory_max is not None:
        return Peak(memory_max, "memory_max")
    if observed is not None:
        peak = Peak(observed * 11 // 10, "observed peak x 1.1")
    else:
        size = total * UNKNOWN_PERCENT // 100
        peak = Peak(size, f"{UNKNOWN_PERCENT} % of RAM", is_known=False)
    if was_too_low:
        return Peak(2 * peak.size, f"twice {peak.source}: memory ran out on that")
    return peak


def growth(peak: Peak, current: int | None, age: timedelta) -> int:
    """What a run of that age may still take. ``current`` None: nobody counts what it uses.

    Then a peak that is known stays reserved, and one that was a guess is taken for reached.
    """
    is_learned = not peak.is_known and age >= LEARNED_AFTER
    if current is None:
        return 0 if is_learned else peak.size
    return current // 2 if is_learned else max(0, peak.size - current)


def size_text(size: int) -> str:
    """``312 MiB``, ``1.5 GiB``; minus for a lack."""
    if size < 0:
        return f"-{size_text(-size)}"
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    text = f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}"
    return f"{text} {_UNITS[unit]}"
