"""Runs that a person stopped: what the audit log says of it, so that another agent knows it, too.

The agent may end while a run that was asked to stop still goes on. That the run did not fail, its
successor reads here.
"""

from __future__ import annotations

from collections.abc import Iterable

from hostagent.agent.book import Book
from hostagent.model import Run
from hostagent.store.port import AuditEvent

STOP = "stop"
"""The action of the audit log's record; its target is ``run RUN_ID``, its detail the reason."""


def target(run: Run) -> str:
    """The target of the audit log's record."""
    return f"run {run.run_id}"


def sentence(uid: int, reason: str) -> str:
    """What the ledger says of the run."""
    return f"stopped by uid {uid}: {reason}"


def remember(book: Book, log: Iterable[AuditEvent]) -> None:
    """Know of each active run whether a person has asked for its end since it was claimed."""
    stops = [event for event in log if event.action == STOP]
    for entry in book:
        run = entry.active
        if run is None or entry.stopped is not None or run.claimed_at is None:
            continue
        for event in stops:
            if event.target == target(run) and event.at >= run.claimed_at:
                entry.stopped = sentence(event.uid, event.detail)
