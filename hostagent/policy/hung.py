"""Whether a run moves on or stands still, as the counters of its unit tell over time.

Standing still is a mark for people, ``hung?``, and no verdict: what sleeps by design, or waits for
something outside its unit, stands still as well. Nothing is stopped for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hostagent.policy.words import span_text

HUNG_AFTER = timedelta(minutes=5)

LOOKS = 4
"""How often a run is looked at within the time after which it is taken for hung."""

NOISE = 1e-4
"""Share of one CPU that may be nothing but a wait: who waits in turns wakes up now and then."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a unit has used since its start, seen at ``at_s`` of CLOCK_MONOTONIC.

    That clock stands still while the host sleeps, as the run does. ``io`` is in bytes, read and
    written. None: nobody counts it.
    """

    at_s: float
    cpu_s: float | None
    io: int | None


@dataclass(frozen=True, slots=True)
class Watch:
    """A run's ``last`` reading, and that after which it was not seen to move (``since``)."""

    since: Reading
    last: Reading


@dataclass(frozen=True, slots=True)
class Still:
    """For how long a run has not been seen to move, and the sentence that says on what evidence."""

    span: timedelta
    reason: str


def every(hung_after: timedelta) -> timedelta:
    """How often to look."""
    return hung_after / LOOKS


def is_unsure(watch: Watch, now: Reading, hung_after: timedelta) -> bool:
    """Whether the counters tell too little: a line may have been printed with what was used.

    Who used no CPU time at all has printed nothing.
    """
    cpu_s = _used(watch.last, now)
    return cpu_s is not None and 0 < cpu_s <= _noise_s(hung_after) and now.io == watch.last.io


def follow(
    watch: Watch | None, now: Reading, hung_after: timedelta, *, has_printed: bool = False
) -> Watch:
    """The watch after another reading; ``has_printed`` counts where the counters are unsure.

    Counters that went back are those of another start. Where nobody counts CPU time, nothing is
    claimed: the run moves.
    """
    if watch is None or has_printed or now.io != watch.last.io:
        return Watch(now, now)
    cpu_s = _used(watch.last, now)
    is_still = cpu_s is not None and 0 <= cpu_s <= _noise_s(hung_after)
    return Watch(watch.since if is_still else now, now)


def decide(watch: Watch, hung_after: timedelta) -> Still | None:
    """What is to be said of a run that stands still; None: it moves, or not for so long yet."""
    span = timedelta(seconds=watch.last.at_s - watch.since.at_s)
    if span < hung_after:
        return None
    cpu = _cpu_text(_used(watch.since, watch.last) or 0.0)
    if watch.last.io is None:
        told = f"has used {cpu}, and has printed nothing, for {span_text(span)}"
        return Still(span, f"{told}; its I/O is not counted here")
    return Still(span, f"has used {cpu} and no I/O, and has printed nothing, for {span_text(span)}")


def _used(before: Reading, after: Reading) -> float | None:
    if before.cpu_s is None or after.cpu_s is None:
        return None
    return after.cpu_s - before.cpu_s


def _noise_s(hung_after: timedelta) -> float:
    """Of one look. When the next one comes late, not more: in a long gap a run may have moved."""
    return NOISE * every(hung_after).total_seconds()


def _cpu_text(cpu_s: float) -> str:
    if not cpu_s:
        return "no CPU time"
    return "under 1ms of CPU time" if cpu_s < 0.001 else f"{cpu_s * 1000:.0f}ms of CPU time"
