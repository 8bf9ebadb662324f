"""Line and column of every key and value of a TOML file.

``tomllib`` judges the syntax and gives the values, but forgets where they stood; tree-sitter
remembers where everything stands. Used only on text that ``tomllib`` has accepted.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter
import tree_sitter_toml

KeyPath = tuple[str | int, ...]
_LANGUAGE = tree_sitter.Language(tree_sitter_toml.language())
_KEYS = frozenset({"bare_key", "quoted_key", "dotted_key"})


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Line and column, in characters, counted from 1."""

    line: int
    column: int


class Positions:
    """Where the keys and values of one text stand.

    A path is the keys and array indexes that lead to a value, such as ``("job", "backup",
    "calendar", 0)``.
    """

    def __init__(self, text: bytes) -> None:
        self._lines = text.split(b"\n")
        self._keys: dict[KeyPath, tree_sitter.Point] = {}
        self._values: dict[KeyPath, tree_sitter.Point] = {}
        root = tree_sitter.Parser(_LANGUAGE).parse(text).root_node
        arrays: dict[KeyPath, int] = {}
        for node in root.named_children:
            if node.type == "pair":
                self._pair((), node)
            elif node.type in {"table", "table_array_element"}:
                self._table(node, arrays)

    def key(self, path: KeyPath) -> Position | None:
        """Where the last key of ``path`` is written; for an array's element, the element."""
        return self._nearest(self._keys, path)

    def value(self, path: KeyPath) -> Position | None:
        """Where the value is written; for a table, its header's key."""
        return self._nearest(self._values, path)

    def __contains__(self, path: KeyPath) -> bool:
        return path in self._keys

    def _nearest(self, places: dict[KeyPath, tree_sitter.Point], path: KeyPath) -> Position | None:
        """The place of ``path``, else of the nearest table or array around it."""
        while path:
            if point := places.get(path):
                return self._position(point)
            path = path[:-1]
        return None

    def _position(self, point: tree_sitter.Point) -> Position:
        before = self._lines[point.row][: point.column]
        return Position(point.row + 1, len(before.decode(errors="replace")) + 1)

    def _table(self, node: tree_sitter.Node, arrays: dict[KeyPath, int]) -> None:
        children = node.named_children
        at = next(i for i, child in enumerate(children) if child.type in _KEYS)
        parts = list(_parts(children[at]))
        path: KeyPath = ()
        for index, (name, point) in enumerate(parts):
            path = (*path, name)
            self._keys.setdefault(path, point)
            self._values.setdefault(path, point)
            last = index == len(parts) - 1
            if last and node.type == "table_array_element":
                arrays[path] = arrays.get(path, -1) + 1
            if path in arrays:
                path = (*path, arrays[path])
                self._keys.setdefault(path, point)
                self._values.setdefault(path, point)
        # The header of [a] is a better place for it than the first mention in [a.b] was.
        self._keys[path] = self._values[path] = parts[-1][1]
        for child in children[at + 1 :]:
            if child.type == "pair":
                self._pair(path, child)

    def _pair(self, base: KeyPath, node: tree_sitter.Node) -> None:
        todo = [(base, node)]
        while todo:
            base, node = todo.pop()
            key, value = (c for c in node.named_children if c.type != "comment")
            path = base
            for name, point in _parts(key):
                path = (*path, name)
                self._keys.setdefault(path, point)
                self._values.setdefault(path, value.start_point)
            self._values[path] = value.start_point
            todo += self._nested(path, value)

    def _nested(
        self, path: KeyPath, value: tree_sitter.Node
    ) -> list[tuple[KeyPath, tree_sitter.Node]]:
        """Note the elements of an array; return the pairs that are inside of ``value``."""
        pairs, todo = [], [(path, value)]
        while todo:
            path, value = todo.pop()
            children = [c for c in value.named_children if c.type != "comment"]
            if value.type == "inline_table":
                pairs += [(path, child) for child in children if child.type == "pair"]
            elif value.type == "array":
                for index, child in enumerate(children):
                    place = (*path, index)
                    self._keys[place] = self._values[place] = child.start_point
                    todo.append((place, child))
        return pairs


def _parts(node: tree_sitter.Node) -> Iterator[tuple[str, tree_sitter.Point]]:
    """The names in a key, from left to right (a dotted key nests to the left)."""
    parts, todo = [], [node]
    while todo:
        node = todo.pop()
        if node.type == "dotted_key":
            todo += node.named_children
        else:
            parts.append((_name(node), node.start_point))
    return reversed(parts)


def _name(node: tree_sitter.Node) -> str:
    text = (node.text or b"").decode()
    if node.type == "bare_key":
        return text
    if "\\" not in text or text[0] == "'":
        return text[1:-1]
    (name,) = tomllib.loads(f"{text} = 0")
    return name
