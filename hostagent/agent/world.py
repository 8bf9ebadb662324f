"""What the agent works with: its collaborators and this host's facts, made once by wiring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from hostagent.agent.book import Entry
from hostagent.agent.cluster import Cluster
from hostagent.agent.fence import Fence
from hostagent.agent.offload import Offloaded
from hostagent.agent.shared import UNREACHED, Shared
from hostagent.agent.tell.misses import Misses
from hostagent.errors import StoreUnavailable
from hostagent.host.clock import Clock
from hostagent.host.paths import Paths
from hostagent.policy.backlog import Limits, Signals, Wake
from hostagent.policy.outcome import Ended
from hostagent.store.port import AuditEvent, Session, Store
from hostagent.systemd.beside import Done
from hostagent.systemd.port import Systemd


class Beside(Protocol):
    """Runs a program outside the agent: see ``systemd.beside.run``."""

    async def __call__(
        self, command: Sequence[str], told: bytes, *, unit: str, user: bool, does: str
    ) -> Done:
        """How it ended."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the agent's own decisions.

    ``record`` writes a structured journal entry; ``journal_end`` asks the journal how an
    invocation ended (None: it does not say), ``journal_tail`` for the last lines that an invocation
    of a unit printed since then. ``booted_at`` is when PID 1 began,
    ``retention`` how long the ledger keeps what has ended.

    ``wake`` is the last one that an agent of this boot saw: a restart moves nothing. ``keep_wake``
    hands a later one on to the agent after us. ``limits`` are those of the catch-up gate,
    ``signals`` asks the host how loaded it is. A run that stands still for ``hung_after`` is shown
    as ``hung?``.

    ``own`` is this host's own ledger: of all its jobs, or, where hosts share a store (``shared``),
    of those that run on each. ``session`` is the one in ``own``; it has no lease. ``misses`` is
    whom no message reaches.
    """

    paths: Paths
    host: str
    boot_id: str
    booted_at: datetime
    wake: Wake
    keep_wake: Callable[[Wake], None]
    cores: int
    limits: Limits
    signals: Callable[[], Signals]
    hung_after: timedelta
    retention: timedelta
    clock: Clock
    own: Offloaded[Store]
    shared: Shared | None
    session: Session
    systemd: Offloaded[Systemd]
    cluster: Cluster
    fence: Fence
    record: Callable[[str, dict[str, str]], None]
    journal_end: Callable[[str], Ended | None]
    journal_tail: Callable[[str, str, datetime | None], list[str]]
    beside: Beside
    misses: Misses = field(default_factory=Misses)

    def store_of(self, entry: Entry) -> Offloaded[Store]:
        """The ledger in which the entry is kept."""
        return self.ledger(is_leased=entry.is_leased)

    def ledger(self, *, is_leased: bool) -> Offloaded[Store]:
        """The ledger of the cluster's jobs, or of this host's own."""
        return self.shared if is_leased and self.shared is not None else self.own

    def session_in(self, *, is_leased: bool) -> Session:
        """The session in that ledger.

        Raises:
            StoreUnavailable: the shared store was not reached yet.
        """
        if not is_leased:
            return self.session
        if self.cluster.session is None:
            raise StoreUnavailable(UNREACHED)
        return self.cluster.session

    def reached(self) -> list[Offloaded[Store]]:
        """The ledgers that can be asked now."""
        return [self.own] if self.shared is None or self.is_cut_off else [self.own, self.shared]

    async def log(
        self,
        uid: int,
        action: str,
        target: str,
        detail: str = "",
        store: Offloaded[Store] | None = None,
    ) -> None:
        """Write what a person did into the audit log: of this host, if of no other ledger."""
        store = store or self.own
        event = AuditEvent(self.clock.now(), uid, self.host, action, target, detail)
        await store.call(store.it.log, event)

    @property
    def is_cut_off(self) -> bool:
        """Whether there is a shared store, and it is not reached."""
        return self.shared is not None and not self.cluster.is_reached
