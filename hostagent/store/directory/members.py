"""Who is here: sessions, whose coming and going is in the log, and whose beats are not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.store.directory import calls
from hostagent.store.directory.clock import Clock
from hostagent.store.directory.history import History
from hostagent.store.directory.place import Place, errors
from hostagent.store.directory.sessions import Beat, Sessions
from hostagent.store.port import Over, Presence, Profile, Renewed, Session


class Members:
    """The port's methods about sessions. The log decides whether one is open."""

    def __init__(self, place: Place, clock: Clock, history: History) -> None:
        self._place, self._clock, self._history = place, clock, history
        self._beats = Sessions(place.sessions)

    def open(
        self,
        host: str,
        boot_id: str,
        resume: str | None,
        ttl: timedelta | None,
        profile: Profile,
    ) -> Session:
        """Go on with ``resume``, or open a new one: its directory first, then its record."""
        self._history.require_writing()
        with errors(self._place.root):
            asked = Session(resume or "", host, boot_id)
            if self._goes_on(asked, profile):
                beat = self._beats.beat(asked.id, lambda _: ttl)
                if isinstance(beat, Beat):
                    self._clock.saw(beat.at)
                    return asked
            new = uuid.uuid4().hex
            self._clock.saw(self._beats.begin(new, ttl).at)
            return self._history.write(calls.OpenSession(new, host, boot_id, profile))

    def beat(
        self, session: Session, ttl: timedelta | None, profile: Profile | None
    ) -> Renewed | Over:
        """The next beat. No block is needed, but for another TTL or profile."""
        self._history.require_writing()
        with errors(self._place.root):
            if not self._goes_on(session, profile):
                return Over()
            beat = self._beats.beat(session.id, lambda old: old if ttl is None else ttl)
            if isinstance(beat, Over):
                self._place.require()  # else it says nothing about the session
                return beat
            generation = self._history.read(lambda replica: replica.generation())
            return Renewed(self._clock.at(beat.at), generation)

    def all(self, clock: Callable[[], datetime]) -> list[Presence]:
        """Every session that is live or has active claims."""
        with errors(self._place.root):
            known = self._history.read(lambda replica: replica.sessions())
            # The time is asked for last, so that no beat seems to be of the future.
            beats = [self._last(presence.session.id) for presence in known]
            now = clock()
            return [_as_it_beats(*one, now) for one in zip(known, beats, strict=True)]

    def revoke(self, session_id: str, beat: int, clock: Callable[[], datetime]) -> bool:
        """Two steps: the beat that would be next, then the record that refuses its claims."""
        self._history.require_writing()
        with errors(self._place.root):
            known = self._history.read(lambda replica: replica.sessions())
            live = {one.session.id: one.session for one in known if one.is_live}
            if session_id not in live:
                return True
            last = self._last(session_id)
            if last is not None and not last.is_final:
                if last.number != beat or not last.has_expired(clock()):
                    return False
                if not self._beats.revoke(session_id, beat):
                    return False
            self._history.write(calls.CloseSession(live[session_id]))
            return True

    def may_claim(self, session: Session, now: datetime) -> bool:
        """Neither revoked nor expired; whether it is open the replica knows."""
        with errors(self._place.root):
            last = self._last(session.id)
            return last is not None and not last.is_final and not last.has_expired(now)

    def _last(self, session_id: str) -> Beat | None:
        beat = self._beats.last(session_id)
        if beat is not None:
            self._clock.saw(beat.at)
        return beat

    def _goes_on(self, session: Session, profile: Profile | None) -> bool:
        """Whether it is open; the log then says what it tells of itself. None: as before."""
        told = self._history.read(lambda replica: replica.open_profile(session))
        if told is None or profile is None or profile == told:
            return told is not None
        return self._history.write(calls.Beat(session, profile)) != Over()


def _as_it_beats(presence: Presence, last: Beat | None, now: datetime) -> Presence:
    if last is None:  # somebody took its directory away: it can beat no more
        return replace(presence, has_expired=True)
    return replace(
        presence,
        beat=last.number,
        ttl=last.ttl,
        is_live=presence.is_live and not last.is_final,
        has_expired=last.has_expired(now),
    )
