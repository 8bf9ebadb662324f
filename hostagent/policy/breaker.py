"""When catch-up slows down or pauses because what it releases fails; one for each pool and lane.

So a downstream that is broken costs some runs instead of the whole backlog, and holds only its own.
Jobs of a pool share a downstream: from the second failure on of the last ten, each keeps the pool's
next run waiting, the longer the more have failed. Where half of the last ten failed, whosever they
are, it pauses. ``note`` is told how each released run ended, ``decide`` asked before the next one
is released.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hostagent.policy.words import ago, span_text

LOOKED_AT = 10
FAILURES = LOOKED_AT // 2
LEAST, MOST = timedelta(seconds=60), timedelta(minutes=10)
SLOWER = timedelta(seconds=15)
"""How long a pool's next run waits after a failure, for each failure of the last ten before it."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """How the last released runs ended (True: failed), and the pause that followed from it.

    ``until_s`` is a time of CLOCK_BOOTTIME; nothing is released before. After a pause one run is
    tried, and its end decides.
    """

    failed: tuple[bool, ...] = ()
    pause: timedelta | None = None
    until_s: float = 0.0


def note(breaker: Breaker, now_s: float, *, has_failed: bool, is_shared: bool = False) -> Breaker:
    """The breaker after a released run has ended. ``is_shared``: it is that of a pool."""
    if breaker.pause is not None:
        if now_s < breaker.until_s:
            return breaker  # released before the pause: it says nothing new
        return _paused(breaker, min(2 * breaker.pause, MOST), now_s) if has_failed else Breaker()
    failed = (*breaker.failed, has_failed)[-LOOKED_AT:]
    breaker = replace(breaker, failed=failed)
    if sum(failed) >= FAILURES:
        return _paused(breaker, LEAST, now_s)
    if not (has_failed and is_shared):
        return breaker
    until_s = now_s + SLOWER.total_seconds() * (sum(failed) - 1)
    return replace(breaker, until_s=max(until_s, breaker.until_s))


def decide(breaker: Breaker, now_s: float, going: int) -> str | None:
    """Why nothing of this pool and lane is released now, or None. ``going``: its runs that go."""
    is_waiting = now_s < breaker.until_s
    if breaker.pause is None and not is_waiting:
        return None
    failed = f"{sum(breaker.failed)} of the last {len(breaker.failed)} runs that caught up failed"
    left = ago(timedelta(seconds=breaker.until_s - now_s))
    if breaker.pause is None:
        return f"{failed}, so the next one waits {left} more"
    if is_waiting:
        return f"{failed}, so none starts for {span_text(breaker.pause)}, {left} of it are left"
    return f"{failed}, so one is tried alone, which still runs" if going else None


def _paused(breaker: Breaker, pause: timedelta, now_s: float) -> Breaker:
    return replace(breaker, pause=pause, until_s=now_s + pause.total_seconds())
