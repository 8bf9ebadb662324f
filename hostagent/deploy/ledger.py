"""What the store learns of an apply: the schedules in force, and what the old ones still owed."""

from __future__ import annotations

from datetime import datetime

from hostagent.deploy.actions import Facts
from hostagent.deploy.owed import closing
from hostagent.model import Job, Manifest, content_json
from hostagent.store.port import Registration, Store

_FEW = 20


def register(store: Store, facts: Facts, manifest: Manifest, at: datetime) -> list[str]:
    """Make the manifest's jobs the registered ones as of ``at``; return the jobs that changed.

    When nothing but some schedules changed since the manifest in force, only those are sent: the
    others stand in the store as they are.
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
    if changed is not None and len(changed) <= _FEW:
        specs = [spec for job in jobs for spec in store.specs(job.job)]
    else:
        specs = store.specs()
    ends = closing(specs, store.cursors(), jobs, manifest.host, at) if specs else []
    return store.register(jobs, ends, at, remove_others=changed is None)


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
