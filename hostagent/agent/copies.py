"""What this host keeps of its own jobs, copied into the store that hosts share, for others to see.

How far it was copied is what that store itself says (its cursors of these jobs): written with the
rows, in one call that can be repeated. So whatever was lost on the way, or with either end, is
found again by comparing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent.agent.daemon import Daemon
from hostagent.errors import StoreUnavailable
from hostagent.model import Kind, Run
from hostagent.store.port import Cursor, Mark, RunFilter, SpecRecord, Store

PAGE = 200
"""Rows in one call: a megabyte or so, and never more than a store takes at once."""

Name = tuple[str, str]
Stand = tuple[object, ...]

_LEAST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class News:
    """What is to be recorded. ``stands``: of what is copied whole by that; ``is_all``: all is.

    ``specs`` come with the last page: before its rows are there, a schedule would only say that
    they are missing.
    """

    specs: tuple[SpecRecord, ...] | None
    runs: tuple[Run, ...]
    marks: tuple[Mark, ...]
    stands: Mapping[Name, Stand]
    is_all: bool


class Copies:
    """One agent's. Idle while nothing asked the own ledger for anything."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._world = daemon.world
        self._calls = -1
        self._known: dict[Name, Mark] | None = None
        self._told: tuple[SpecRecord, ...] = ()
        self._stands: dict[Name, Stand] = {}
        self._is_busy = False

    def look(self) -> None:
        """The store was reached: copy what is new, beside everything else."""
        if not self._is_busy and self._world.own.calls != self._calls:
            self._is_busy = True
            self._daemon.spawn(self._copy())

    async def _copy(self) -> None:
        try:
            while not await self._copy_page():
                pass
        except StoreUnavailable:
            self._known = None  # whether the last call was made is not known: read it
        finally:
            self._is_busy = False

    async def _copy_page(self) -> bool:
        """Whether that was all."""
        own, shared, host = self._world.own, self._world.shared, self._world.host
        assert shared is not None
        known = await self._marks()
        before = own.calls
        news = await own.call(gather, own.it, host, known, self._stands)
        specs = news.specs if news.specs != self._told else None
        if specs is not None or news.runs or news.marks:
            await shared.call(shared.it.record, host, specs, news.runs, news.marks)
            for run in news.runs:
                self._daemon.alarms.ended(run)
        self._told = self._told if news.specs is None else news.specs
        self._stands.update(news.stands)
        known.update({(mark.job, mark.scope): mark for mark in news.marks})
        if news.is_all:
            self._calls = before + 1
        return news.is_all

    async def _marks(self) -> dict[Name, Mark]:
        """How far all was copied, as the shared store says."""
        own, shared, host = self._world.own, self._world.shared, self._world.host
        assert shared is not None
        if self._known is None:
            names = names_of(specs_of(await own.call(own.it.specs), host))
            cursors = await shared.call(shared.it.cursors, names)
            self._told = specs_of(await shared.call(shared.it.specs), host)
            self._known = {
                (c.job, c.scope): Mark(c.job, c.scope, c.spec_hash, c.high_water, c.token)
                for c in cursors
            }
        return self._known


def gather(own: Store, host: str, known: Mapping[Name, Mark], stands: Mapping[Name, Stand]) -> News:
    """What the own ledger has that the shared store has not, a page of it at most."""
    specs = specs_of(own.specs(), host)
    hashes = {(spec.job, scope): spec.hash for spec in specs for scope in spec.scopes}
    cursors = {(c.job, c.scope): c for c in own.cursors(names_of(specs))}
    runs: list[Run] = []
    marks: list[Mark] = []
    whole: dict[Name, Stand] = {}
    for name, spec_hash in hashes.items():
        cursor = cursors.get(name)
        stand = stand_of(cursor)
        if stands.get(name) == stand:
            continue
        if len(runs) >= PAGE:
            return News(None, tuple(runs), tuple(marks), whole, is_all=False)
        mark = since(known.get(name), cursor)
        rows, is_whole = _rows(own, name, mark, cursor, PAGE - len(runs))
        reached = reach(name, spec_hash, cursor, mark, rows, is_whole=is_whole)
        marks += [] if reached is None else [reached]
        runs += [row for row in rows if row.outcome is not None]
        if not is_whole:
            return News(None, tuple(runs), tuple(marks), whole, is_all=False)
        if mark is not None:
            runs += _late(own, mark)
        whole[name] = stand
    return News(specs, tuple(runs), tuple(marks), whole, is_all=True)


def specs_of(specs: Iterable[SpecRecord], host: str) -> tuple[SpecRecord, ...]:
    """The host's own, as they compare with those of another ledger: their numbers differ."""
    return tuple(replace(spec, seq=0) for spec in specs if spec.host == host)


def names_of(specs: Iterable[SpecRecord]) -> set[Name]:
    """Each (job, scope) that there ever was."""
    return {(spec.job, scope) for spec in specs for scope in spec.scopes}


def stand_of(cursor: Cursor | None) -> Stand:
    """When it is the same as before, no row was written since."""
    if cursor is None:
        return ()
    tokens = [run and run.token for run in (cursor.active, cursor.retry)]
    return (cursor.spec_hash, cursor.high_water, cursor.token, *tokens)


def since(mark: Mark | None, cursor: Cursor | None) -> Mark | None:
    """From where on rows are new. A token that the ledger has not reached is of one before it."""
    if mark is None or (cursor is not None and cursor.token < mark.token):
        return None
    return mark


def reach(
    name: Name,
    spec_hash: str,
    cursor: Cursor | None,
    mark: Mark | None,
    rows: Sequence[Run],
    *,
    is_whole: bool,
) -> Mark | None:
    """How far it is copied once ``rows``, those from ``mark`` on in time order, are.

    Not beyond a run that goes on: nobody would see an outcome of what lies below. None: there
    is nothing to say.
    """
    if cursor is None and not rows:
        return None
    if cursor is None or not is_whole:
        marks = [mark.high_water] if mark is not None else []
        high_water = max([*marks, *(row.scheduled_for for row in rows)])
    else:
        high_water = cursor.high_water
    token = mark.token if mark is not None else 0
    if is_whole and cursor is not None:
        open_runs = [run.token - 1 for run in (cursor.active, cursor.retry) if run is not None]
        token = min([cursor.token, *open_runs])
    elif is_whole:
        token = max([token, *(row.token for row in rows)])
    return Mark(*name, cursor.spec_hash if cursor else spec_hash, below(cursor, high_water), token)


def below(cursor: Cursor | None, at: datetime) -> datetime:
    """``at``, or, if that is earlier, the moment before what the active run stands for."""
    run = cursor.active if cursor else None
    if run is None or run.kind is not Kind.SCHEDULED:
        return at
    return min(at, (run.covers_from or run.scheduled_for) - _LEAST)


def _rows(
    own: Store, name: Name, mark: Mark | None, cursor: Cursor | None, room: int
) -> tuple[list[Run], bool]:
    """The rows from ``mark`` on, in time order, and whether these are all.

    If not, they reach further than ``mark``.
    """
    begin = mark.high_water if mark is not None else None
    while True:
        where = RunFilter(job=name[0], scope=name[1], since=begin, limit=room, oldest_first=True)
        rows = own.runs(where)
        if len(rows) < room:
            return rows, True
        if begin is None or below(cursor, rows[-1].scheduled_for) > begin:
            return rows, False
        room *= 2


def _late(own: Store, mark: Mark) -> list[Run]:
    """What was asked for by hand, since, and meant as of earlier."""
    found = [
        own.runs(
            RunFilter(
                job=mark.job,
                scope=mark.scope,
                kind=kind,
                until=mark.high_water - _LEAST,
                token_above=mark.token,
            )
        )
        for kind in (Kind.MANUAL, Kind.BACKFILL)
    ]
    return [row for rows in found for row in rows if row.outcome is not None]
