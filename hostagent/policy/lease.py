"""Leases: how long a session's holder may go on by itself, and when others may take it away.

Both sides count on their own CLOCK_BOOTTIME, which is never set and goes on through a suspend;
the times here are its seconds. The holder counts from *before* its beat was sent, an observer from
*after* the reply came in which it saw that beat, so the holder's time is over first, whatever the
network did in between. An observer needs the store's word as well (``has_expired``): by the
store's clock alone, a clock that is set would end leases whose holders live.

The holder's deadline is kept by PID 1, which stops the host's runs when it passes, not by the
agent: an agent that hangs cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from hostagent.policy.words import span_text

TTL = timedelta(seconds=15)
"""How long a session lives without a beat, where agent.toml says nothing else."""

PARK = timedelta(minutes=10)
"""The TTL with the last beat of an agent that stops: time to install another."""

BEATS = 4
"""Beats for each TTL: one may be lost, and a second one late, before the fence falls."""

BEAT_ABORT = timedelta(seconds=2)
"""A beat that has no answer by then has failed."""

GRACE = timedelta(seconds=2)
"""From TERM to KILL when the fence falls, whatever the job's ``stop_timeout`` says."""

MARGIN = timedelta(seconds=1)
"""For PID 1 to kill, and for two clocks that run at different speeds (0.1 % of ten minutes)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the end of a lease is kept for. In full from a TTL of 15 s on, below in proportion."""

    abort: timedelta
    grace: timedelta
    margin: timedelta

    @property
    def total(self) -> timedelta:
        """How long before the end of the TTL the fence falls."""
        return self.abort + self.grace + self.margin


def budget(ttl: timedelta) -> Budget:
    """The budget of a lease: a third of its TTL, 5 s at most."""
    share = min(ttl / TTL, 1.0)
    return Budget(BEAT_ABORT * share, GRACE * share, MARGIN * share)


def beat_every(ttl: timedelta) -> timedelta:
    """From one beat to the next."""
    return ttl / BEATS


def deadline_s(sent_s: float, ttl: timedelta) -> float:
    """When the fence falls, unless another beat succeeds. ``sent_s``: before this one was sent."""
    return sent_s + (ttl - budget(ttl).total).total_seconds()


def may_start(now_s: float, deadline: float | None) -> bool:
    """Whether a run may start: the fence has not fallen. None: a store without leases."""
    return deadline is None or now_s < deadline


@dataclass(frozen=True, slots=True)
class Seen:
    """Another's session, as the store shows it. ``ttl`` None: it never expires."""

    session: str
    host: str
    beat: int
    ttl: timedelta | None
    has_expired: bool


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A session that may be revoked if it still stands at ``beat``, and the sentence why."""

    session: str
    beat: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look showed. ``watch`` is for the next one, which is due ``again_at_s`` at the latest.

    ``again_at_s`` None: there was nobody to watch; look when a beat says that sessions came.
    """

    watch: Watch
    lapsed: tuple[Lapsed, ...]
    again_at_s: float | None


@dataclass(frozen=True, slots=True)
class Watch:
    """What an observer has seen of others: beat and TTL of each, and since when they stand.

    It starts empty, also after a restart: what nobody has watched for a TTL is not lapsed.
    """

    since_s: tuple[tuple[str, int, timedelta, float], ...] = ()

    def look(self, now_s: float, sessions: Iterable[Seen]) -> Verdict:
        """Compare others' sessions with what stood before. ``now_s``: after the answer had come.

        Sessions that are closed or revoked, too, are watched while claims hang on them: an agent
        that closed one may have left runs to the fence.
        """
        before = {session: (beat, ttl, at) for session, beat, ttl, at in self.since_s}
        after, lapsed, looks = [], [], []
        for seen in sessions:
            if seen.ttl is None:
                continue
            beat, ttl, since = before.get(seen.session, (None, None, now_s))
            if (beat, ttl) != (seen.beat, seen.ttl):
                since = now_s
            after.append((seen.session, seen.beat, seen.ttl, since))
            over_at = since + seen.ttl.total_seconds()
            looks.append(now_s + beat_every(seen.ttl).total_seconds())
            if over_at > now_s:
                looks.append(over_at)
            elif seen.has_expired:
                lapsed.append(Lapsed(seen.session, seen.beat, _sentence(seen, now_s - since)))
        return Verdict(Watch(tuple(after)), tuple(lapsed), min(looks, default=None))


def _sentence(seen: Seen, silent_s: float) -> str:
    assert seen.ttl is not None
    return (
        f"{seen.host} has not renewed its lease for {span_text(timedelta(seconds=silent_s))}"
        f" (its TTL is {span_text(seen.ttl)}), and by the store's clock it is over"
    )
