"""The part of the state machine that is about who is here: sessions, leases, what hangs on them."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hostagent.store.port import Over, Profile, Renewed, Session, Store
from tests.contract.store.builders import alarm, backfill, out
from tests.contract.store.memory import Memory

SHORT, LONG = timedelta(microseconds=1), timedelta(hours=1)
"""Of the one the deadline has passed by the next call, of the other never."""

TTLS = st.sampled_from([None, LONG, LONG, LONG, SHORT])
PROFILES = st.sampled_from(
    [None, None, Profile("1.0", "spec", ("disk=ssd",)), Profile(draining=True)]
)


class SessionRules(RuleBasedStateMachine):
    """``sessions``: every one that was ever opened, the latest last."""

    store: Store
    memory: Memory
    sessions: list[Session]
    ear: Session
    heard: tuple[int, object, set[tuple[tuple[str, str], int]]]

    def listen(self) -> None:
        """From now on, hear of what others should read."""
        self.ear = self.store.open_session("ear", "boot-1")
        self.memory.sessions.open(self.ear, self.store.now(), None, None)
        self.heard = (-1, None, set())

    def open(
        self,
        host: str,
        boot_id: str,
        resume: str | None,
        ttl: timedelta | None = None,
        profile: Profile | None = None,
    ) -> None:
        """Open one; the model learns its id."""
        known, asked = self.memory.sessions, Session(resume or "", host, boot_id)
        session = self.store.open_session(host, boot_id, resume, ttl=ttl, profile=profile)
        assert (session.id == resume) == (known.live(asked) is not None)
        assert (session.host, session.boot_id) == (host, boot_id)
        known.open(session, self.store.now(), ttl, profile)
        self.sessions = [one for one in self.sessions if one != session] + [session]

    @property
    def asker(self) -> Session:
        """The latest session that may claim, and if none may, a new one."""
        known, now = self.memory.sessions, self.store.now()
        if not any(known.may_claim(session, now) for session in self.sessions):
            self.open("one", "boot-1", None, LONG)
        return [session for session in self.sessions if known.may_claim(session, now)][-1]

    @rule(
        host=st.sampled_from(["one", "one", "two"]),
        boot=st.booleans(),
        resumes=st.booleans(),
        ttl=TTLS,
        profile=PROFILES,
    )
    def open_session(
        self,
        host: str,
        boot: bool,
        resumes: bool,
        ttl: timedelta | None,
        profile: Profile | None,
    ) -> None:
        resume = self.sessions[-1].id if resumes else None
        self.open(host, f"boot-{int(boot)}", resume, ttl, profile)

    @rule(back=st.sampled_from([0, 0, 0, 1, 2]), ttl=TTLS, profile=PROFILES)
    def beat(self, back: int, ttl: timedelta | None, profile: Profile | None) -> None:
        """The deadline moves, unless it is over."""
        self._beat(self.sessions[-1 - back % len(self.sessions)], ttl, profile)

    def _beat(
        self, session: Session, ttl: timedelta | None = None, profile: Profile | None = None
    ) -> Renewed | Over:
        before = self.store.now()
        got = self.store.beat(session, ttl=ttl, profile=profile)
        now = self.store.now()
        goes_on = self.memory.sessions.beat(session, now, ttl, profile)
        assert isinstance(got, Renewed) == goes_on
        assert isinstance(got, Over) or before <= got.now <= now
        return got

    @rule(late=st.sampled_from([0, 1]))
    def lose(self, late: int) -> None:
        """An agent beats for the last time, and others see that beat or the one before."""
        self._beat(self.sessions[-1], SHORT)
        self.revoke(0, late)

    @rule(back=st.sampled_from([0, 0, 1, 2]), late=st.sampled_from([0, 0, 0, 1]))
    def revoke(self, back: int, late: int) -> None:
        """By an agent that saw its last beat, or the one before."""
        session = self.sessions[-1 - back % len(self.sessions)]
        beat = self.memory.sessions.stays[session.id].beat - late
        got = self.store.revoke(session.id, beat)
        assert got == self.memory.sessions.revoke(session.id, beat, self.store.now())

    @rule(which=st.integers(0, 3))
    def close_session(self, which: int) -> None:
        if which == 0:
            self.store.close_session(self.sessions[-1])
            self.memory.sessions.close(self.sessions[-1])

    @rule(which=st.integers(0, 3), puts_back=st.booleans())
    def quarantine(self, which: int, puts_back: bool) -> None:
        """Any cursor, and one that is none."""
        names = [("x", ""), *((c.job, c.scope) for c in self.memory.cursors())]
        name = names[which % len(names)]
        if puts_back:
            known = self.memory.quarantines.pop(name, None) is not None
            assert self.store.reinstate(*name) == known
        else:
            self.store.quarantine(out(*name))
            self.memory.quarantine(out(*name))

    @rule(which=st.integers(0, 3), ends=st.booleans())
    def backfill(self, which: int, ends: bool) -> None:
        """Of any cursor, and of one that is none."""
        names = [("x", ""), *((c.job, c.scope) for c in self.memory.cursors())]
        name = names[which % len(names)]
        if ends:
            known = self.memory.backfills.pop(name, None) is not None
            assert self.store.end_backfill(*name) == known
        else:
            self.memory.backfills[name] = backfill(*name)
            self.store.backfill(backfill(*name))

    @rule(
        which=st.integers(0, 3),
        knows=st.sampled_from(["it", "none", "another"]),
        change=st.integers(0, 2),
    )
    def change_alarm(self, which: int, knows: str, change: int) -> None:
        """By who knows how it stands, has heard of none, or of how it stood; it needs no cursor."""
        name = (f"x{which}", "")
        before = self.memory.alarms.get(name) if knows == "it" else None
        if knows == "another":
            before = alarm(name[0], tries=9)
        after = alarm(name[0], tries=change) if change else None
        assert self.store.change_alarm(before, after) == self.memory.change_alarm(before, after)

    def _to_be_read(self) -> object:
        """What the others should read again when it has changed."""
        live = [s for s in self.memory.sessions.stays.values() if s.is_live]
        return (
            [spec for spec in self.memory.specs if spec.valid_to is None],
            sorted(self.memory.quarantines),
            sorted(self.memory.backfills),
            [(stay.session, stay.profile) for stay in live],
        )

    @invariant()
    def hear(self) -> None:
        """What should be read anew makes the generation grow, by the next beat of anybody."""
        if not hasattr(self, "heard"):
            return
        got, told = self._beat(self.ear), self._to_be_read()
        assert isinstance(got, Renewed)
        generation, before, waited = self.heard
        retries = {(name, s.retry) for name, s in self.memory.stands.items() if s.retry}
        has_grown = got.generation > generation
        assert has_grown if told != before or retries - waited else got.generation >= generation
        self.heard = (got.generation, told, retries)

    @invariant()
    def agree_on_sessions(self) -> None:
        if not hasattr(self, "heard"):
            return
        got = self.store.sessions()
        assert got == self.memory.presences(self.store.now())
        for one in got:
            held = [(r.job, r.scope, r.token) for r in self.store.held(one.session.id)]
            assert held == [(r.job, r.scope, r.token) for r in self.memory.held(one.session.id)]
        alarms = [one for _, one in sorted(self.memory.alarms.items())]
        assert self.store.alarms() == alarms
        quarantines = self.store.quarantines()
        assert quarantines == [one for _, one in sorted(self.memory.quarantines.items())]
        backfills = self.store.backfills()
        assert backfills == [one for _, one in sorted(self.memory.backfills.items())]
