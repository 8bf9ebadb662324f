"""What <TAB> offers: names of what is deployed, and ids of the last runs. Quick, or silent."""

from __future__ import annotations

from contextlib import closing

import typer

LAST = 50
"""So many runs are offered."""


def job_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The jobs of this host; none where that cannot be read."""
    from hostagent.cli.options import paths_of
    from hostagent.deploy.generations import current
    from hostagent.errors import HostagentError

    try:
        manifest = current(paths_of(user=bool(ctx.params.get("user"))))
    except (HostagentError, OSError):
        return []
    names = [job.name for job in manifest.jobs] if manifest else []
    return [name for name in names if name.startswith(incomplete)]


def run_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """The last runs in this host's own ledger, the newest first; the shared one may be away."""
    from hostagent.agent.config import load, stores
    from hostagent.cli.options import paths_of
    from hostagent.errors import HostagentError
    from hostagent.store.open import open_store
    from hostagent.store.port import RunFilter

    try:
        paths = paths_of(user=bool(ctx.params.get("user")))
        own, _ = stores(paths, load(paths))
        with closing(open_store(own, read_only=True)) as store:
            found = store.runs(RunFilter(limit=LAST))
    except (HostagentError, OSError):
        return []
    return [one for one in dict.fromkeys(run.run_id for run in found) if one.startswith(incomplete)]


def jobs_and_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Both; runs where a job's name stands already."""
    return job_names(ctx, incomplete) + run_ids(ctx, incomplete)
