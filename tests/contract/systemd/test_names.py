"""Unit names as object paths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostagent.systemd.bus import UNITS, unit_name, unit_path

names = st.text("abzAZ09:-_.\\@xé", min_size=1)


@given(names)
def test_a_path_gives_its_name_back(name: str) -> None:
    """``unit_name`` undoes ``unit_path``."""
    assert unit_name(unit_path(name)) == name


@given(names)
def test_a_path_is_the_one_that_systemd_makes(name: str) -> None:
    """The same bytes as ``sd_bus_path_encode``."""
    from pystemd.dbuslib import path_encode  # noqa: PLC0415 -- the whole of pystemd, for tests only

    assert unit_path(name) == path_encode(UNITS.rstrip(b"/"), name.encode())
