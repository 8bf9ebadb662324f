"""From tables to drafts: [defaults], then profiles along ``extends``, then the job's own keys.

A draft is a job with every key that anybody wrote for it, and for each the place where the value
that won was written. Tables (``environment``, ``credentials``, ``systemd.*``) are merged key by
key, everything else is replaced as a whole. The schedule is replaced as one: who names one of
calendar, cron, every, at, on_boot drops what was inherited of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hostagent.errors import Problem
from hostagent.spec.files import Document, dotted
from hostagent.spec.positions import KeyPath
from hostagent.spec.schema import Table
from hostagent.spec.values import did_you_mean, shown

FORMS = ("calendar", "cron", "every", "at", "on_boot")
_MERGED = frozenset({"environment", "credentials"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from. ``path`` is "" and ``line`` 0 for what nobody wrote."""

    path: str
    line: int
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.source}" if self.path else self.source


@dataclass(frozen=True)
class Layer:
    """One table as written: [defaults], a profile, or a job.

    ``broken`` names its keys whose values were refused; they count as written, but have no value.
    """

    document: Document
    table: tuple[str, ...]
    values: Mapping[str, Any]
    broken: frozenset[str] = frozenset()

    @property
    def source(self) -> str:
        """Its header."""
        return f"[{dotted(self.table)}]"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value is written."""

    layer: Layer
    path: KeyPath

    def problem(
        self, message: str, hint: str | None = None, *sub: str | int, key: bool = False
    ) -> tuple[Document, Problem]:
        """A problem with it, or with the element ``sub`` of it where it is an array."""
        path = (*self.path, *sub)
        if sub and path not in self.layer.document.positions:
            path = self.path
        document = self.layer.document
        return document, document.problem(path, message, hint, key=key)

    def raw(self) -> Any:
        """What is written there, as TOML gives it."""
        found: Any = self.layer.document.data
        for part in self.path:
            found = found[part]
        return found

    def origin(self) -> Origin:
        """For people."""
        position = self.layer.document.positions.key(self.path)
        line = position.line if position else 0
        return Origin(self.layer.document.path, line, self.layer.source)


@dataclass
class Draft:
    """A job with its profiles and the defaults merged in, and where each value was written."""

    name: str
    own: Layer
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    layers: list[Layer] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """The job's own header."""
        return Place(self.own, self.own.table)

    def at(self, key: str) -> Place:
        """Where the key is written; the job's header if it is not."""
        return self.places.get(key, self.place)

    def is_nearer(self, key: str, other: str) -> bool:
        """Whether ``key`` was written in a later layer, which wins, than ``other``."""
        order = [id(layer) for layer in self.layers]
        return order.index(id(self.at(key).layer)) > order.index(id(self.at(other).layer))

    def has(self, key: str) -> bool:
        """Whether anybody wrote the key, be its value good or not."""
        return key in self.values or key in self.broken


def layer(document: Document, table: tuple[str, ...], model: Table, broken: set[str]) -> Layer:
    """The layer of a table whose good keys are in ``model``."""
    values = {k: getattr(model, k) for k in model.model_fields_set if getattr(model, k) is not None}
    return Layer(document, table, values, frozenset(broken))


def draft(own: Layer, profiles: Mapping[str, Layer], defaults: Layer | None) -> Draft:
    """The job of the table ``own``; ``check_extends`` tells of unknown profiles and cycles."""
    job = Draft(own.table[1], own)
    job.layers = [*([defaults] if defaults else []), *_chain(own, profiles)]
    for each in job.layers:
        _merge(job, each)
    return job


def _chain(of: Layer, profiles: Mapping[str, Layer]) -> Iterator[Layer]:
    """The layers of ``of``, the most general first; each once, so that diamonds stay small."""
    seen: set[tuple[str, ...]] = set()
    todo = [(of, False)]
    while todo:
        layer, parents_done = todo.pop()
        if parents_done:
            yield layer
        elif layer.table not in seen:
            seen.add(layer.table)
            todo.append((layer, True))
            names = reversed(layer.values.get("extends", ()))
            todo += [(profiles[name], False) for name in names if name in profiles]


def _merge(job: Draft, layer: Layer) -> None:
    if any(form in layer.values or form in layer.broken for form in FORMS):
        for form in (*FORMS, "anchor"):
            _drop(job, form)
    for key, value in layer.values.items():
        if key == "extends":
            continue
        path = (*layer.table, key)
        job.broken.discard(key)
        if key in _MERGED:
            job.values[key] = job.values.get(key, {}) | value
            job.places |= {f"{key}.{k}": Place(layer, (*path, k)) for k in value}
        elif key == "systemd":
            _merge_systemd(job, layer, value)
        else:
            job.values[key] = value
        job.places[key] = Place(layer, path)
    for key in layer.broken:
        _drop(job, key)
        job.broken.add(key)
        job.places[key] = Place(layer, (*layer.table, key))


def _merge_systemd(job: Draft, layer: Layer, value: Table) -> None:
    merged: dict[str, dict[str, tuple[str, ...]]] = job.values.setdefault("systemd", {})
    merged = job.values["systemd"] = {k: dict(v) for k, v in merged.items()}
    for section in value.model_fields_set:
        directives = getattr(value, section) or {}
        merged.setdefault(section, {}).update(directives)
        for directive in directives:
            path = (*layer.table, "systemd", section, directive)
            job.places[f"systemd.{section}.{directive}"] = Place(layer, path)


def _drop(job: Draft, key: str) -> None:
    job.values.pop(key, None)
    job.places.pop(key, None)
    job.broken.discard(key)


def check_extends(
    layers: list[Layer], profiles: Mapping[str, Layer]
) -> Iterator[tuple[Document, Problem]]:
    """Unknown profiles, and profiles that extend themselves (each cycle is named once)."""
    for each in layers:
        place = Place(each, (*each.table, "extends"))
        for index, name in enumerate(each.values.get("extends", ())):
            if name not in profiles:
                guess = did_you_mean(name, profiles)
                hint = None if guess else f"add [profile.{name}], or take the name out"
                yield place.problem(f"no profile is called {shown(name)}{guess}", hint, index)
    parents = {n: tuple(p.values.get("extends", ())) for n, p in profiles.items()}
    for cycle in cycles(parents):
        first = profiles[cycle[0]]
        names = " -> ".join((*cycle, cycle[0]))
        yield Place(first, (*first.table, "extends")).problem(
            f"the profile extends itself: {names}", "take one of them out"
        )


def cycles(edges: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The cycles that a walk along the edges meets, each once; iterative, since chains are long."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: dict[str, int] = {}
        todo = [(start, False)]
        while todo:
            node, leaving = todo.pop()
            if leaving:
                path.pop()
                del on_path[node]
                done.add(node)
            elif node in on_path:
                yield tuple(path[on_path[node] :])
            elif node not in done and node in edges:
                on_path[node] = len(path)
                path.append(node)
                todo.append((node, True))
                todo += [(n, False) for n in reversed(edges[node])]
