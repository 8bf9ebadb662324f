"""The tables of all files: validated one by one, what is wrong in them taken out and told.

A table that has a broken key goes on without it, so that one reading finds what is wrong with
the other keys, too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hostagent.errors import Problem
from hostagent.spec import messages
from hostagent.spec.files import Document
from hostagent.spec.resolve import Layer, layer
from hostagent.spec.schema import File, Table
from hostagent.spec.values import shown

MAX_JOBS = 100_000
NAMED = ("profile", "job", "pool", "notify")


class Problems:
    """Problems in the order of files and lines, each once. They come with their file's index."""

    def __init__(self, found: Iterable[tuple[int, Problem]]) -> None:
        self._found: dict[Problem, int] = {}
        for index, problem in found:
            self._found.setdefault(problem, index)

    def add(self, found: tuple[Document, Problem]) -> None:
        """Take one in."""
        document, problem = found
        self._found.setdefault(problem, document.index)

    def extend(self, found: Iterable[tuple[Document, Problem]]) -> None:
        """Take all of them in."""
        for each in found:
            self.add(each)

    def all(self) -> list[Problem]:
        """What there is, in order."""
        return sorted(self._found, key=lambda p: (self._found[p], p.line, p.column, str(p)))


@dataclass(frozen=True)
class Tables:
    """All tables of all files by kind and name; a table may have keys that are broken."""

    named: Mapping[str, dict[str, Layer]]
    defaults: Layer | None
    models: Mapping[tuple[str, str], Table]


def read_tables(documents: list[Document], problems: Problems) -> Tables:
    """The tables of all documents; what is wrong with them goes to ``problems``."""
    named: dict[str, dict[str, Layer]] = {kind: {} for kind in NAMED}
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
        for kind in NAMED:
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
    return Tables(named, defaults, models)


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
    document: Document, problems: Problems
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
            path = tuple(map(str, messages.path_of(details, document.data)))
            depth = _depth(path)
            if len(path) <= depth or details["loc"][-1] == "[key]":
                _remove(data, path[:depth])
                continue
            _remove(data, path[: depth + 1])
            unknown = details["type"] == "extra_forbidden" and len(path) == depth + 1
            key = messages.meant(path) if unknown else path[depth]
            if key:
                broken.setdefault(path[:depth], set()).add(key)
        return _remainder(data), broken


def _depth(path: tuple[str, ...]) -> int:
    """How long the path of the table is in which ``path`` lies."""
    return 1 if path[0] == "defaults" else 2


def _remainder(data: dict[str, Any]) -> File:
    """The file without the tables that lost a key they cannot be without."""
    while True:
        try:
            return File.model_validate(data)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                path = tuple(map(str, messages.path_of(details, data)))
                _remove(data, path[: _depth(path)])


def _remove(data: dict[str, Any], path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        if part not in data:
            return
        data = data[part]
    data.pop(path[-1], None)
