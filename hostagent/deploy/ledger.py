"""What the store learns of an apply: the schedules in force, and what the old ones still owed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from hostagent.deploy.actions import Facts
from hostagent.deploy.owed import closing
from hostagent.errors import StoreConflict
from hostagent.model import Manifest, RunOn
from hostagent.policy.words import counted
from hostagent.store.port import AuditEvent, Registration, Store, registered, registrations

_FEW = 20
_TRIES = 5


def register(
    store: Store, facts: Facts, manifest: Manifest, at: datetime, *, shared: Store | None = None
) -> list[str]:
    """Make the manifest's jobs the registered ones as of ``at``; return the jobs that changed.

    ``at`` is this host's clock; where hosts share a store (``shared``), its own clock counts there.
    That gets the cluster's jobs, and ``store`` this host's own, first.

    When nothing but some schedules changed since the manifest in force, only those are sent: the
    others stand in the store as they are. Of a store that other hosts use, too, only jobs that
    this host had deployed are removed. An agent that claims an occurrence between what is read
    here and what is written makes it begin again, as of then.

    Raises:
        StoreConflict: it came in between each of five times. Nothing was registered.
        StoreUnavailable: the next apply registers what this one did not.
    """
    changed = _changed(facts, manifest)
    if changed == []:
        return []
    jobs = registrations(manifest) if changed is None else changed
    if shared is None:
        return _register(store, jobs, manifest.host, at, changed is None)
    own = [job for job in jobs if job.host]
    ours = [job for job in jobs if not job.host]
    gone: Collection[str] = {
        job.name
        for known in facts.known
        for job in known.jobs
        if changed is None and job.run_on is RunOn.ONE
    }
    names = _register(store, own, manifest.host, at, changed is None)
    if ours or gone:
        # Not by this host's clock: a mark in the future of all would stop the job on each of them.
        names += _register(shared, ours, "", shared.now(), gone, manifest.host)
    return list(dict.fromkeys(names))


def event(
    old: Manifest | None, new: Manifest, at: datetime, uid: int, back_to: int | None = None
) -> AuditEvent:
    """What the audit log says of an apply: which generation, and how many of the jobs changed."""
    before = {job.name: job for job in old.jobs} if old else {}
    after = {job.name: job for job in new.jobs}
    changed = sum(before.get(name) != after.get(name) for name in before | after)
    what = f"{counted(changed, 'job')} changed"
    action, detail = "apply", what
    if back_to is not None:
        action, detail = "rollback", f"back to generation {back_to}: {what}"
    return AuditEvent(at, uid, new.host, action, f"generation {new.generation}", detail)


def _register(
    store: Store,
    jobs: list[Registration],
    host: str,
    at: datetime,
    gone: bool | Collection[str],
    by: str | None = None,
) -> list[str]:
    """``host`` empty: what is the cluster's, and nobody else's; ``by`` is who says so."""
    for _ in range(_TRIES - 1):
        with suppress(StoreConflict):
            return _attempt(store, jobs, host, at, gone, by)
        at = store.now()
    return _attempt(store, jobs, host, at, gone, by)


def _attempt(
    store: Store,
    jobs: list[Registration],
    host: str,
    at: datetime,
    gone: bool | Collection[str],
    by: str | None,
) -> list[str]:
    if gone or len(jobs) > _FEW:
        specs = store.specs()
    else:
        specs = [spec for job in jobs for spec in store.specs(job.job)]
    ends = closing(specs, store.cursors(), jobs, host, at, gone, by=by) if specs else []
    return store.register(jobs, ends, at, remove_others=gone, host=host)


def _changed(facts: Facts, new: Manifest) -> list[Registration] | None:
    """The jobs that the store knows otherwise; None: that cannot be told, or some are gone."""
    old = facts.current
    if old is None or facts.begun:
        return None
    before = {job.name: job for job in registered(old)}
    after = {job.name: job for job in registered(new)}
    if before.keys() - after.keys():
        return None
    found = []
    for name, job in after.items():
        was = before.get(name)
        if was == job and old.host == new.host:
            continue  # most of them, and a registration takes long to make
        now = Registration.of(job, new.host)
        if was is None or replace(now, renamed_from=None) != replace(
            Registration.of(was, old.host), renamed_from=None
        ):
            found.append(now)
    return found
