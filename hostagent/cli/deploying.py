"""Commands that bring jobs.toml onto the host: plan, diff, apply, drift, rollback."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import File, Json, Root, SystemdVersion, User, paths_of
from hostagent.cli.out import emit_json, table
from hostagent.cli.writing import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostagent.compile.versions import Note
    from hostagent.deploy.apply import Applied, Site
    from hostagent.deploy.generations import Generation
    from hostagent.host.paths import Paths

PruneAll = Annotated[
    bool, typer.Option("--prune-all", help="Go on even if that removes every job.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings are errors.")]


def plan(
    file: File = None,
    *,
    diff: Annotated[bool, typer.Option("--diff", help="Show how each unit file changes.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 1 when there is something to change.")
    ] = False,
    user: User = False,
    root: Root = None,
    systemd: SystemdVersion = None,
    as_json: Json = False,
) -> None:
    """Show what apply would change. Nothing is changed, nothing starts."""
    from hostagent.deploy.preview import preview
    from hostagent.deploy.render import render_plan

    paths = paths_of(user=user, root=root)
    with _site(paths) as site:
        wanted, notes = _wanted(site, file, systemd)
        coming = preview(site, wanted, notes)
    if as_json:
        emit_json(coming.to_json())
    else:
        print(render_plan(coming, diff=diff), end="")
    if exit_code and not coming.is_empty:
        raise typer.Exit(1)


def diff(
    file: File = None,
    *,
    user: User = False,
    root: Root = None,
    systemd: SystemdVersion = None,
) -> None:
    """Show how apply would change each unit file, as a unified diff."""
    from hostagent.deploy.preview import preview

    with _site(paths_of(user=user, root=root)) as site:
        wanted, notes = _wanted(site, file, systemd)
        coming = preview(site, wanted, notes)
    for unit in coming.units:
        print("\n".join(unit.diff))


def apply(
    file: File = None,
    *,
    prune_all: PruneAll = False,
    strict: Strict = False,
    user: User = False,
    root: Root = None,
    systemd: SystemdVersion = None,
    as_json: Json = False,
) -> None:
    """Make jobs.toml the state of this host. Never starts a job."""
    from hostagent.deploy.apply import apply as carry_out
    from hostagent.deploy.settled import settled

    with _site(paths_of(user=user, root=root)) as site:
        version = systemd or _version(site)
        done = None if strict else settled(site, file or site.paths.jobs_toml, systemd=version)
        if done is None:
            wanted, _ = _wanted(site, file, version, strict=strict)
            with _with_stores(site) as whole:
                done = carry_out(whole, wanted, prune_all=prune_all)
    _report(done, as_json=as_json)


def drift(*, user: User = False, as_json: Json = False) -> None:
    """List how this host's units differ from what was applied; exit 1 when they do."""
    from hostagent.deploy.drift import drift as find

    with _site(paths_of(user=user)) as site:
        found = find(site)
    if as_json:
        emit_json(
            [{"unit": d.unit, "what": str(d.what), "path": d.path, "fix": d.fix} for d in found]
        )
    else:
        rows = [(d.unit, str(d.what), d.path, d.fix) for d in found]
        table(("UNIT", "WHAT", "WHERE", "FIX"), rows, empty="No drift: as applied.")
    if found:
        raise typer.Exit(1)


def rollback(
    generation: Annotated[
        int | None, typer.Argument(help="Which one [default: the one before the current].")
    ] = None,
    *,
    prune_all: PruneAll = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Deploy an earlier generation again, as a new one. Never starts a job.

    jobs.toml stays as it is: mend it before the next apply.
    """
    from hostagent.deploy.rollback import rollback as go_back

    with _site(paths_of(user=user)) as host, _with_stores(host) as site:
        done = go_back(site, generation, prune_all=prune_all)
    _report(done, as_json=as_json)


@contextmanager
def _site(paths: Paths) -> Iterator[Site]:
    """The host to deploy to, with PID 1; or an image."""
    from hostagent.agent.config import load
    from hostagent.deploy.apply import Site
    from hostagent.errors import RefusedError
    from hostagent.host.labels import gather

    settings = load(paths)
    if paths.root != Path("/"):
        yield Site(paths, settings.host, labels=settings.labels)
        return
    labels = gather(settings.labels, settings.labels_command)
    if labels.problems:
        raise RefusedError("\n".join(labels.problems), "which jobs run here would not be certain")
    from hostagent.systemd.manager import Manager

    with closing(Manager(user=paths.user)) as manager:
        yield Site(
            paths, settings.host, manager, None, lambda: _tell_agent(paths), labels=labels.labels
        )


@contextmanager
def _with_stores(site: Site) -> Iterator[Site]:
    """The site to write to. The shared store first: where it is away, nothing is changed."""
    if site.systemd is None:
        yield site
        return
    from hostagent.agent.config import load, stores
    from hostagent.store.open import open_store

    mine, ours = stores(site.paths, load(site.paths))
    with ExitStack() as opened:
        shared = opened.enter_context(closing(open_store(ours))) if ours else None
        own = opened.enter_context(closing(open_store(mine)))
        yield replace(site, store=own, shared=shared)


def _tell_agent(paths: Paths) -> None:
    """A running agent takes up the new manifest; one that starts later reads it anyway."""
    from hostagent.cli.client import NoAgent, call

    with suppress(NoAgent):
        call(paths, lambda proxy: proxy.Reload())


def _version(site: Site) -> int:
    """The systemd that runs here; for an image, the oldest that we support."""
    return site.systemd.version() if site.systemd is not None else 252


def _wanted(
    site: Site, file: Path | None, version: int | None, *, strict: bool = False
) -> tuple[Generation, tuple[Note, ...]]:
    """What jobs.toml asks for, compiled for this host."""
    import os

    from hostagent.compile.draft import Target
    from hostagent.compile.units import compile_spec
    from hostagent.deploy.apply import desired
    from hostagent.deploy.here import here
    from hostagent.errors import InputError
    from hostagent.spec.load import load

    trusted = os.geteuid() if site.systemd is not None else None
    loaded = load(
        file or site.paths.jobs_toml, check_host=site.systemd is not None, trusted_uid=trusted
    )
    warn(loaded.warnings)
    if strict and loaded.warnings:
        raise InputError(list(loaded.warnings))
    target = Target(systemd=version or _version(site), host=site.name, user=site.paths.user)
    mine, elsewhere = here(loaded.spec, site.name, site.labels)
    compiled = compile_spec(mine, target)
    wanted = desired(loaded.spec, compiled, target, site.clock(), site.labels)
    return wanted, (*compiled.notes, *elsewhere)


def _report(done: Applied, *, as_json: bool) -> None:
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
