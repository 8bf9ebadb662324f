"""When a run is shown as hung?, and what is said of it (policy.hung)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.policy.hung import (
    HUNG_AFTER,
    NOISE,
    Reading,
    Watch,
    decide,
    every,
    follow,
    is_unsure,
)

EVERY_S = every(HUNG_AFTER).total_seconds()
NOISE_S = NOISE * EVERY_S
START = Reading(1000.0, 0.4, 4096)


def later(
    reading: Reading, *, cpu_s: float = 0.0, io: int = 0, after_s: float = EVERY_S
) -> Reading:
    """The next look, with what was used since."""
    before_s, before = reading.cpu_s or 0.0, reading.io or 0
    return Reading(reading.at_s + after_s, before_s + cpu_s, before + io)


def still_for(looks: int, start: Reading = START) -> Watch:
    """A run that has used nothing for so many looks."""
    watch = follow(None, start, HUNG_AFTER)
    for _ in range(looks):
        now = replace(watch.last, at_s=watch.last.at_s + EVERY_S)
        watch = follow(watch, now, HUNG_AFTER)
    return watch


def test_it_is_marked_after_the_time_and_not_before() -> None:
    """The time counts from the first look: what was before, nobody has seen."""
    assert decide(still_for(3), HUNG_AFTER) is None
    still = decide(still_for(4), HUNG_AFTER)
    assert still is not None
    assert still.span == HUNG_AFTER
    assert still.reason == "has used no CPU time and no I/O, and has printed nothing, for 5min"


def test_the_span_grows_with_each_look() -> None:
    """It says for how long it was seen to stand still."""
    still = decide(still_for(40), HUNG_AFTER)
    assert still is not None
    assert still.span == timedelta(minutes=50)


@pytest.mark.parametrize(
    "used",
    [{"cpu_s": NOISE_S * 1.01}, {"cpu_s": 60.0}, {"io": 1}, {"cpu_s": 0.001, "io": 512}],
    ids=["a little CPU", "CPU", "I/O", "both"],
)
def test_what_works_moves(used: dict[str, float]) -> None:
    """One look that sees anything ends it, however long it lasted; the time counts anew."""
    watch = still_for(100)
    now = later(watch.last, **used)  # type: ignore[arg-type]
    assert not is_unsure(watch, now, HUNG_AFTER)
    watch = follow(watch, now, HUNG_AFTER)
    assert watch == Watch(now, now)
    assert decide(watch, HUNG_AFTER) is None


def test_so_little_that_only_its_output_tells() -> None:
    """Who waits in turns wakes up now and then; who prints a line uses no more than that."""
    watch = still_for(4)
    now = later(watch.last, cpu_s=NOISE_S * 0.9)
    assert is_unsure(watch, now, HUNG_AFTER)
    assert follow(watch, now, HUNG_AFTER, has_printed=True) == Watch(now, now)
    still = decide(follow(watch, now, HUNG_AFTER), HUNG_AFTER)
    assert still is not None
    assert still.reason.startswith("has used 7ms of CPU time and no I/O, and has printed nothing")


def test_nobody_asks_for_the_output_of_what_used_nothing() -> None:
    """It cannot have printed anything."""
    watch = still_for(4)
    assert not is_unsure(watch, later(watch.last), HUNG_AFTER)


def test_noise_is_told_as_what_it_is() -> None:
    """A figure that is rounded to nothing would not be true."""
    watch = follow(still_for(4), later(still_for(4).last, cpu_s=0.0002), HUNG_AFTER)
    still = decide(watch, HUNG_AFTER)
    assert still is not None
    assert still.reason.startswith("has used under 1ms of CPU time and no I/O")


@pytest.mark.parametrize("io", [4096, 0], ids=["CPU", "both"])
def test_counters_that_go_back_are_those_of_another_start(io: int) -> None:
    """PID 1 counts anew when the unit starts again."""
    watch = still_for(100)
    now = Reading(watch.last.at_s + EVERY_S, 0.001, io)
    assert not is_unsure(watch, now, HUNG_AFTER)
    assert follow(watch, now, HUNG_AFTER) == Watch(now, now)


def test_where_io_is_not_counted_that_is_said() -> None:
    """A user's manager, a container: the mark stands on less, and says so."""
    still = decide(still_for(4, Reading(0.0, 0.4, None)), HUNG_AFTER)
    assert still is not None
    assert still.reason == (
        "has used no CPU time, and has printed nothing, for 5min; its I/O is not counted here"
    )


def test_where_no_cpu_time_is_counted_nothing_is_claimed() -> None:
    """No evidence, no mark."""
    assert decide(still_for(100, Reading(0.0, None, 4096)), HUNG_AFTER) is None


def test_a_look_that_comes_late_does_not_allow_for_more_noise() -> None:
    """In a long gap a run may have moved and have come to rest again: nobody saw it."""
    watch = follow(None, START, HUNG_AFTER)
    now = later(START, cpu_s=NOISE_S * 1.5, after_s=100 * EVERY_S)
    assert follow(watch, now, HUNG_AFTER) == Watch(now, now)


def test_who_used_nothing_in_a_long_gap_is_marked_at_once() -> None:
    """That it did not move is certain."""
    watch = follow(follow(None, START, HUNG_AFTER), later(START, after_s=7200), HUNG_AFTER)
    still = decide(watch, HUNG_AFTER)
    assert still is not None
    assert still.span == timedelta(hours=2)


steps = st.tuples(
    st.sampled_from([0.0, 0.0, NOISE_S / 2, NOISE_S * 2, 10.0]),
    st.sampled_from([0, 0, 0, 4096]),
    st.booleans(),
    st.sampled_from([EVERY_S, EVERY_S, 3 * EVERY_S]),
)


@given(st.lists(steps, max_size=40))
def test_the_mark_is_there_exactly_while_nothing_was_seen_for_so_long(
    taken: list[tuple[float, int, bool, float]],
) -> None:
    """Against a plain count of the time since the last look that saw something."""
    watch, reading, quiet_s = follow(None, START, HUNG_AFTER), START, 0.0
    for cpu_s, io, printed, after_s in taken:
        reading = later(reading, cpu_s=cpu_s, io=io, after_s=after_s)
        has_printed = printed and is_unsure(watch, reading, HUNG_AFTER)
        has_moved = cpu_s > NOISE_S or io > 0 or has_printed
        watch = follow(watch, reading, HUNG_AFTER, has_printed=has_printed)
        quiet_s = 0.0 if has_moved else quiet_s + after_s
        still = decide(watch, HUNG_AFTER)
        assert (still is not None) == (quiet_s >= HUNG_AFTER.total_seconds())
        if still is not None:
            assert still.span.total_seconds() == pytest.approx(quiet_s)
