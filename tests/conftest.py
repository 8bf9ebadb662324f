"""For all tests: machines, and how Hypothesis searches."""

from __future__ import annotations

from hypothesis import settings

from tests.machine.fixtures import (
    any_machine,
    boot,
    machine,
    new_cluster,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    roots,
)

__all__ = [
    "any_machine",
    "boot",
    "machine",
    "new_cluster",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "roots",
]

# A slow machine is no failure; a failure must be repeatable elsewhere.
settings.register_profile("hostagent", deadline=None, print_blob=True)
settings.load_profile("hostagent")
