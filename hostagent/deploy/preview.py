"""A plan of what an apply would do to this host now. Reads, changes nothing, needs no lock."""

from __future__ import annotations

from collections.abc import Sequence

from hostagent.compile.versions import Note
from hostagent.deploy.actions import decide
from hostagent.deploy.apply import Site, gather
from hostagent.deploy.generations import Generation
from hostagent.deploy.plan import Plan, plan


def preview(site: Site, wanted: Generation, notes: Sequence[Note] = ()) -> Plan:
    """What ``apply(site, wanted)`` would do.

    Raises:
        RefusedError: what is deployed cannot be read.
        SystemdError: PID 1 cannot be reached.
    """
    facts = gather(site, wanted.manifest)
    actions = decide(facts, wanted.manifest, wanted.files)
    return plan(
        facts.current,
        wanted,
        facts.files,
        actions,
        notes=notes,
        interrupted=bool(facts.begun),
        at=site.clock(),
    )
