"""Apply: make what compile made the state of this host, without starting a single job.

Every step can be cut short by a kill and every step can be repeated. Unit files are renamed into
place whole; until the end ``pending`` says that an apply is under way, and the next one looks at
what stands on the disk and in PID 1 and does the rest. No job starts: timers that change are
stopped before their files do and start again as if they had just elapsed (systemd#16732); and
the agent, which knows what is due, refuses an activation that matches nothing.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import hostagent
from hostagent.deploy import arming, disk, generations, lock, overrides
from hostagent.deploy.actions import Actions, Facts, decide
from hostagent.deploy.generations import Generation, sha256
from hostagent.errors import RefusedError
from hostagent.host.files import distrust
from hostagent.host.paths import Paths
from hostagent.model import Job, Manifest, Spec
from hostagent.store.port import Store
from hostagent.systemd.port import Systemd

if TYPE_CHECKING:  # jinja2 is no part of an apply that has nothing to compile
    from hostagent.compile.draft import Target
    from hostagent.compile.units import Compiled


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Site:
    """Where to deploy, and with whom: what the composition root made for this host.

    ``name`` and ``labels`` are the host's. ``systemd`` and ``store`` are None for an image
    (``--root``): files and links are made and nobody is asked or told. ``notify_agent`` tells a
    running agent that there is a new manifest; it must not raise when there is none. ``shared``
    is the store that hosts share, where they do: ``store`` then keeps the host's own jobs alone.
    """

    paths: Paths
    name: str
    systemd: Systemd | None = None
    store: Store | None = None
    notify_agent: Callable[[], None] = lambda: None
    clock: Callable[[], datetime] = _now
    labels: tuple[str, ...] = ()
    shared: Store | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did. ``generation`` is the one in force after it.

    ``rearmed`` are the timers that were started, ``repaired`` what had drifted and ``left`` what
    was left alone (each ``(unit, what)``), ``changed_jobs`` those whose registration changed.
    """

    generation: int
    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rearmed: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    repaired: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    changed_jobs: tuple[str, ...] = ()
    reloads: int = 0
    is_unchanged: bool = False


def desired(
    spec: Spec, compiled: Compiled, target: Target, at: datetime, labels: tuple[str, ...] = ()
) -> Generation:
    """What an apply of ``spec`` would deploy, as a generation that has no number yet (0)."""
    return Generation(
        Manifest(
            generation=0,
            created_at=at,
            systemd=target.systemd,
            host=target.host,
            labels=labels,
            jobs=spec.jobs,
            pools=spec.pools,
            notify=spec.notify,
            units=compiled.units,
            files=tuple((name, sha256(text)) for name, text in compiled.files.items()),
            wants=compiled.wants,
            sources=spec.sources,
            hostagent=hostagent.__version__,
        ),
        compiled.files,
    )


def apply(
    site: Site, wanted: Generation, *, prune_all: bool = False, back_to: int | None = None
) -> Applied:
    """Deploy ``wanted``; return what was done. ``back_to`` is the generation that it was before.

    Who did it stands in the audit log of this host.

    Raises:
        LockedError: another apply is at work.
        RefusedError: a foreign file stands in the way, a directory is not to be trusted, or all
            jobs would be removed without ``prune_all``. Nothing was changed.
        SystemdError, StoreError: PID 1 or the store refused half-way; the next apply finishes.
    """
    refuse_untrusted(site.paths, wanted.manifest)
    with lock.held(site.paths.state / "apply.lock"):
        facts = gather(site, wanted.manifest)
        refuse_pruning_all(facts, wanted.manifest, prune_all=prune_all)
        actions = decide(facts, wanted.manifest, wanted.files)
        refuse_foreign(site.paths, actions.foreign)
        if actions.is_empty and facts.current and is_same(facts.current, wanted.manifest):
            return Applied(facts.current.generation, left=actions.left, is_unchanged=True)
        return _carry_out(site, facts, actions, wanted, back_to)


def gather(site: Site, new: Manifest) -> Facts:
    """What is found on the disk and in PID 1 that bears on deploying ``new``."""
    paths = site.paths
    current = generations.current(paths)
    begun = [generations.manifest_of(paths, number) for number in generations.pending(paths)]
    manifests = [manifest for manifest in (current, *begun, new) if manifest]
    return Facts(
        current=current,
        begun=begun,
        files=disk.look_at_all(
            paths.units, {name for manifest in manifests for name, _ in manifest.files}
        ),
        wants=disk.links(
            paths.units, {target for manifest in manifests for _, target in manifest.wants}
        ),
        loaded=site.systemd.loaded("hostagent-*.timer") if site.systemd else None,
    )


def is_same(one: Manifest, other: Manifest) -> bool:
    """Whether two manifests say the same, whenever they were deployed."""
    return replace(one, generation=0, created_at=other.created_at) == replace(other, generation=0)


def refuse_untrusted(paths: Paths, manifest: Manifest) -> None:
    """Raise RefusedError when others than root (or the user) can change what PID 1 will run."""
    if paths.root != Path("/"):
        return  # an image: who owns it now says nothing about who will
    places = [paths.units, paths.generations]
    places += [path for _, path in overrides.drop_ins(paths, manifest)]
    places += [path for job in manifest.jobs for path in _environment_files(job)]
    reasons = [reason for path in places if (reason := distrust(path, os.geteuid()))]
    if reasons:
        raise RefusedError(
            "\n".join(dict.fromkeys(reasons)), "what runs as root must be writable by root alone"
        )


def _environment_files(job: Job) -> list[Path]:
    """What PID 1 hands to the admission client, too, which runs as root (decision 0106)."""
    patterns = [file.removeprefix("-") for file in job.environment_file]
    return [Path(name) for pattern in patterns for name in (glob.glob(pattern) or [pattern])]  # noqa: PTH207 -- absolute, as systemd globs


def refuse_pruning_all(facts: Facts, new: Manifest, *, prune_all: bool) -> None:
    """Raise RefusedError when every job would go and nobody said that this is meant."""
    if facts.current and facts.current.jobs and not new.jobs and not prune_all:
        raise RefusedError(
            f"this would remove all {len(facts.current.jobs)} jobs of this host",
            "if that is meant, say --prune-all",
        )


def refuse_foreign(paths: Paths, names: Iterable[str]) -> None:
    """Raise RefusedError naming each file that stands in the way and is not ours."""
    if found := [f"{paths.units / name} is in the way and was not made by apply" for name in names]:
        raise RefusedError("\n".join(found), "move it away, or rename the job")


def _carry_out(
    site: Site, facts: Facts, actions: Actions, wanted: Generation, back_to: int | None
) -> Applied:
    paths = site.paths
    number = max(generations.numbers(paths), default=0) + 1
    manifest = replace(wanted.manifest, generation=number, created_at=site.clock())
    generations.write(paths, Generation(manifest, wanted.files))
    generations.begin(paths, number)

    paths.units.mkdir(parents=True, exist_ok=True)
    disk.sweep(paths.units)
    disk.stage(paths.units, {name: wanted.files[name] for name in actions.write})
    if site.systemd and actions.stop:
        site.systemd.stop(actions.stop)
    _change_files(paths, actions, manifest)
    if site.systemd and actions.reload:
        site.systemd.reload()

    at = site.clock()
    generations.flip(paths, number)
    changed_jobs = _register(site, facts, manifest, at, back_to)
    site.notify_agent()
    _restore_forgotten(paths, actions, manifest)
    if site.systemd:
        loaded = facts.loaded or {}
        arming.stamp(paths, actions.start, wanted.files, loaded, at)
        # Six edits in ten seconds would hit a timer's start limit; this forgets the count, too.
        known = [timer for timer in actions.start if timer in loaded]
        site.systemd.reset_failed([*known, *actions.retire])
        arming.start(site.systemd, paths, actions.start)
    arming.drop_stamps(paths, actions.gone)
    generations.finish(paths)
    return Applied(
        generation=number,
        written=actions.write,
        removed=actions.remove,
        rearmed=actions.start,
        stopped=actions.stop,
        repaired=actions.repaired,
        left=actions.left,
        changed_jobs=tuple(changed_jobs),
        reloads=int(site.systemd is not None and actions.reload),
    )


def _change_files(paths: Paths, actions: Actions, manifest: Manifest) -> None:
    """Everything that PID 1 will read at its next reload."""
    forget = set(actions.forget)
    disk.unlink(paths.units, actions.disable)
    disk.unlink(paths.units, [want for want in manifest.wants if want[0] in forget])
    disk.put_in_place(paths.units, actions.write)
    for name in actions.remove:
        (paths.units / name).unlink(missing_ok=True)
    disk.link(paths.units, [want for want in actions.enable if want[0] not in forget])
    _sync_directories(paths, manifest)


def _restore_forgotten(paths: Paths, actions: Actions, manifest: Manifest) -> None:
    if actions.forget:
        forget = set(actions.forget)
        disk.link(paths.units, [want for want in manifest.wants if want[0] in forget])
        _sync_directories(paths, manifest)


def _sync_directories(paths: Paths, manifest: Manifest) -> None:
    for target in {target for _, target in manifest.wants}:
        if (wants := paths.units / f"{target}.wants").is_dir():
            disk.sync(wants)
    disk.sync(paths.units)


def _register(
    site: Site, facts: Facts, manifest: Manifest, at: datetime, back_to: int | None
) -> list[str]:
    if site.store is None:
        return []
    # An apply that changes nothing needs no calendar.
    from hostagent.deploy.ledger import event, register  # noqa: PLC0415 -- see above

    changed = register(site.store, facts, manifest, at, shared=site.shared)
    site.store.log(event(facts.current, manifest, at, os.getuid(), back_to))
    return changed
