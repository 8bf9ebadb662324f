"""The commands that show everything in a browser: one writes the page, one serves it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostagent.cli.options import User, open_ledger, paths_of
from hostagent.cli.out import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from hostagent.host.paths import Paths
    from hostagent.model import Run
    from hostagent.report.ledgers import Ledgers
    from hostagent.report.page.facts import Facts
    from hostagent.store.port import Pause

LISTEN = "127.0.0.1:8470"
FILE = "index.html"

STATUS = ("barred", "alarms")
BACKLOG = ("settles", "pace", "held", "catching_up", "backfills")
"""What is taken from the agent's answers; one of another age may not say it."""


def page(
    *,
    out: Annotated[
        Path,
        typer.Option("--out", help="Write DIR/index.html.", metavar="DIR"),
    ],
    user: User = False,
) -> None:
    """Write one web page that shows everything.

    The cluster, the timeline, the backlog, and the runs of each job. It is complete in itself, and
    asks no other server for anything.
    """
    from hostagent.errors import RefusedError
    from hostagent.host.files import write_atomically

    text = _html(paths_of(user=user))
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / FILE, text.encode(), sync=False)
    except OSError as error:
        raise RefusedError(
            f"{out / FILE} cannot be written: {error.strerror}",
            "name a directory in which you may write",
        ) from error
    print(f"wrote {out / FILE} ({len(text.encode()) / 1000:.0f} kB)")


def serve(
    *,
    listen: Annotated[
        str,
        typer.Option(
            "--listen", help="HOST:PORT, or the path of a Unix socket.", metavar="ADDRESS"
        ),
    ] = LISTEN,
    user: User = False,
) -> None:
    """Serve that page, read-only, until stopped.

    Each request has it made anew. Whoever reaches the address reads all of it, so by default that
    is this host alone. A Unix socket is for its owner and group.
    """
    from hostagent.report.page import serving

    paths = paths_of(user=user)
    with serving.Server(serving.address(listen), lambda: _html(paths)) as server:
        print(f"serving at {server.place}", flush=True)
        server.serve_forever()


def _html(paths: Paths) -> str:
    from hostagent.report.page.render import html
    from hostagent.report.page.view import page as view

    return html(view(_facts(paths, now())))


def _facts(paths: Paths, at: datetime) -> Facts:
    """Whatever is not reached is told as such; without this host's own ledger there is no page."""
    from hostagent import __version__
    from hostagent.agent.config import load
    from hostagent.deploy.generations import current
    from hostagent.report.page.facts import AHEAD, DAY, MOST_OF_DAY, Facts

    manifest = current(paths)
    jobs = manifest.jobs if manifest else ()
    agent = _asked(paths)
    with closing(open_ledger(paths)) as ledger:
        specs = [
            spec
            for spec in ledger.specs()
            if spec.valid_to is None or spec.valid_to > at - DAY - AHEAD
        ]
        day = ledger.going_on(at - DAY, at, limit=MOST_OF_DAY)
        names = {job.name for job in jobs} | {spec.job for spec in specs} | {run.job for run in day}
        return Facts(
            now=at,
            version=__version__,
            host=load(paths).host,
            specs=specs,
            jobs=jobs,
            day=day,
            day_since=_cut(day, at - DAY, MOST_OF_DAY),
            runs=_runs(ledger, names),
            sessions=ledger.sessions() if ledger.away is None else (),
            pauses=list(_pauses(ledger)),
            quarantines=ledger.quarantines(),
            **agent,
            away=ledger.away.message if ledger.away else "",
        )


def _cut(day: Sequence[Run], begin: datetime, most: int) -> datetime | None:
    """Where the rows begin that were read, if they were too many to read them from ``begin`` on."""
    if len(day) < most:
        return None
    first = day[-most].scheduled_for
    return first if first > begin else None


def _asked(paths: Paths) -> dict[str, Any]:
    """The facts that the agent knows; or why it does not say."""
    from hostagent.cli.backlog import samples_of
    from hostagent.cli.client import Proxy, call
    from hostagent.cli.hung import marks
    from hostagent.errors import RefusedError

    async def everything(proxy: Proxy) -> dict[str, Any]:
        status, backlog = await proxy.Status(), await proxy.Backlog()
        return {
            "status": {name: status[name] for name in STATUS},
            "hung": marks(status),
            "backlog": {name: backlog[name] for name in BACKLOG},
            "samples": samples_of((await proxy.Samples())["samples"]),
        }

    try:
        told: dict[str, Any] = call(paths, everything)
    except RefusedError as error:
        return {"no_agent": error.message, "agent_fix": error.hint or ""}
    return told


def _runs(ledger: Ledgers, names: set[str]) -> dict[str, list[Run]]:
    from hostagent.report.page.facts import runs_each
    from hostagent.store.port import RunFilter

    each = runs_each(len(names))
    return {name: ledger.runs(RunFilter(job=name, limit=each)) for name in names}


def _pauses(ledger: Ledgers) -> Iterator[Pause]:
    """Those of both kinds of jobs, each once."""
    from hostagent.model import RunOn

    found = [one for run_on in RunOn for one in ledger.pauses(run_on)]
    yield from dict.fromkeys(found)
