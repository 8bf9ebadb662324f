"""What the store learns of an apply: the schedules in force, and what the old ones still owed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from hostagent.deploy.actions import Facts
from hostagent.deploy.owed import closing
from hostagent.errors import StoreConflict
from hostagent.model import Manifest
from hostagent.store.port import Registration, Store, registrations

_FEW = 20
_TRIES = 5


def register(store: Store, facts: Facts, manifest: Manifest, at: datetime) -> list[str]:
    """Make the manifest's jobs the registered ones as of ``at``; return the jobs that changed.

    ``at`` is this host's clock; where others use the store, too, its own clock counts.

    When nothing but some schedules changed since the manifest in force, only those are sent: the
    others stand in the store as they are. Of a store that other hosts use, too, only jobs that
    this host had deployed are removed. An agent that claims an occurrence between what is read
    here and what is written makes it begin again, as of then.

    Raises:
        StoreConflict: it came in between each of five times. Nothing was registered.
    """
    changed = _changed(facts, manifest)
    if changed == []:
        return []
    if store.is_shared:
        at = store.now()  # a mark in the future of all hosts would stop the job on each of them
    jobs = registrations(manifest, manifest.jobs) if changed is None else changed
    gone: bool | Collection[str] = changed is None
    if gone and store.is_shared:
        gone = {job.name for known in facts.known for job in known.jobs}
    for _ in range(_TRIES - 1):
        with suppress(StoreConflict):
            return _attempt(store, jobs, manifest.host, at, gone)
        at = store.now()
    return _attempt(store, jobs, manifest.host, at, gone)


def _attempt(
    store: Store,
    jobs: list[Registration],
    host: str,
    at: datetime,
    gone: bool | Collection[str],
) -> list[str]:
    if gone or len(jobs) > _FEW:
        specs = store.specs()
    else:
        specs = [spec for job in jobs for spec in store.specs(job.job)]
    ends = closing(specs, store.cursors(), jobs, host, at, gone) if specs else []
    return store.register(jobs, ends, at, remove_others=gone, host=host)


def _changed(facts: Facts, new: Manifest) -> list[Registration] | None:
    """The jobs that the store knows otherwise; None: that cannot be told, or some are gone."""
    old = facts.current
    if old is None or facts.begun:
        return None
    before = {one.job: replace(one, renamed_from=None) for one in registrations(old, old.jobs)}
    after = registrations(new, new.jobs)
    if before.keys() - {one.job for one in after}:
        return None
    return [one for one in after if replace(one, renamed_from=None) != before.get(one.job)]
