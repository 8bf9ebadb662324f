"""What the agent works with: its collaborators and this host's facts, made once by wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hostagent.agent.cluster import Cluster
from hostagent.agent.fence import Fence
from hostagent.agent.offload import Offloaded
from hostagent.host.clock import Clock
from hostagent.host.paths import Paths
from hostagent.policy.outcome import Ended
from hostagent.store.port import Store
from hostagent.systemd.port import Systemd


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the agent's own decisions.

    ``record`` writes a structured journal entry; ``journal_end`` asks the journal how an
    invocation ended (None: it does not say), ``journal_tail`` for the last lines that an invocation
    of a unit printed since then. ``booted_at`` is when PID 1 began,
    ``retention`` how long the ledger keeps what has ended.
    """

    paths: Paths
    host: str
    boot_id: str
    booted_at: datetime
    cores: int
    retention: timedelta
    clock: Clock
    store: Offloaded[Store]
    systemd: Offloaded[Systemd]
    cluster: Cluster
    fence: Fence
    record: Callable[[str, dict[str, str]], None]
    journal_end: Callable[[str], Ended | None]
    journal_tail: Callable[[str, str, datetime | None], list[str]]
