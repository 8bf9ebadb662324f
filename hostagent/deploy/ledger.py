"""What the store learns of an apply: the schedules in force, and what the old ones still owed."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from hostagent.deploy.actions import Facts
from hostagent.deploy.owed import closing
from hostagent.errors import StoreConflict
from hostagent.model import Job, Manifest, content_json
from hostagent.store.port import Registration, Store

_FEW = 20
_TRIES = 5


def register(store: Store, facts: Facts, manifest: Manifest, at: datetime) -> list[str]:
    """Make the manifest's jobs the registered ones as of ``at``; return the jobs that changed.

    When nothing but some schedules changed since the manifest in force, only those are sent: the
    others stand in the store as they are. An agent that claims an occurrence between what is read
    here and what is written makes it begin again, as of then.

    Raises:
        StoreConflict: it came in between each of five times. Nothing was registered.
    """
    changed = _changed(facts, manifest)
    if changed == []:
        return []
    jobs = [
        Registration(
            job=job.name,
            hash=job.schedule.hash,
            schedule=content_json(job.schedule),
            scopes=job.scopes(manifest.host),
            renamed_from=job.renamed_from,
        )
        for job in (manifest.jobs if changed is None else changed)
    ]
    for _ in range(_TRIES - 1):
        with suppress(StoreConflict):
            return _attempt(store, jobs, manifest.host, at, is_all=changed is None)
        at = store.now()
    return _attempt(store, jobs, manifest.host, at, is_all=changed is None)


def _attempt(
    store: Store, jobs: list[Registration], host: str, at: datetime, *, is_all: bool
) -> list[str]:
    if is_all or len(jobs) > _FEW:
        specs = store.specs()
    else:
        specs = [spec for job in jobs for spec in store.specs(job.job)]
    ends = closing(specs, store.cursors(), jobs, host, at) if specs else []
    return store.register(jobs, ends, at, remove_others=is_all)


def _changed(facts: Facts, new: Manifest) -> list[Job] | None:
    """The jobs that the store knows otherwise; None: that cannot be told, or some are gone."""
    old = facts.current
    if old is None or facts.begun:
        return None
    before = {job.name: job for job in old.jobs}
    if before.keys() - {job.name for job in new.jobs}:
        return None

    def is_known(job: Job) -> bool:
        was = before.get(job.name)
        return (
            was is not None
            and was.schedule == job.schedule
            and was.scopes(old.host) == job.scopes(new.host)
        )

    return [job for job in new.jobs if not is_known(job)]
