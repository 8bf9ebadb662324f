"""Soak tests take a quarter of an hour each; ``./test soak`` runs them, ``./test`` does not.

HOSTAGENT_SEEDS=20 runs each with so many seeds, HOSTAGENT_SEED=n begins with this one.
"""

from __future__ import annotations

import os

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run for each seed."""
    if "round_" in metafunc.fixturenames:
        metafunc.parametrize("round_", range(int(os.environ.get("HOSTAGENT_SEEDS", "1"))))
