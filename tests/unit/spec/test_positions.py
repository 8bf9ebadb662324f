"""Every key that tomllib finds has a place, and it is the right one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hostagent.spec.positions import KeyPath, Position, Positions

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.integers(-9, 9) | st.booleans() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
TOML = """\
top = 1
[a."b c".'d']
x.y = [1, { z = 2, "é" = 3 }, [ # comment
  4,
]]  # après
[[list]]
k = 1
[[list]]
[list.sub]
k = 2
[a]
late = '''
x'''
"""


def paths_in(value: Any, base: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """All paths below a value, with what is there."""
    items: Any = enumerate(value) if isinstance(value, list) else ()
    for key, item in value.items() if isinstance(value, dict) else items:
        yield (*base, key), item
        yield from paths_in(item, (*base, key))


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.booleans())
def test_every_key_has_a_position(data: dict[str, Any], multiline: bool) -> None:
    """Whatever tomllib reads from a text, the positions know where it stands."""
    text = tomli_w.dumps(data, multiline_strings=multiline)
    positions = Positions(text.encode())
    for path, _ in paths_in(tomllib.loads(text)):
        assert path in positions


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_a_value_reads_back_from_its_position(data: dict[str, Any]) -> None:
    """Parsing the text from a plain value's place on gives that value again."""
    text = tomli_w.dumps(data)
    positions = Positions(text.encode())
    lines = text.split("\n")
    for path, value in paths_in(tomllib.loads(text)):
        if isinstance(value, dict | list):
            continue
        place = positions.value(path)
        assert place is not None
        rest = lines[place.line - 1][place.column - 1 :]
        written = tomli_w.dumps({"x": value})[len("x = ") :].rstrip("\n")
        assert rest.startswith(written)


def test_all_ways_to_write_a_key_are_placed() -> None:
    """Dotted, quoted, inline, arrays of tables, super-tables that come late."""
    positions = Positions(TOML.encode())
    for path, _ in paths_in(tomllib.loads(TOML)):
        assert path in positions
    assert positions.value(("top",)) == Position(1, 7)
    assert positions.key(("a", "b c", "d", "x", "y")) == Position(3, 3)
    assert positions.value(("a", "b c", "d", "x", "y", 1, "é")) == Position(3, 26)
    assert positions.value(("a", "b c", "d", "x", "y", 2, 0)) == Position(4, 3)
    assert positions.value(("list", 1, "sub", "k")) == Position(10, 5)
    assert positions.key(("a",)) == Position(11, 2)
    assert positions.value(("a", "late")) == Position(12, 8)


def test_an_unknown_path_is_placed_at_what_holds_it() -> None:
    """The nearest table or array around it."""
    positions = Positions(TOML.encode())
    assert positions.value(("list", 0, "nope")) == Position(6, 3)
    assert positions.value(("nope",)) is None
