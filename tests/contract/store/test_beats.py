"""Beats by themselves: owner and revoker compete for one name, on a full volume, too."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.directory.place import Place
from hostagent.store.directory.sessions import Beat, Sessions
from hostagent.store.port import Over
from tests.contract.store.processes import all_of, forked
from tests.contract.store.volumes import fill, needs_root

A = "a" * 32
TTL = timedelta(seconds=15)


@pytest.fixture
def sessions(place: Path) -> Sessions:
    """One session, of one beat."""
    sessions = Sessions(place)
    sessions.begin(A, TTL)
    return sessions


def same(ttl: timedelta | None) -> timedelta | None:
    """It is not changed."""
    return ttl


def number(beat: Beat | Over | None) -> int:
    """Of a beat that must have been made."""
    assert isinstance(beat, Beat)
    return beat.number


def test_a_beat_is_one_further_name_of_one_file(sessions: Sessions) -> None:
    """No block is written; what is two beats old goes."""
    file = (sessions.root / A / "000000000000").stat().st_ino
    assert [number(sessions.beat(A, same)) for _ in range(5)] == [1, 2, 3, 4, 5]
    left = sorted((sessions.root / A).iterdir())
    assert [path.name for path in left] == ["000000000004", "000000000005"]
    assert {path.stat().st_ino for path in left} == {file}


def test_another_ttl_stands_from_then_on(sessions: Sessions) -> None:
    """It is told to others, and kept by the beats that follow."""
    sessions.beat(A, lambda _: timedelta(minutes=10))
    sessions.beat(A, same)
    beat = sessions.last(A)
    assert beat is not None
    assert (beat.number, beat.ttl) == (2, timedelta(minutes=10))


def test_a_beat_is_as_old_as_the_file_server_says(sessions: Sessions, place: Path) -> None:
    """It has expired when its TTL has passed by a file just created, and not before."""
    before = Place(place).now()
    beat = sessions.beat(A, same)
    assert isinstance(beat, Beat)
    assert before <= beat.at <= Place(place).now()
    assert not beat.has_expired(beat.at + timedelta(seconds=14.999))
    assert beat.has_expired(beat.at + TTL)


def test_who_comes_second_is_told(sessions: Sessions) -> None:
    """A revocation of a beat that was followed is none; after a revocation there is no beat."""
    assert number(sessions.beat(A, same)) == 1
    assert not sessions.revoke(A, 0)
    assert sessions.revoke(A, 1)
    assert sessions.revoke(A, 1)
    assert sessions.beat(A, same) == Over()
    last = sessions.last(A)
    assert last is not None
    assert (last.number, last.ttl, last.is_final) == (1, TTL, True)
    sessions.drop(A)
    assert sessions.beat(A, same) == Over()
    assert sessions.revoke(A, 1)


@pytest.mark.parametrize("turn", range(30))
def test_of_a_beat_and_revocations_at_once_one_wins(sessions: Sessions, turn: int) -> None:
    """Either the beat is refused, or all revocations are."""
    ready, go = os.pipe()

    def race(output: int, revokes: bool) -> None:
        os.close(go)
        os.read(ready, 1)
        if revokes:
            os.write(output, b"revoked" if sessions.revoke(A, 0) else b"no")
        else:
            os.write(output, b"no" if sessions.beat(A, same) == Over() else b"beaten")

    with ExitStack() as racers:
        works = [True, False, True] if turn % 2 else [False, True, True]
        outputs = [
            racers.enter_context(forked(lambda o, r=revokes: race(o, r)))[1]  # type: ignore[misc]
            for revokes in works
        ]
        os.close(ready)
        os.close(go)
        told = {all_of(output) for output in outputs}
    assert told in ({"revoked", "no"}, {"no", "beaten"})
    assert (sessions.beat(A, same) == Over()) == ("revoked" in told)


def test_a_lost_reply_of_a_beat_is_a_beat(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is made, for the one that is there may be older than the call."""
    real, lost = os.link, [True]

    def link(source: Path, name: Path) -> None:
        real(source, name)
        if lost.pop() if lost else False:
            raise FileExistsError(17, "exists")

    monkeypatch.setattr(os, "link", link)
    assert number(sessions.beat(A, same)) == 2


def test_a_revoker_that_was_frozen_does_not_win_a_name_of_the_past(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked at beat 0; the owner is at 8 when it links 1, which is free again."""
    real = Sessions.last
    looks: list[Beat | None] = [real(sessions, A)]
    for _ in range(8):
        sessions.beat(A, same)
    monkeypatch.setattr(
        Sessions, "last", lambda self, name: looks.pop() if looks else real(self, name)
    )
    assert not sessions.revoke(A, 0)
    assert number(sessions.beat(A, same)) == 9


def test_no_link_is_in_doubt(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the network says nothing about the session."""

    def link(source: Path, name: Path) -> None:
        raise TimeoutError(110, "timed out")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreUnavailable):
        sessions.beat(A, same)
    with pytest.raises(StoreUnavailable):
        sessions.revoke(A, 0)


@pytest.mark.parametrize("name", ["..", "../x", "a" * 31, "A" * 32, "", "a" * 32 + "\n"])
def test_an_id_is_never_a_path(sessions: Sessions, name: str) -> None:
    """Ids come from the log, which may be anybody's."""
    with pytest.raises(StoreError):
        sessions.drop(name)


@needs_root
def test_beats_go_on_when_the_volume_is_full(volume: Path) -> None:
    """Neither a beat nor the file server's clock needs a block."""
    sessions, place = Sessions(volume), Place(volume)
    sessions.begin(A, TTL)
    fill(volume / "filler")
    for n in range(1, 50):
        beat = sessions.beat(A, same)
        assert number(beat) == n
        assert isinstance(beat, Beat)
        assert beat.at <= place.now()
    assert threading.active_count() == 1
