"""For all tests: machines, seeds, and how Hypothesis searches."""

from __future__ import annotations

import os

import pytest
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ordeals run for each seed: HOSTAGENT_SEEDS=20 for so many, HOSTAGENT_SEED=n from n on."""
    if "round_" in metafunc.fixturenames:
        metafunc.parametrize("round_", range(int(os.environ.get("HOSTAGENT_SEEDS", "1"))))
