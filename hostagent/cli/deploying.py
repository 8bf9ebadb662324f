"""Commands that bring jobs.toml onto the host: plan, diff, apply, drift, rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from hostagent.cli.options import File, Json, Root, SystemdVersion, User, paths_of
from hostagent.cli.out import emit_json, table

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
    from hostagent.cli import applying
    from hostagent.deploy.preview import preview
    from hostagent.deploy.render import render_plan

    paths = paths_of(user=user, root=root)
    with applying.site(paths) as site:
        wanted, notes = applying.wanted(site, file, systemd)
        notes += applying.near_intervals(site, wanted.manifest.jobs)
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
    from hostagent.cli import applying
    from hostagent.deploy.preview import preview

    with applying.site(paths_of(user=user, root=root)) as site:
        wanted, notes = applying.wanted(site, file, systemd)
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
    from hostagent.cli import applying

    done = applying.apply(
        paths_of(user=user, root=root), file, prune_all=prune_all, strict=strict, systemd=systemd
    )
    applying.report(done, as_json=as_json)


def drift(*, user: User = False, as_json: Json = False) -> None:
    """List how units differ from what was applied; exit 1: they do."""
    from hostagent.cli import applying
    from hostagent.deploy.drift import drift as find

    with applying.site(paths_of(user=user)) as site:
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
    from hostagent.cli import applying
    from hostagent.deploy.rollback import last_other
    from hostagent.deploy.rollback import rollback as go_back
    from hostagent.deploy.settled import settled

    with applying.site(paths_of(user=user)) as host, applying.with_stores(host) as site:
        done = go_back(site, generation, prune_all=prune_all)
        other = last_other(site) if done.is_unchanged else None
        is_undone = settled(host, host.paths.jobs_toml, systemd=applying.version(host)) is None
    applying.report(done, as_json=as_json)
    if as_json:
        return
    if other is not None:
        print(f"The last generation that differs: {other}; see: hostagent rollback {other}")
    elif is_undone and not done.is_unchanged:
        print("jobs.toml still differs: the next apply undoes this; see: hostagent plan")
