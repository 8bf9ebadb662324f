"""When catch-up pauses because what it releases fails; one breaker for each pool and lane.

So a downstream that is broken costs some runs instead of the whole backlog, and holds only its own.
``note`` is told how each released run ended, ``decide`` asked before the next one is released.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hostagent.policy.words import ago, span_text

LOOKED_AT = 10
FAILURES = LOOKED_AT // 2
LEAST, MOST = timedelta(seconds=60), timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Breaker:
    """How the last released runs ended (True: failed), and the pause that followed from it.

    ``until_s`` is a time of CLOCK_BOOTTIME. After it one run is tried, and its end decides.
    """

    failed: tuple[bool, ...] = ()
    pause: timedelta | None = None
    until_s: float = 0.0


def note(breaker: Breaker, now_s: float, *, has_failed: bool) -> Breaker:
    """The breaker after a released run has ended."""
    if breaker.pause is not None:
        if now_s < breaker.until_s:
            return breaker  # released before the pause: it says nothing new
        return _paused(breaker, min(2 * breaker.pause, MOST), now_s) if has_failed else Breaker()
    failed = (*breaker.failed, has_failed)[-LOOKED_AT:]
    breaker = replace(breaker, failed=failed)
    return _paused(breaker, LEAST, now_s) if sum(failed) >= FAILURES else breaker


def decide(breaker: Breaker, now_s: float, going: int) -> str | None:
    """Why nothing of this pool and lane is released now, or None. ``going``: its runs that go."""
    if breaker.pause is None:
        return None
    failed = f"{sum(breaker.failed)} of the last {len(breaker.failed)} released runs failed"
    if now_s < breaker.until_s:
        left = ago(timedelta(seconds=breaker.until_s - now_s))
        return f"{failed}, so it pauses for {span_text(breaker.pause)}, {left} of it are left"
    return f"{failed}, so one is tried, which still goes" if going else None


def _paused(breaker: Breaker, pause: timedelta, now_s: float) -> Breaker:
    return replace(breaker, pause=pause, until_s=now_s + pause.total_seconds())
