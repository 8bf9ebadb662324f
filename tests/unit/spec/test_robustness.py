"""No file makes ``load`` do anything but load it or refuse it with places."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.errors import InputError, Problem
from hostagent.spec.load import load
from hostagent.spec.schema import JobTable
from tests.strategies import specs

ODD = st.recursive(
    st.none().map(lambda _: "")
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.times()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["daily", "a b", "5min", "50%", "/x", "[", "%", "Europe/Berlin", "x y Z/z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["first", "service", "A", "a:b", "", "systemd"]), inner)
    ),
    max_leaves=6,
)
JOBS = st.dictionaries(
    st.sampled_from(["a", "b", "a b", ""]),
    st.dictionaries(st.sampled_from([*JobTable.model_fields, "nonsense"]), ODD, max_size=8) | ODD,
    max_size=3,
)
TABLES = st.dictionaries(
    st.sampled_from(["job", "defaults", "profile", "pool", "notify", "x"]), JOBS | ODD, max_size=4
)


def load_or_refuse(content: bytes) -> None:
    """Load it, or see that each problem has a place in a line of the file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "jobs.toml")
        path.write_bytes(content)
        problems: list[Problem] = []
        try:
            load(path)
        except InputError as error:
            problems = error.problems or [Problem("", 0, 0, "", "none")]
    assert all(1 <= problem.line <= content.count(b"\n") + 1 for problem in problems)


@settings(max_examples=200, deadline=None)
@given(TABLES)
def test_tables_of_any_values_are_loaded_or_refused(data: dict[str, Any]) -> None:
    """Right keys with wrong values, wrong keys, tables that are none."""
    load_or_refuse(tomli_w.dumps(data).encode())


@settings(max_examples=60, deadline=None)
@given(specs(max_jobs=2), st.data())
def test_a_damaged_file_is_loaded_or_refused(spec: dict[str, Any], data: st.DataObject) -> None:
    """A piece cut out of a good file, or bytes put into it."""
    content = tomli_w.dumps(spec).encode()
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 40))
    load_or_refuse(content[:start] + data.draw(st.binary(max_size=3)) + content[start + length :])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_loaded_or_refused(content: bytes) -> None:
    """Whatever the file is, it is no traceback."""
    load_or_refuse(content)
