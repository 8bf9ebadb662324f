"""The command that watches this host: what runs, what is held and why, how loaded it is."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json, now

if TYPE_CHECKING:
    from hostagent.cli.client import Proxy
    from hostagent.host.paths import Paths
    from hostagent.report.picture import Picture

LEAST = timedelta(seconds=1)
"""Who looks more often is seen in the picture."""


def top(
    *,
    interval: Annotated[
        str, typer.Option("--interval", help="How long until the next picture; 1s at least.")
    ] = "2s",
    once: Annotated[
        bool, typer.Option("--once", help="Print one picture, as it is done where it is piped.")
    ] = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Watch this host: what runs, what is held and why, pressure.

    q or ctrl-c leaves. CPU use is that since the last picture, in the first one since each start.
    """
    from hostagent.report.top import draw

    every, paths = _interval(interval), paths_of(user=user)
    if as_json:
        _print_json(paths)
        return
    if once or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        from hostagent.cli.client import call

        picture = call(paths, _look)
        width = os.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
        print("\n".join(line.text for line in draw(picture, None, width, None)))
        return
    from hostagent.cli.client import ask
    from hostagent.cli.screen import watch

    watch(lambda: ask(paths, _look), every)


def _interval(text: str) -> timedelta:
    from hostagent.errors import InputError
    from hostagent.spec.spans import parse_span

    try:
        every = parse_span(text)
    except ValueError as error:
        raise InputError(f"--interval {error}", "write 2s") from None
    if every < LEAST:
        raise InputError(f'--interval "{text}" is shorter than 1s', "write 2s")
    return every


async def _answers(proxy: Proxy) -> tuple[Any, Any, Any]:
    """What the agent says, if it does so in time."""
    import asyncio

    from hostagent.cli.client import PATIENCE_S

    async with asyncio.timeout(PATIENCE_S):
        return await proxy.Status(), await proxy.Going(), await proxy.Backlog()


async def _look(proxy: Proxy) -> Picture:
    """Ask the agent and the kernel."""
    from hostagent.host.pressure import Pressure
    from hostagent.report.picture import picture_of

    answers = await _answers(proxy)
    kernel = Pressure(time.monotonic).averages()
    return picture_of(now(), *answers, kernel, os.cpu_count() or 1)


def _print_json(paths: Paths) -> None:
    from hostagent.cli.client import call
    from hostagent.host.pressure import Pressure

    _, going, backlog = call(paths, _answers)
    gate = {name: backlog[name] for name in ("level", "most", "used", "held")}
    emit_json(going | gate | {"kernel": asdict(Pressure(time.monotonic).averages())})
