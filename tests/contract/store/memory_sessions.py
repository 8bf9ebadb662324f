"""Sessions in memory, as plainly as the port's contract can be said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostagent.store.port import Profile, Session


@dataclass
class Stay:
    """A session that was ever opened."""

    session: Session
    profile: Profile
    ttl: timedelta | None
    deadline: datetime | None
    beat: int = 0
    is_live: bool = True

    def has_expired(self, now: datetime) -> bool:
        """Its deadline has passed."""
        return self.deadline is not None and self.deadline <= now


class Sessions:
    """What the port promises of them, less the claims that hang on each."""

    def __init__(self) -> None:
        self.stays: dict[str, Stay] = {}

    def live(self, session: Session) -> Stay | None:
        """The session, if it is open."""
        stay = self.stays.get(session.id)
        return stay if stay and stay.is_live and stay.session == session else None

    def open(
        self, session: Session, now: datetime, ttl: timedelta | None, profile: Profile | None
    ) -> None:
        """The engine answered with ``session``: an open one goes on, else it is new."""
        if self.live(session) is not None:
            self.beat(session, now, ttl, profile or Profile())
            self.stays[session.id].ttl = ttl
            self.stays[session.id].deadline = None if ttl is None else now + ttl
            return
        for stay in self.stays.values():
            stay.is_live = stay.is_live and stay.session.host != session.host
        deadline = None if ttl is None else now + ttl
        self.stays[session.id] = Stay(session, profile or Profile(), ttl, deadline)

    def beat(
        self, session: Session, now: datetime, ttl: timedelta | None, profile: Profile | None
    ) -> bool:
        """Whether it goes on."""
        stay = self.live(session)
        if stay is None:
            return False
        stay.beat += 1
        stay.ttl = ttl or stay.ttl
        stay.deadline = None if stay.ttl is None else now + stay.ttl
        stay.profile = profile or stay.profile
        return True

    def revoke(self, session_id: str, beat: int, now: datetime) -> bool:
        """Whether it is over."""
        stay = self.stays[session_id]
        if stay.is_live and stay.beat == beat and stay.has_expired(now):
            stay.is_live = False
        return not stay.is_live

    def may_claim(self, session: Session, now: datetime) -> bool:
        """Open, and in time."""
        stay = self.live(session)
        return stay is not None and not stay.has_expired(now)

    def close(self, session: Session) -> None:
        """Its agent ends it."""
        self.stays[session.id].is_live = False
