"""Clusters in virtual time keep their promises, whatever befalls; each planted bug is found."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.simulation import load
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.simulation import BEGIN, Plan, Result, simulate

HOUR = 1 / 24

FOUND = {
    "a stale run was told by an assertion": 1,
    "a restarted agent left the old fence to fall": 4,
    "an admission given up was a manual run": 7,
    "a signal was lost": 5,
    "settling took longer than the client waits": 10,
    "the fence fell while a beat was under way": 18,
}
"""Seeds that showed a bug once, and what it was."""


def kept(plan: Plan) -> Result:
    """Simulate; what was broken is the failure, with all that is needed to see it again."""
    result = simulate(plan)
    if not result.is_kept:
        again = f"python -m tests.simulation --seed {plan.seed} --days {plan.days}"
        again += f" --faults {plan.faults}" + " --busy" * plan.is_busy
        pytest.fail(f"{result}\nagain: {again} --trace", pytrace=False)
    return result


def test_a_time_without_faults_is_as_the_calendar_says() -> None:
    """Nothing fails but what the jobs do themselves, and idle time is skipped."""
    result = kept(Plan(seed=3, days=0.25))
    assert result.report.due > 175
    assert result.beats < 6 * 3600 / 3.75 * 4 / 3
    assert not result.report.takeovers


@pytest.mark.parametrize("seed", FOUND.values(), ids=FOUND)
def test_what_was_found_once_stays_mended(seed: int) -> None:
    """The seeds of bugs; later changes of the dice make them seeds like others."""
    kept(Plan(seed, days=0.4 * HOUR, faults=60, is_busy=True))


def test_a_new_seed_keeps_every_promise() -> None:
    """A fresh one each time; it is printed where it fails."""
    seed = random.SystemRandom().randrange(10**9)
    print(f"SEED={seed}")
    kept(Plan(seed, days=0.6 * HOUR, faults=60, is_busy=True))


def test_what_comes_after_others_never_begins_before_they_succeeded() -> None:
    """Each is run, or skipped with the name of what it waited for; also under all faults."""
    seed, until = random.SystemRandom().randrange(10**9), BEGIN + timedelta(hours=0.5)
    for faults in (0, 60):
        plan = Plan(seed, days=0.5 * HOUR, faults=faults)
        result = simulate(plan, one_load=load.chain(until))
        assert result.is_kept, f"SEED={seed} {result}"
        assert any("; chain2 of " in line for line in result.trace)
        # What was due before the first apply has no run.
        waited = any(
            " skipped: upstream: chain4 of 2026-03-01 00:00:00Z" in x for x in result.trace
        )
        assert waited or faults


def test_the_same_seed_is_the_same_simulation() -> None:
    """Else a seed would be no way to see a failure again."""
    plan = Plan(seed=11, days=0.3 * HOUR, faults=120, is_busy=True)
    assert simulate(plan).trace == simulate(plan).trace


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    """Within a few seeds, under the faults that it needs."""
    for seed in range(mutant.seeds):
        plan = Plan(seed, days=mutant.hours * HOUR, faults=90, kinds=mutant.kinds, is_busy=True)
        with mutant.planted():
            result = simulate(plan)
        if not result.is_kept:
            return
    pytest.fail(f"{mutant.name}: not found by {mutant.seeds} seeds")
