"""The command that tells monitoring how things are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostagent.cli.options import User, open_ledger, paths_of
from hostagent.cli.out import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from hostagent.host.paths import Paths
    from hostagent.report.ledgers import Ledgers
    from hostagent.report.metrics import Family, JobFacts


def metrics(
    *,
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", help="Write this file for node_exporter, whole or not at all."),
    ] = None,
    user: User = False,
) -> None:
    """Print how jobs and agent are, as OpenMetrics.

    Runs are those of this host, last runs those of any; see docs/reference/metrics.md.
    """
    from hostagent.errors import RefusedError
    from hostagent.host.files import write_atomically
    from hostagent.report.metrics import text

    families = list(_families(paths_of(user=user), now()))
    if textfile is None:
        print(text(families), end="")
        return
    try:
        write_atomically(textfile, text(families, is_openmetrics=False).encode(), sync=False)
    except OSError as error:
        raise RefusedError(
            f"{textfile} cannot be written: {error.strerror}",
            "name a file in the directory of node_exporter's --collector.textfile.directory",
        ) from error


def _families(paths: Paths, at: datetime) -> Iterator[Family]:
    """Whatever is not reached is told as such."""
    from hostagent import __version__
    from hostagent.agent.config import load
    from hostagent.errors import StoreError
    from hostagent.report import metrics as report

    settings = load(paths)
    yield from report.of_agent(__version__, *_asked(paths))
    try:
        ledger = open_ledger(paths)
    except StoreError:
        yield report.of_stores({"own": False})
        return
    reached = {"own": True}
    if not ledger.is_alone:
        reached["shared"] = ledger.away is None
    yield report.of_stores(reached)
    since = report.counted_since(at, settings.retention)
    yield from report.of_runs(ledger.tally(settings.host, since), since)
    yield from report.of_jobs(list(_jobs(paths, ledger, at)), ledger.quarantines())


def _asked(paths: Paths) -> tuple[Any, Any]:
    """The agent's ``Status`` and ``Backlog``; None where it does not answer."""
    from hostagent.cli.client import Proxy, call
    from hostagent.errors import RefusedError

    async def both(proxy: Proxy) -> tuple[Any, Any]:
        return await proxy.Status(), await proxy.Backlog()

    try:
        told: tuple[Any, Any] = call(paths, both)
    except RefusedError:
        return None, None
    return told


def _jobs(paths: Paths, ledger: Ledgers, at: datetime) -> Iterator[JobFacts]:
    from hostagent.deploy.generations import current
    from hostagent.model import Outcome
    from hostagent.report.metrics import JobFacts
    from hostagent.report.upcoming import of_job
    from hostagent.schedule.occurrences import period
    from hostagent.store.port import RunFilter

    manifest = current(paths)
    attempts = (Outcome.SUCCEEDED, Outcome.FAILED)
    for job in manifest.jobs if manifest else ():
        every = period(job.schedule)
        for scope in job.scopes(manifest.host if manifest else ""):
            where = RunFilter(job=job.name, scope=scope, outcomes=attempts, limit=1)
            last = next(iter(ledger.runs(where)), None)
            success = last
            if last is not None and last.outcome is not Outcome.SUCCEEDED:
                won = RunFilter(job=job.name, scope=scope, outcomes=(Outcome.SUCCEEDED,), limit=1)
                success = next(iter(ledger.runs(won)), None)
            due = next(of_job(job, scope, at), None)
            yield JobFacts(
                job.name, scope, last, success, due.scheduled_for if due else None, every
            )
