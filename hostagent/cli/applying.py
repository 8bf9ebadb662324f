"""What apply does with the host, and what it then says; without the command line's weight.

A plain ``hostagent apply`` comes here straight from ``main``: what configuration management runs
all day, mostly to hear that there is nothing to do, must not wait for typer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hostagent.agent.config import load as configured
from hostagent.agent.config import stores
from hostagent.cli.out import emit_json, errors_explained, warn
from hostagent.deploy.apply import Applied, Site
from hostagent.deploy.apply import apply as carry_out
from hostagent.deploy.settled import settled
from hostagent.errors import InputError, RefusedError, StoreError
from hostagent.host import paths as places
from hostagent.host.labels import gather
from hostagent.host.paths import Paths
from hostagent.systemd.manager import Manager

if TYPE_CHECKING:  # an apply that has nothing to compile does not read the spec's machinery
    from hostagent.compile.versions import Note
    from hostagent.deploy.generations import Generation
    from hostagent.model import Job


def main(file: str | None = None) -> None:
    """``hostagent apply [FILE]`` and no option."""
    with errors_explained():
        report(apply(places.system("/"), Path(file) if file is not None else None))


def apply(
    paths: Paths,
    file: Path | None = None,
    *,
    prune_all: bool = False,
    strict: bool = False,
    systemd: int | None = None,
) -> Applied:
    """Make ``file`` (by default the host's jobs.toml) the state of the host."""
    with site(paths) as there:
        target = systemd or version(there)
        done = None if strict else settled(there, file or paths.jobs_toml, systemd=target)
        if done is None:
            generation, _ = wanted(there, file, target, strict=strict)
            with with_stores(there) as whole:
                done = carry_out(whole, generation, prune_all=prune_all)
    return done


@contextmanager
def site(paths: Paths) -> Iterator[Site]:
    """The host to deploy to, with PID 1; or an image."""
    settings = configured(paths)
    if paths.root != Path("/"):
        yield Site(paths, settings.host, labels=settings.labels)
        return
    labels = gather(settings.labels, settings.labels_command)
    if labels.problems:
        raise RefusedError("\n".join(labels.problems), "which jobs run here would not be certain")
    with closing(Manager(user=paths.user)) as manager:
        yield Site(
            paths, settings.host, manager, None, lambda: _tell_agent(paths), labels=labels.labels
        )


@contextmanager
def with_stores(site: Site) -> Iterator[Site]:
    """The site to write to. The shared store first: where it is away, nothing is changed."""
    if site.systemd is None:
        yield site
        return
    from hostagent.store.open import open_store

    mine, ours = stores(site.paths, configured(site.paths))
    with ExitStack() as opened:
        shared = opened.enter_context(closing(open_store(ours))) if ours else None
        own = opened.enter_context(closing(open_store(mine)))
        yield replace(site, store=own, shared=shared)


def _tell_agent(paths: Paths) -> None:
    """A running agent takes up the new manifest; one that starts later reads it anyway."""
    from hostagent.cli.client import NoAgent, call

    with suppress(NoAgent):
        call(paths, lambda proxy: proxy.Reload())


def version(site: Site) -> int:
    """The systemd that runs here; for an image, the oldest that we support."""
    return site.systemd.version() if site.systemd is not None else 252


def wanted(
    site: Site, file: Path | None, systemd: int | None, *, strict: bool = False
) -> tuple[Generation, tuple[Note, ...]]:
    """What jobs.toml asks for, compiled for this host."""
    from hostagent.compile.draft import Target
    from hostagent.compile.units import compile_spec
    from hostagent.deploy.apply import desired
    from hostagent.deploy.here import here
    from hostagent.spec.load import load

    trusted = os.geteuid() if site.systemd is not None else None
    loaded = load(
        file or site.paths.jobs_toml, check_host=site.systemd is not None, trusted_uid=trusted
    )
    warn(loaded.warnings)
    if strict and loaded.warnings:
        raise InputError(list(loaded.warnings))
    target = Target(systemd=systemd or version(site), host=site.name, user=site.paths.user)
    mine, elsewhere = here(loaded.spec, site.name, site.labels)
    compiled = compile_spec(mine, target)
    generation = desired(loaded.spec, compiled, target, site.clock(), site.labels)
    return generation, (*compiled.notes, *elsewhere)


def near_intervals(site: Site, jobs: Iterable[Job]) -> tuple[Note, ...]:
    """Whose runs would soon overlap, as far as the ledger is at hand."""
    from hostagent.cli.options import open_ledger
    from hostagent.compile.versions import Note
    from hostagent.report.near import near_intervals as find

    if site.systemd is None:
        return ()
    with suppress(StoreError):  # before the first apply there is none
        found = find(open_ledger(site.paths), jobs, site.name)
        return tuple(Note(job, "near_interval", reason) for job, reason in found)
    return ()


def report(done: Applied, *, as_json: bool = False) -> None:
    """Say what was done."""
    if as_json:
        emit_json(
            {
                "generation": done.generation,
                "unchanged": done.is_unchanged,
                "written": list(done.written),
                "removed": list(done.removed),
                "rearmed": list(done.rearmed),
                "repaired": [list(pair) for pair in done.repaired],
                "left": [list(pair) for pair in done.left],
                "changed_jobs": list(done.changed_jobs),
                "reloads": done.reloads,
            }
        )
        return
    for unit, what in done.left:
        print(f"left alone: {unit}: {what}")
    if done.is_unchanged:
        print(f"Nothing to do: generation {done.generation} is in force. No job was started.")
        return
    for unit, what in done.repaired:
        print(f"repaired: {unit}: {what}")
    print(
        f"Applied generation {done.generation}: {len(done.written)} unit files written, "
        f"{len(done.removed)} removed, {len(done.rearmed)} timers armed. No job was started."
    )
    print("See: systemctl list-timers 'hostagent-*'")
