"""Reading jobs.toml and jobs.d as a whole: ``load(path)`` gives the spec, or every problem at once.

In order: files and their syntax, the tables one by one, then what they say about each other.
What is wrong in one step does not hide what is wrong in the next, unless the next would only
repeat it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hostagent.errors import InputError, Problem
from hostagent.model import Job, Notify, Pool, Spec
from hostagent.spec import lint, messages
from hostagent.spec.files import Document, read
from hostagent.spec.jobs import build
from hostagent.spec.names import check_names
from hostagent.spec.resolve import Layer, Origin, Place, check_extends, draft, layer
from hostagent.spec.schema import File, JobTable, NotifyTable, PoolTable, Table
from hostagent.spec.values import shown

MAX_JOBS = 100_000
_NAMED = ("profile", "job", "pool", "notify")


@dataclass(frozen=True)
class Loaded:
    """What ``load`` read. ``places`` and ``derived`` hold what ``origins`` is made of."""

    spec: Spec
    warnings: tuple[Problem, ...]
    places: Mapping[str, Mapping[str, Place]]
    derived: Mapping[str, Mapping[str, Origin]]

    @cached_property
    def origins(self) -> dict[str, dict[str, Origin]]:
        """For each job and each key that has a value not built in: where that value comes from.

        Tables have a key for each entry, as in ``environment.PATH``.
        """
        return {
            name: {key: place.origin() for key, place in places.items() if key}
            | dict(self.derived[name])
            for name, places in self.places.items()
        }


class _Problems:
    """Problems in the order of files and lines, each once."""

    def __init__(self) -> None:
        self._found: list[tuple[int, Problem]] = []

    def add(self, found: tuple[Document, Problem]) -> None:
        document, problem = found
        self._found.append((document.index, problem))

    def extend(self, found: Iterable[tuple[Document, Problem]]) -> None:
        for each in found:
            self.add(each)

    def all(self) -> list[Problem]:
        ordered = sorted(set(self._found), key=lambda p: (p[0], p[1].line, p[1].column, str(p[1])))
        return [problem for _, problem in ordered]


@dataclass(frozen=True)
class _Tables:
    """All tables of all files by kind and name; a table may have keys that are broken."""

    named: Mapping[str, dict[str, Layer]]
    defaults: Layer | None
    models: Mapping[tuple[str, str], Table]


def load(
    path: Path,
    *,
    check_host: bool = True,
    trusted_uid: int | None = None,
    now: datetime | None = None,
) -> Loaded:
    """Read ``path`` and its drop-ins.

    ``check_host``: users, groups and programs must exist on this host. ``trusted_uid``: refuse
    what others than root and that user could have written; None: do not look. ``now`` is what
    the warnings take for the present.

    Raises:
        InputError: with all problems, in the order of files and lines.
    """
    documents, unread = read(path, trusted_uid)
    problems = _Problems()
    tables = _tables(documents, problems)
    if unread:
        # A name that an unread file may define is not unknown: say no more than is certain.
        raise InputError(list(dict.fromkeys(unread)) + problems.all())
    jobs, places, derived = _jobs(tables, problems, check_host=check_host)
    if found := problems.all():
        raise InputError(found)
    spec = Spec(
        jobs=tuple(jobs),
        pools=tuple(_pool(n, tables.models["pool", n]) for n in tables.named["pool"]),
        notify=tuple(_notify(n, tables.models["notify", n]) for n in tables.named["notify"]),
        sources=tuple((document.path, document.sha256) for document in documents),
    )
    order = {document.path: document.index for document in documents}
    warnings = lint.lint(spec, places, now or datetime.now(UTC), check_host=check_host)
    ordered = sorted(warnings, key=lambda w: (order.get(w.path, 0), w.line, w.column, str(w)))
    return Loaded(spec, tuple(ordered), places, derived)


def _tables(documents: list[Document], problems: _Problems) -> _Tables:
    named: dict[str, dict[str, Layer]] = {kind: {} for kind in _NAMED}
    models: dict[tuple[str, str], Table] = {}
    defaults: Layer | None = None
    for document in documents:
        file, broken = _validated(document, problems)
        if "defaults" in document.data:
            own = layer(
                document, ("defaults",), file.defaults or Table(), broken.get(("defaults",), set())
            )
            if defaults:
                where = defaults.document.path
                problems.add(
                    (
                        document,
                        document.problem(
                            ("defaults",),
                            f"[defaults] stands in {where} already",
                            "merge them",
                            key=True,
                        ),
                    )
                )
            defaults = defaults or own
        for kind in _NAMED:
            for name in _names(document, kind):
                table = (kind, name)
                model = getattr(file, kind).get(name, Table())
                own = layer(document, table, model, broken.get(table, set()))
                if name in named[kind]:
                    problems.add(_duplicate(own, named[kind][name]))
                    continue
                named[kind][name] = own
                models[table] = model
    if len(named["job"]) > MAX_JOBS:
        document = documents[0]
        message = f"{len(named['job'])} jobs; at most {MAX_JOBS} are read"
        problems.add((document, document.problem((), message)))
    return _Tables(named, defaults, models)


def _names(document: Document, kind: str) -> list[str]:
    tables = document.data.get(kind)
    return list(tables) if isinstance(tables, dict) else []


def _duplicate(second: Layer, first: Layer) -> tuple[Document, Problem]:
    position = first.document.positions.key(first.table)
    line = f":{position.line}" if position else ""
    kind, name = second.table
    message = f"a {kind} {shown(name)} stands in {first.document.path}{line} already"
    return second.document, second.document.problem(
        second.table, message, "rename one of them", key=True
    )


def _validated(
    document: Document, problems: _Problems
) -> tuple[File, dict[tuple[str, ...], set[str]]]:
    """The file without what is wrong in it, and which keys of which tables that was."""
    broken: dict[tuple[str, ...], set[str]] = {}
    try:
        return File.model_validate(document.data), broken
    except ValidationError as error:
        for problem in messages.problems(error, document):
            problems.add((document, problem))
        data = copy.deepcopy(document.data)
        for details in error.errors(include_url=False):
            path = messages.path_of(details, document.data)
            depth = 1 if path[0] == "defaults" else 2
            on_key = details["loc"][-1] == "[key]"
            if len(path) > depth and not on_key:
                table, key = tuple(map(str, path[:depth])), str(path[depth])
                _remove(data, (*table, key))
                if details["type"] != "extra_forbidden" or len(path) > depth + 1:
                    broken.setdefault(table, set()).add(key)
            else:
                _remove(data, tuple(map(str, path[:depth])))
        return File.model_validate(data), broken


def _remove(data: dict[str, Any], path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        if part not in data:
            return
        data = data[part]
    data.pop(path[-1], None)


def _jobs(
    tables: _Tables, problems: _Problems, *, check_host: bool
) -> tuple[list[Job], dict[str, dict[str, Place]], dict[str, dict[str, Origin]]]:
    profiles = tables.named["profile"]
    jobs: list[Job] = []
    places: dict[str, dict[str, Place]] = {}
    derived: dict[str, dict[str, Origin]] = {}
    layers = [*profiles.values(), *tables.named["job"].values()]
    problems.extend(check_extends(layers, profiles))
    drafts = [
        draft(own, profiles, tables.defaults)
        for name, own in tables.named["job"].items()
        if isinstance(tables.models["job", name], JobTable)
    ]
    for each in drafts:
        job, origins = build(each, problems.add, check_host=check_host)
        if job:
            jobs.append(job)
            places[job.name] = {**each.places, "": each.place}
            derived[job.name] = origins
    pools = {n: getattr(tables.models["pool", n], "max", None) for n in tables.named["pool"]}
    problems.extend(
        check_names(drafts, tables.named["job"].keys(), pools, tables.named["notify"].keys())
    )
    problems.extend(_bad_notify(tables))
    return jobs, places, derived


def _bad_notify(tables: _Tables) -> Iterable[tuple[Document, Problem]]:
    for name, own in tables.named["notify"].items():
        written = [k for k in ("command", "webhook", "mail") if k in own.values or k in own.broken]
        if len(written) != 1 and isinstance(tables.models["notify", name], NotifyTable):
            message = "needs exactly one of command, webhook, mail"
            yield own.document, own.document.problem(own.table, message, key=True)


def _pool(name: str, table: Table) -> Pool:
    assert isinstance(table, PoolTable), "a broken pool is a problem"
    return Pool(name, table.max)


def _notify(name: str, table: Table) -> Notify:
    assert isinstance(table, NotifyTable), "a broken notify table is a problem"
    return Notify(name, tuple(table.command or ()), table.webhook, table.mail)
