"""When catch-up pauses because what it releases fails (policy.breaker)."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hostagent.policy.breaker import FAILURES, LEAST, LOOKED_AT, MOST, SLOWER, Breaker, decide, note


def after(*failed: bool, is_shared: bool = False) -> Breaker:
    """So many runs ended at once."""
    breaker = Breaker()
    for one in failed:
        breaker = note(breaker, 0.0, has_failed=one, is_shared=is_shared)
    return breaker


def test_half_of_the_last_ten_is_too_many() -> None:
    """Four are not; nor are five that lie further back."""
    assert decide(after(*[True] * (FAILURES - 1), *[False] * 3), 0.0, 0) is None
    assert decide(after(*[True, False] * (FAILURES - 1), True), 0.0, 0) is not None
    assert decide(after(*[True] * 4, *[False] * LOOKED_AT, True), 0.0, 0) is None


def test_each_failure_of_a_pool_makes_the_next_one_wait_longer() -> None:
    """The first is nobody's fault; after four of ten it is three quarters of a minute."""
    assert decide(after(True, is_shared=True), 0.0, 0) is None
    slow = [after(*[True] * n, is_shared=True).until_s for n in range(1, FAILURES)]
    assert slow == [n * SLOWER.total_seconds() for n in range(FAILURES - 1)]
    waiting = after(True, True, is_shared=True)
    assert (
        decide(waiting, 1.0, 3)
        == "2 of the last 2 runs that caught up failed, so the next one waits 14s more"
    )
    assert decide(waiting, 15.0, 3) is None
    assert note(waiting, 20.0, has_failed=False, is_shared=True).until_s == waiting.until_s
    assert note(waiting, 30.0, has_failed=True, is_shared=True).until_s == 60.0


def test_jobs_without_a_pool_do_not_wait_for_each_others_failures() -> None:
    """They need not ask the same; half of ten is too many for them, too."""
    assert decide(after(*[True] * (FAILURES - 1)), 0.0, 0) is None


def test_after_the_pause_one_run_is_tried() -> None:
    """If it fails the pause doubles, up to ten minutes; if it succeeds all is forgotten."""
    breaker, now_s, pauses = after(*[True] * FAILURES), 0.0, []
    for _ in range(6):
        assert breaker.pause is not None
        pauses.append(breaker.pause)
        assert decide(breaker, breaker.until_s - 1, 0) is not None
        now_s = breaker.until_s
        assert decide(breaker, now_s, 0) is None
        assert decide(breaker, now_s, 1) is not None
        breaker = note(breaker, now_s, has_failed=True)
    assert pauses == [timedelta(minutes=m) for m in (1, 2, 4, 8, 10, 10)]
    assert (pauses[0], pauses[-1]) == (LEAST, MOST)
    assert note(breaker, breaker.until_s, has_failed=False) == Breaker()


@given(st.lists(st.booleans(), max_size=30))
def test_what_ends_during_the_pause_changes_nothing(failed: list[bool]) -> None:
    """It was released before."""
    breaker = after(*[True] * FAILURES)
    for one in failed:
        assert note(breaker, 1.0, has_failed=one) == breaker
