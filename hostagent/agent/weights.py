"""The share of the CPU of what catches up: less than that of everything else (rule 2 of the gate).

A unit cannot change its slice while it runs, but its weight. So each run that catches up has weight
20 among the jobs of its lane, and the slice of all jobs has it while nothing but catch-up goes on:
then services outside win, too. PID 1 keeps what was set in drop-ins until the next boot; these are
the truth, so that a weight that an agent before us lowered is raised again.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from hostagent.agent.book import Book, Entry
from hostagent.agent.world import World
from hostagent.compile.names import ROOT_SLICE
from hostagent.errors import SystemdError

CATCH_UP = 20
DEFAULT = 2**64 - 1
DROP_IN = "50-CPUWeight.conf"

log = logging.getLogger(__name__)


class Weights:
    """What is set, by unit; None: the default."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set: dict[str, int | None] = {}

    async def read(self, book: Book) -> None:
        """A new book, or an agent that begins: see what is set, and set it right."""
        found = await asyncio.to_thread(_set_by_now, self._world.paths.control)
        ours = {ROOT_SLICE, *(entry.unit.service for entry in book)}
        self._set = {unit: weight for unit, weight in found.items() if unit in ours}
        await self._set_right(book)

    async def follow(self, book: Book, entry: Entry) -> None:
        """``entry`` is about to start, or has ended."""
        if entry.catching_up or CATCH_UP in self._set.values():
            await self._set_right(book)

    async def _set_right(self, book: Book) -> None:
        """A weight is no reason not to run: what PID 1 refuses is logged, and tried again."""
        systemd = self._world.systemd
        for unit, weight in self._wanted(book).items():
            if unit in self._set and self._set[unit] == weight:
                continue
            self._set[unit] = weight
            value = DEFAULT if weight is None else weight
            try:
                await systemd.call(systemd.it.set_properties, unit, {"CPUWeight": value})
            except SystemdError as error:
                log.warning("%s keeps its weight: %s", unit, error.message)
                self._set.pop(unit, None)

    def _wanted(self, book: Book) -> dict[str, int | None]:
        going = [entry for entry in book if entry.active is not None]
        wanted: dict[str, int | None] = {
            entry.unit.service: CATCH_UP for entry in going if entry.catching_up
        }
        if going and len(wanted) == len(going):
            wanted[ROOT_SLICE] = CATCH_UP
        for unit in self._set.keys() - wanted.keys():
            entry = book.of_service(unit)
            wanted[unit] = entry.job.cpu_weight if entry else None
        return wanted


def _set_by_now(place: Path) -> dict[str, int | None]:
    """What PID 1's drop-ins say: ``CPUWeight=20``, or ``CPUWeight=`` for the default."""
    found: dict[str, int | None] = {}
    for file in place.glob(f"hostagent*.d/{DROP_IN}"):
        for line in file.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key == "CPUWeight":
                found[file.parent.name.removesuffix(".d")] = int(value) if value.isdigit() else None
    return found
