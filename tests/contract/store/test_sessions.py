"""Who is here: facts about sessions, their leases, and what hangs on them, one rule each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from hostagent.model import Outcome
from hostagent.store.port import (
    MAX_SKEW,
    Accepted,
    Claimed,
    Over,
    Pause,
    PauseTarget,
    Presence,
    Profile,
    Refusal,
    Refused,
    Renewed,
    Session,
    Store,
)
from tests.contract.store.builders import (
    FUTURE,
    T0,
    claimed,
    cursor,
    finish,
    job,
    out,
    ran,
    settlement,
    t,
    want,
)

TTL = timedelta(seconds=15)
NONE = timedelta(microseconds=1)
"""A time to live that has passed by the next call."""
MINE = Profile("1.2", "5f5f", ("disk=ssd", "rack=4"))


@pytest.fixture
def leased(store: Store) -> Session:
    """A session that expires in 15 s."""
    return store.open_session("one", "boot-1", ttl=TTL, profile=MINE)


def presence(store: Store, session: Session) -> Presence:
    """The session as the others see it."""
    (one,) = (p for p in store.sessions() if p.session == session)
    return one


def generation(store: Store, session: Session) -> int:
    """What a beat says now."""
    answer = store.beat(session)
    assert isinstance(answer, Renewed)
    return answer.generation


def test_the_others_see_who_is_here(store: Store, leased: Session) -> None:
    """By host, with what each told of itself, its beat, its own TTL and how many claims it has."""
    zoe, bob = store.open_session("zoe", "boot-9"), store.open_session("bob", "boot-9")
    claimed(store, leased, want(1))
    seen = Presence(leased, MINE, 0, TTL, is_live=True, has_expired=False, claims=1)
    assert [p.session for p in store.sessions()] == [bob, leased, zoe]
    assert presence(store, leased) == seen
    assert presence(store, zoe) == Presence(zoe, Profile(), 0, None, True, False, 0)


def test_a_beat_moves_the_deadline(store: Store) -> None:
    """From the store's now on; it can be late: nothing ends by itself."""
    session = store.open_session("one", "boot-1", ttl=NONE, profile=MINE)
    assert presence(store, session).has_expired
    before = store.now()
    answer = store.beat(session, ttl=TTL)
    assert isinstance(answer, Renewed)
    assert before <= answer.now <= store.now()
    assert presence(store, session) == Presence(session, MINE, 1, TTL, True, False, 0)


def test_a_beat_changes_what_it_says_and_no_more(store: Store, leased: Session) -> None:
    """TTL and profile are the session's own from then on; a parked one stands for ten minutes."""
    parked = timedelta(minutes=10)
    store.beat(leased, ttl=parked)
    store.beat(leased, profile=Profile(draining=True))
    store.beat(leased)
    seen = presence(store, leased)
    assert (seen.beat, seen.ttl, seen.profile) == (3, parked, Profile(draining=True))


def test_going_on_renews(store: Store, leased: Session) -> None:
    """With the TTL and the profile of the agent that goes on, whatever they were."""
    assert store.open_session("one", "boot-1", leased.id, ttl=NONE) == leased
    seen = presence(store, leased)
    assert (seen.beat, seen.ttl, seen.profile, seen.has_expired) == (1, NONE, Profile(), True)
    assert store.open_session("one", "boot-1", leased.id) == leased
    assert presence(store, leased).ttl is None


def test_without_a_ttl_nothing_expires(store: Store, session: Session) -> None:
    """The store of one host: a session is over when the host boots anew."""
    store.beat(session)
    seen = presence(store, session)
    assert (seen.ttl, seen.has_expired) == (None, False)
    assert not store.revoke(session.id, seen.beat)


def test_what_has_expired_claims_nothing(store: Store) -> None:
    """Its claims may be another's soon; a beat that succeeds makes it whole again."""
    session = store.open_session("one", "boot-1", ttl=NONE)
    assert store.claim(session, [want(1)]) == [Refused(Refusal.SESSION)]
    assert cursor(store).token == 0
    store.beat(session, ttl=TTL)
    claimed(store, session, want(1))


def test_what_has_expired_and_beats_no_more_is_revoked(store: Store) -> None:
    """Then no beat and no claim succeeds, and it is not gone on with."""
    session = store.open_session("one", "boot-1", ttl=NONE)
    assert store.revoke(session.id, 0)
    assert store.beat(session, ttl=TTL) == Over()
    assert store.claim(session, [want(1)]) == [Refused(Refusal.SESSION)]
    assert store.open_session("one", "boot-1", session.id, ttl=TTL) != session
    assert session not in [p.session for p in store.sessions()]


def test_a_revocation_needs_the_deadline_and_the_beat(store: Store, leased: Session) -> None:
    """Neither one that has time left nor one that has beaten since is ended."""
    assert not store.revoke(leased.id, 0)
    store.beat(leased, ttl=NONE)
    assert not store.revoke(leased.id, 0)
    assert not store.revoke(leased.id, 2)
    assert presence(store, leased).is_live
    assert store.revoke(leased.id, 1)


def test_what_is_over_is_over_whoever_asks(store: Store, leased: Session) -> None:
    """A repeated revocation, one of a closed session and one of none: each is told yes."""
    store.close_session(leased)
    gone = store.open_session("two", "boot-1", ttl=NONE)
    assert [store.revoke(gone.id, 0), store.revoke(gone.id, 7)] == [True, True]
    assert [store.revoke(leased.id, 0), store.revoke("no such session", 0)] == [True, True]


def test_claims_of_a_revoked_session_end_by_their_tokens(store: Store, leased: Session) -> None:
    """They stay, and are seen, until somebody finishes them; then others may claim."""
    run = claimed(store, leased, want(1))
    store.beat(leased, ttl=NONE)
    store.revoke(leased.id, 1)
    assert store.held(leased.id) == [run]
    seen = presence(store, leased)
    assert (seen.is_live, seen.claims) == (False, 1)
    two = store.open_session("two", "boot-2", ttl=TTL)
    assert store.claim(two, [want(2)]) == [Refused(Refusal.ACTIVE, run)]
    assert store.finish([finish(run, Outcome.FAILED, retry=2)]) == [Accepted()]
    assert claimed(store, two, want(1, attempt=2)).token == run.token + 1
    assert store.held(leased.id) == []
    assert leased not in [p.session for p in store.sessions()]


def test_what_hangs_on_a_session(store: Store, leased: Session) -> None:
    """Its own active claims, of jobs that are removed or renamed too, and no ended ones."""
    store.register([job("a"), job("b"), job("c")], [], t(0))
    runs = [claimed(store, leased, want(1, name)) for name in "abc"]
    two = store.open_session("two", "boot-2", ttl=TTL)
    store.register([job("d", renamed="a"), job("e")], [], t(9))
    claimed(store, two, want(10, "e"))
    store.finish([finish(runs[1])])
    assert store.held(leased.id) == [runs[0], runs[2]]
    assert presence(store, leased).claims == 2
    assert store.held("no such session") == []


def test_another_host_and_boot_are_another_session(store: Store, leased: Session) -> None:
    """An id alone renews nothing."""
    assert store.beat(Session(leased.id, "one", "boot-2"), ttl=NONE) == Over()
    assert store.beat(Session(leased.id, "two", "boot-1"), ttl=NONE) == Over()
    assert presence(store, leased).beat == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_far_off_claims_nothing(store: Store, leased: Session, sign: int) -> None:
    """Ahead or behind; within the bound, or not told, it does not matter."""
    off = sign * (MAX_SKEW + timedelta(seconds=1))
    asked = [want(1), want(1, "b", spec="another"), want(1, "unknown")]
    assert store.claim(leased, asked, store.now() + off) == [Refused(Refusal.SKEW)] * 3
    near = sign * MAX_SKEW / 4
    assert isinstance(store.claim(leased, [want(1)], store.now() + near)[0], Claimed)
    assert isinstance(store.claim(leased, [want(1, "b")])[0], Claimed)
    store.close_session(leased)
    assert store.claim(leased, [want(2)], FUTURE) == [Refused(Refusal.SESSION)]


CHANGES: dict[str, Callable[[Store, Session], object]] = {
    "a schedule": lambda store, _: store.register([job("a", "c" * 16), job("b")], [], t(9)),
    "a job that is gone": lambda store, _: store.register([job("a")], [], t(9)),
    "a pause": lambda store, _: store.pause(Pause(PauseTarget.JOB, "b", "", "root", T0)),
    "a pause that is lifted": lambda store, _: store.resume(PauseTarget.JOB, "a"),
    "a quarantine": lambda store, _: store.quarantine(out("b")),
    "a job that is put back": lambda store, _: store.reinstate("a", ""),
    "a session that comes": lambda store, _: store.open_session("two", "boot-2"),
    "a session that goes": lambda store, other: store.close_session(other),
    "a session that is revoked": lambda store, other: store.revoke(other.id, 0),
    "what a session says of itself": lambda store, other: store.beat(other, profile=MINE),
}


def test_a_retry_that_is_given_up_makes_the_generation_grow(store: Store, leased: Session) -> None:
    """Others wait to try it."""
    run = claimed(store, leased, want(1))
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    before = generation(store, leased)
    assert store.give_up(run.job, run.scope, run.token, "nobody reads it")
    assert generation(store, leased) > before


@pytest.fixture
def other(store: Store) -> Session:
    """Another session, expired; a job that is paused and quarantined."""
    store.pause(Pause(PauseTarget.JOB, "a", "broken", "root", t(1)))
    store.quarantine(out())
    return store.open_session("other", "boot-3", ttl=NONE)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_others_should_read_makes_the_generation_grow(
    store: Store, leased: Session, other: Session, change: Callable[[Store, Session], object]
) -> None:
    """So that one number on each beat's answer tells when to read."""
    before = generation(store, leased)
    change(store, other)
    assert generation(store, leased) > before


def test_a_retry_that_waits_makes_the_generation_grow(store: Store, leased: Session) -> None:
    """Another host may be the one to try it."""
    run = claimed(store, leased, want(1))
    before = generation(store, leased)
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    assert generation(store, leased) > before


def test_the_day_s_work_leaves_the_generation_alone(
    store: Store, leased: Session, other: Session
) -> None:
    """Claims, ends, settlements, beats, and what changes nothing: nobody need read anew."""
    before = generation(store, leased)
    ran(store, leased, want(1))
    store.settle([settlement(3)])
    store.register([job("a"), job("b")], [], t(9))
    store.beat(other)
    store.resume(PauseTarget.LANE, "bulk")
    store.reinstate("b", "")
    store.revoke(other.id, 5)
    store.prune(t(0))
    assert generation(store, leased) == before
