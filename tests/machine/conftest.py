"""What all tests in this directory have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.fixtures import Boot, Roots, any_machine, boot, machine, new_cluster, roots

CLUSTERS = {"cluster", "new_cluster", "at_work"}
"""Fixtures of tests with several machines: only two of them run side by side."""

__all__ = ["Boot", "Roots", "any_machine", "boot", "machine", "new_cluster", "roots"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this directory boot machines."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.machine)
            if CLUSTERS & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.cluster)
