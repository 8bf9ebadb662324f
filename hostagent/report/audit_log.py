"""The audit log as people and scripts read it: who changed what, from which uid, and why."""

from __future__ import annotations

from hostagent.codec import rfc3339
from hostagent.model import parse_run_id
from hostagent.store.port import AuditEvent


def is_about(event: AuditEvent, job: str) -> bool:
    """Whether it changed this job or one of its runs, and not a lane or a host that it is in."""
    kind, _, name = event.target.partition(" ")
    if kind == "run":
        meant = parse_run_id(name)
        return meant is not None and meant[0] == job
    return kind in {"job", "backlog"} and name.partition("@")[0] == job


def event_json(event: AuditEvent) -> dict[str, object]:
    """One record for ``--json``; the keys are an interface (docs/reference/json.md)."""
    return {
        "at": rfc3339(event.at),
        "uid": event.uid,
        "host": event.host,
        "action": event.action,
        "target": event.target,
        "detail": event.detail,
    }
