"""Run ``python -m bench.storm [--seeds N] [--ablate] [SCENARIO…]``: a table for each scenario.

``python -m bench.storm fleet``: see ``bench.storm.fleet``.

Every policy with the same seeds, medians of them. ``drain`` is how long the backlog took, as a
multiple of what no policy could do better; lost: never done, or killed, or failed for good; late:
lost, or done after its deadline. At the end, the geometric mean of the drains and all that was
lost.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from math import exp, log
from statistics import median

from bench.storm import fleet
from bench.storm.host import Host, Policy, Report, Scenario
from bench.storm.policies import ABLATED, POLICIES
from bench.storm.scenarios import SCENARIOS, UNSEEN

HORIZON_S, FRESH_S = 4 * 3600.0, 3600.0
COLUMNS = (
    *("policy", "drain", "lost", "late", "fresh p99 s", "OOM kills", "stopped"),
    *("hung s", "services lost s", "load", "memory"),
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def played(scenario: Scenario, make: Callable[[], Policy], seeds: int) -> Report:
    """The median of so many seeds, of each figure."""
    reports = [
        Host(scenario, make(), seed).simulate(HORIZON_S, FRESH_S) for seed in range(1, seeds + 1)
    ]
    return Report(
        **{
            field.name: median(getattr(one, field.name) for one in reports)
            for field in fields(Report)
        }
    )


def line(name: str, found: Report) -> str:
    """A row of the table."""
    drain = "never" if found.drain_s >= HORIZON_S else f"{found.drain_s / found.best_s:.2f}"
    return (
        f"| {name} | {drain} | {found.lost:g} | {found.late:g} | {found.fresh_p99_s:.1f} "
        f"| {found.oom_kills:g} | {found.stopped:g} | {found.hung_s:.0f} "
        f"| {found.services_lost_s:.0f} | {found.peak_load:.1f} | {found.peak_memory:.2f} |"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["fleet"]:
        fleet.main(words[1:])
    parser = argparse.ArgumentParser(prog="python -m bench.storm")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ablate", action="store_true")
    parser.add_argument("scenarios", nargs="*")
    asked = parser.parse_args(words)
    policies = dict(POLICIES) | (dict(ABLATED) if asked.ablate else {})
    found: dict[str, list[Report]] = {name: [] for name in policies}
    for scenario in (*SCENARIOS, *UNSEEN):
        if asked.scenarios and scenario.name not in asked.scenarios:
            continue
        print(f"\n{scenario.name}\n\n{HEAD}", flush=True)
        for name, make in policies.items():
            found[name].append(played(scenario, make, asked.seeds))
            print(line(name, found[name][-1]), flush=True)
    print("\nall\n\n| policy | geometric mean of drains | lost | late |\n|---|---|---|---|")
    for name, reports in found.items():
        if reports:
            mean = exp(sum(log(one.drain_s / one.best_s) for one in reports) / len(reports))
            lost, late = (sum(getattr(one, what) for one in reports) for what in ("lost", "late"))
            print(f"| {name} | {mean:.2f} | {lost:g} | {late:g} |")


if __name__ == "__main__":
    main()
