"""What this agent knows of the cluster: its session, until when it may act on it, who else is here.

Written by the beat (``beats.py``), read by everything else. Where the store is one host's own,
nothing of it ever changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from hostagent.agent.book import Entry
from hostagent.policy.place import Host
from hostagent.policy.skew import Sample, Verdict
from hostagent.store.port import Presence, Session


@dataclass(frozen=True, slots=True)
class Away:
    """No beat had an answer since then (CLOCK_MONOTONIC: it stands still while the host sleeps).

    The last one had none for the reason ``why``.
    """

    since_s: float
    why: str


@dataclass(slots=True)
class Cluster:
    """``deadline_s`` is on CLOCK_BOOTTIME; None: there is none (yet, in a shared store).

    ``ttl`` is None where the store is not shared. ``session`` is that of the shared store, None
    until it was reached once; ``is_reached``: the last beat had an answer, and so had every call
    since. ``away`` is None while beats have answers. ``others`` are the live sessions of other
    hosts, ``offset`` is how far this host's clock is from the store's, ``skew`` the verdict on
    it, ``labels`` are this host's own.
    """

    host: str
    session: Session | None = None
    ttl: timedelta | None = None
    labels: tuple[str, ...] = ()
    deadline_s: float | None = None
    others: tuple[Presence, ...] = ()
    skew: Verdict | None = None
    offset: Sample | None = None
    is_draining: bool = False
    is_reached: bool = False
    away: Away | None = None

    def lose(self, now_s: float, why: str) -> None:
        """A beat had no answer. ``now_s`` is by CLOCK_MONOTONIC."""
        self.is_reached = False
        self.away = Away(self.away.since_s if self.away else now_s, " ".join(why.split()))

    def find(self) -> None:
        """A beat had one."""
        self.is_reached, self.away = True, None

    @property
    def is_shared(self) -> bool:
        """Agents of other hosts use the store, too."""
        return self.ttl is not None

    def leases(self, entry: Entry) -> bool:
        """Whether the entry's claims are the cluster's, so that they hold only by a live lease."""
        return entry.is_leased

    def may_act(self, boottime_s: float) -> bool:
        """Whether claims of this session may be acted on now."""
        return not self.is_shared or (self.deadline_s is not None and boottime_s < self.deadline_s)

    def by_store(self, at: datetime) -> datetime:
        """What the store's clock shows when this host's shows ``at``, as far as that is known."""
        return at if self.offset is None else at + self.offset.theta

    def this(self) -> Host:
        """This host, as the others rank it."""
        return Host(self.host, self.labels, self.is_draining)

    def hosts(self) -> list[Host]:
        """Every live host, this one among them."""
        found = [
            Host(other.session.host, other.profile.labels, other.profile.draining)
            for other in self.others
        ]
        return [self.this(), *found]
