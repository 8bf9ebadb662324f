"""The two sides of a lease: the holder's deadline and the observer's watch (policy.lease)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hostagent.policy.lease import (
    BEAT_ABORT,
    GRACE,
    MARGIN,
    PARK,
    TTL,
    Seen,
    Watch,
    beat_every,
    budget,
    deadline_s,
    may_start,
)

DB1 = Seen("s1", "db1", beat=7, ttl=TTL, has_expired=True)
ttls = st.integers(4_000, 600_000).map(lambda ms: timedelta(milliseconds=ms))
seconds = st.floats(0, 10_000)


def test_the_default_lease_is_kept_by_a_fence_ten_seconds_after_the_beat() -> None:
    """TTL 15 s less 2 s for a beat that hangs, 2 s from TERM to KILL and 1 s of margin."""
    assert deadline_s(100.0, TTL) == 110.0
    assert beat_every(TTL) == timedelta(seconds=3.75)
    whole = budget(TTL)
    assert (whole.abort, whole.grace, whole.margin) == (BEAT_ABORT, GRACE, MARGIN)
    assert budget(PARK) == whole


def test_nothing_starts_from_the_deadline_on() -> None:
    """The fence may fall at any moment from then on; without leases there is none."""
    assert may_start(109.9, 110.0)
    assert not may_start(110.0, 110.0)
    assert may_start(1e9, None)


@given(ttls)
def test_a_lost_beat_does_not_bring_the_fence_down(ttl: timedelta) -> None:
    """One beat fails and the next is answered at the last moment: the new fence is in time."""
    answered = 2 * beat_every(ttl) + budget(ttl).abort
    assert answered.total_seconds() < deadline_s(0.0, ttl)


@given(
    ttl=ttls,
    sent=seconds,
    commit=st.floats(0, 1),
    reply=st.floats(0, 60),
    late=st.floats(0, 60),
    fast=st.floats(-500e-6, 500e-6),
    slow=st.floats(-500e-6, 500e-6),
)
def test_the_holder_is_dead_before_anybody_may_revoke(
    ttl: timedelta,
    sent: float,
    commit: float,
    reply: float,
    late: float,
    fast: float,
    slow: float,
) -> None:
    """However slow beat and look were, and with two clocks whose speeds differ by 0.1 %.

    ``commit``, ``reply`` and ``late`` are delays in true time: until the store took the beat, the
    observer's look at it was answered, and the second look.
    """
    killed_at = sent + (deadline_s(0.0, ttl) + budget(ttl).grace.total_seconds()) * (1 + slow)

    def observers(true: float) -> float:
        return 5_000 + true * (1 + fast)

    seen = replace(DB1, ttl=ttl)
    first_at = sent + commit + reply
    first = Watch().look(observers(first_at), [seen])
    second_at = first_at + ttl.total_seconds() * (1 - fast) + late - 1
    second = first.watch.look(observers(second_at), [seen])
    if second.lapsed:
        assert killed_at < second_at


def test_a_beat_unchanged_for_a_ttl_has_lapsed_with_its_figures() -> None:
    """Both clocks agree: the session may be revoked at the beat that was seen."""
    first = Watch().look(100.0, [DB1])
    assert first.lapsed == ()
    (lapsed,) = first.watch.look(115.0, [DB1]).lapsed
    assert (lapsed.session, lapsed.beat) == ("s1", 7)
    assert lapsed.reason == (
        "db1 has not renewed its lease for 15s (its TTL is 15s), and by the store's clock it is "
        "over"
    )


def test_the_stores_clock_alone_ends_no_lease() -> None:
    """The store's clock was set: everything looks expired, and every holder gets a TTL to beat."""
    look = Watch().look(100.0, [DB1])
    assert look.watch.look(114.9, [DB1]).lapsed == ()


def test_the_observers_clock_alone_ends_no_lease() -> None:
    """The store still gives it time: it is looked at again, not revoked."""
    alive = replace(DB1, has_expired=False)
    look = Watch().look(100.0, [alive]).watch.look(115.0, [alive])
    assert look.lapsed == ()
    assert look.again_at_s == 118.75


def test_a_session_without_a_ttl_is_never_watched() -> None:
    """The store has one host: its sessions are over when the host boots anew."""
    look = Watch().look(100.0, [replace(DB1, ttl=None)])
    assert (look.watch, look.lapsed, look.again_at_s) == (Watch(), (), None)


def test_a_parked_session_is_judged_by_its_own_ttl() -> None:
    """A stopping agent's last beat gives it ten minutes, from when it was seen to have them."""
    look = Watch().look(100.0, [DB1])
    parked = replace(DB1, beat=8, ttl=PARK)
    look = look.watch.look(110.0, [parked])
    assert look.watch.look(709.9, [parked]).lapsed == ()
    assert look.watch.look(710.0, [parked]).lapsed


def test_a_session_that_came_back_is_watched_anew() -> None:
    """What was not seen in between did not stand still in between."""
    look = Watch().look(100.0, [DB1])
    look = look.watch.look(105.0, [])
    look = look.watch.look(115.0, [DB1])
    assert look.lapsed == ()


@given(
    looks=st.lists(
        st.tuples(
            st.floats(0, 20),
            st.dictionaries(
                st.sampled_from("abc"),
                st.tuples(st.integers(0, 1), st.sampled_from([4, 15]), st.booleans()),
            ),
        ),
        max_size=12,
    )
)
def test_a_session_lapses_exactly_when_both_clocks_agree(
    looks: list[tuple[float, dict[str, tuple[int, int, bool]]]],
) -> None:
    """Against the rule as a sentence: every look for a whole TTL saw it stand at this beat."""
    watch, now = Watch(), 0.0
    past: list[tuple[float, dict[str, tuple[int, int, bool]]]] = []
    for step, sessions in looks:
        now += step
        past.append((now, sessions))
        verdict = watch.look(
            now,
            [
                Seen(name, f"host-{name}", beat, timedelta(seconds=ttl), expired)
                for name, (beat, ttl, expired) in sessions.items()
            ],
        )
        watch = verdict.watch
        for name, (beat, ttl, expired) in sessions.items():
            stood_since = now
            for at, others in reversed(past):
                if others.get(name, ())[:2] != (beat, ttl):
                    break
                stood_since = at
            is_lapsed = any(lapsed.session == name for lapsed in verdict.lapsed)
            assert is_lapsed == (expired and now >= stood_since + ttl)
        assert (verdict.again_at_s is None) == (not sessions)
        assert verdict.again_at_s is None or verdict.again_at_s > now


@given(ttl=ttls, start=seconds, died_after=st.integers(0, 20), phase=st.floats(0, 1))
def test_a_dead_holder_is_found_within_its_ttl_and_one_beat(
    ttl: timedelta, start: float, died_after: int, phase: float
) -> None:
    """An observer that looks when it was told to finds it, and never one that still beats."""
    every, ttl_s = beat_every(ttl).total_seconds(), ttl.total_seconds()
    first_beat = start - phase * every
    last_beat = first_beat + died_after * every

    def seen(now: float) -> Seen:
        beat = int(min(died_after, (now - first_beat) // every))
        return Seen("s1", "db1", beat, ttl, now >= first_beat + beat * every + ttl_s)

    watch, now = Watch(), start
    while True:
        verdict = watch.look(now, [seen(now)])
        if verdict.lapsed:
            break
        assert verdict.again_at_s is not None
        watch, now = verdict.watch, verdict.again_at_s
    assert -1e-6 <= now - (last_beat + ttl_s) <= every + 1e-6
