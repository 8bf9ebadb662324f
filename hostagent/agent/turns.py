"""Whose turn it is: in a cluster each host asks for an occurrence at a time of its own.

The hosts that may run a job are ranked, the same on each of them; the one ranked r asks r steps
after the job's jitter. So claims are not raced for, and a host that is gone costs a step, not an
occurrence. Correctness never rests on this: the store gives an occurrence once.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hostagent.agent import owed
from hostagent.agent.book import Book, Entry, order_of
from hostagent.agent.shared import UNREACHED
from hostagent.agent.world import World
from hostagent.policy import place
from hostagent.policy.skew import Skew, here
from hostagent.policy.words import when
from hostagent.schedule.jitter import delay

SOON = timedelta(seconds=5)
"""When to look again at what cannot start here now and nobody tells us about."""

TIMER = place.STEP * 0.4
"""What a timer's start takes at most to ask us where the host is not busy: 12 ms were measured."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """This host does not ask now; it looks again at ``until``."""

    reason: str
    until: datetime


class Turns:
    """When this host asks for what an entry owes."""

    def __init__(self, world: World, book: Book) -> None:
        self._world = world
        self._book = book
        self._answers = deque[timedelta](maxlen=place.ANSWERS)

    @contextlib.contextmanager
    def answering(self, entry: Entry) -> Iterator[None]:
        """In the block the store is asked: what it takes says how far apart hosts are to ask."""
        clock = self._world.clock
        began_s = clock.boottime_s()
        try:
            yield
        finally:
            if entry.is_leased:
                self._answers.append(timedelta(seconds=clock.boottime_s() - began_s))

    def not_now(self, entry: Entry, now: datetime) -> NotNow | None:
        """Why a leased entry may not ask now; None: it may."""
        if why := self.no_lease():
            return NotNow(why, now + SOON)
        order = self._order(entry)
        if self._world.host not in order:
            why = place.decide(entry.job, self._world.cluster.this()).reason
            return NotNow(f"not here: {why}", now + SOON)
        due = self._due(entry, now)
        if due is None:
            return None
        rank = order.index(self._world.host)
        ask_at = self._ask_at(place.due_at(entry.job, entry.scope, due), rank)
        if now >= ask_at:
            return None
        before = f", after {', '.join(order[:rank][:3])}" if rank else ""
        return NotNow(f"due {when(due)}; this host asks for it at {when(ask_at)}{before}", ask_at)

    def steps_aside(self, entry: Entry, now: datetime) -> NotNow | None:
        """What a paused host owes is left to others; None: it is for us to decide."""
        pause = self._book.host_pause(now)
        if pause is None or self._due(entry, now) is None:
            return None
        cluster = self._world.cluster
        live = {other.session.host for other in cluster.others if not other.has_expired}
        takers = place.left_to(self._order(entry), live)
        if not takers:
            return None
        return NotNow(f"left to {', '.join(takers[:3])}: {order_of(pause)}", now + SOON)

    def no_lease(self) -> str | None:
        """Why this host may start nothing of the cluster's, or None."""
        cluster = self._world.cluster
        if self._world.is_cut_off:
            return UNREACHED
        if not cluster.may_act(self._world.clock.boottime_s()):
            return "this host's lease has run out: the store is not reached; see: hostagent doctor"
        if cluster.skew is not None and cluster.skew.skew is Skew.FENCED:
            return cluster.skew.reason
        return None

    def patience(self, entry: Entry) -> timedelta:
        """How long after an occurrence fell due the second clock looks whether it has started.

        Where claims are leased that is this host's turn; the first in rank leaves an exact start
        to PID 1's timer, if that comes well before the next in rank asks.
        """
        if not self._world.cluster.leases(entry):
            return owed.patience(entry)
        order = self._order(entry)
        rank = order.index(self._world.host) if self._world.host in order else len(order)
        jitter = entry.job.schedule.jitter
        waits_for_timer = rank == 0 and not jitter and entry.active is None
        turn = delay(entry.job.name, entry.scope, jitter)
        turn += place.ask_at(_ZERO, rank, self._step) - _ZERO
        return turn + (TIMER if waits_for_timer else timedelta(0))

    def retry_at(self, entry: Entry) -> datetime | None:
        """When this host asks for the next attempt; None: there is none to ask for."""
        is_free = entry.active is None and entry.elsewhere is None and entry.quarantined is None
        if entry.retry is None or entry.retry_at is None or not is_free:
            return None
        if not self._world.cluster.leases(entry):
            return entry.retry_at
        order = self._order(entry, entry.retry.host)
        if self._world.host not in order:
            return None
        return self._ask_at(entry.retry_at, order.index(self._world.host))

    def retry_wake(self, entry: Entry) -> datetime | None:
        """When to look whether the next attempt may be asked for: in a pause, at its end.

        None: there is none, or the pause is lifted by a person, which is told.
        """
        at = self.retry_at(entry)
        pause = self._book.pause_of(entry, self._world.host, self._world.clock.now())
        if at is None or pause is None:
            return at
        return max(at, pause.until) if pause.until else None

    def pause_end(self, entry: Entry) -> datetime | None:
        """When the pause that holds it now ends by itself; None: there is none, or it does not."""
        pause = self._book.pause_of(entry, self._world.host, self._world.clock.now())
        return pause.until if pause else None

    def is_retry_due(self, entry: Entry, now: datetime) -> bool:
        """Whether the next attempt may be asked for; not while the job is paused."""
        at = self.retry_at(entry)
        if at is None or at > now:
            return False
        return self._book.pause_of(entry, self._world.host, now) is None

    def _order(self, entry: Entry, last_host: str | None = None) -> tuple[str, ...]:
        hosts = self._world.cluster.hosts()
        return place.ranked(entry.job, entry.scope, hosts, last_host)

    def _due(self, entry: Entry, now: datetime) -> datetime | None:
        """The latest occurrence that is owed."""
        _, found = owed.owed(entry, now, self._world.booted_at)
        return found[-1].times[-1] if found else None

    @property
    def _step(self) -> timedelta:
        return place.step(self._answers)

    def _ask_at(self, due_at: datetime, rank: int) -> datetime:
        """When this host's clock shows it, it is the rank's turn by the store's."""
        at, offset = place.ask_at(due_at, rank, self._step), self._world.cluster.offset
        return here(at, offset) if offset is not None else at


_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
