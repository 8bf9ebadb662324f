"""The gate's own functions against whole storms, in the model of bench/storm."""

from __future__ import annotations

import pytest

from bench.storm.__main__ import FRESH_S, HORIZON_S
from bench.storm.host import Host, Policy, Report
from bench.storm.policies import UNKNOWN, Fixed, Gate, Timers
from bench.storm.scenarios import SCENARIOS, UNSEEN

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *UNSEEN)}
SHORT = ("outage, swap", "outage", "readers, SSD", "growing", "busy")
"""Those that are simulated in half a second."""


def played(name: str, policy: Policy, horizon_s: float = HORIZON_S) -> Report:
    """One storm."""
    return Host(BY_NAME[name], policy, 1).simulate(horizon_s, FRESH_S)


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_late_and_nobody_waits(name: str) -> None:
    """Nor does memory run out; and it takes no more than thrice the least that is possible."""
    found = played(name, Gate())
    assert (found.lost, found.late, found.oom_kills, found.hung_s) == (0, 0, 0, 0)
    assert found.fresh_p99_s < 5
    assert found.drain_s < 3 * found.best_s


@pytest.mark.parametrize("known", [UNKNOWN, 0.5])
def test_estimates_that_are_wrong_lose_nothing(known: float) -> None:
    """Who was stopped is done later."""
    found = played("outage", Gate(known=known))
    assert (found.lost, found.late, found.oom_kills) == (0, 0, 0)
    assert found.stopped


def test_without_the_gate_it_is_a_storm() -> None:
    """So the model can tell: all at once, and four at a time."""
    assert played("outage, swap", Timers(), 600).hung_s > 500
    assert played("outage", Timers(), 600).oom_kills
    assert played("outage", Fixed(most=4), 600).oom_kills
