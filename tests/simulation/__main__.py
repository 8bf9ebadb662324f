"""``python -m tests.simulation``: run seeds, print what came of them."""

from __future__ import annotations

import argparse
import random
import sys

from tests.simulation.simulation import Plan, simulate


def main() -> int:
    """Exit status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="the first (random)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--faults", type=float, default=0.0, help="an hour")
    parser.add_argument("--kind", action="append", default=[], help="of fault; all without it")
    parser.add_argument("--busy", action="store_true", help="jobs every minute, not every hour")
    parser.add_argument("--play-all", action="store_true", help="skip no idle time")
    parser.add_argument("--trace", action="store_true", help="print all that happened")
    asked = parser.parse_args()
    first = random.randrange(10**6) if asked.seed is None else asked.seed
    broken = 0
    for seed in range(first, first + asked.seeds):
        plan = Plan(
            seed,
            asked.days,
            asked.hosts,
            asked.faults,
            tuple(asked.kind),
            asked.busy,
            not asked.play_all,
        )
        print(f"SEED={seed}", flush=True)
        result = simulate(plan)
        if asked.trace:
            print("\n".join(result.trace))
        print(result, flush=True)
        broken += not result.is_kept
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
