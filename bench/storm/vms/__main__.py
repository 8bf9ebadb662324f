"""Run ``python -m bench.storm.vms {list,run,report}`` (``run`` as root, where qemu is).

    list                    the cells, in the order in which they matter, and which were measured
    run [CELL…]             measure them, one VM after the other; those that were are passed over
    report                  write the tables and the plot of what was measured

A CELL is ARM/SCENARIO/SWAP/RUN, with wildcards: 'hostagent/*/0/1'. One takes five minutes or less.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from bench.storm.vms import plot, report
from bench.storm.vms.arms import ARMS
from bench.storm.vms.scenarios import SCENARIOS, Record

DOCS = Path(__file__).resolve().parents[3] / "docs/explanation"
RESULTS, PAGE, PLOT = DOCS / "storm.jsonl", DOCS / "storm.md", DOCS / "storm.svg"
MARK = "<!-- measured: from here on, written by python -m bench.storm.vms report -->\n"
STORM_RUNS = 3


def names() -> list[str]:
    """All cells: the storm first, then hostagent, then the rivals; without swap first; the second
    and third run of each storm last.
    """

    def rank(name: str) -> tuple[bool, ...]:
        arm, scenario, swap_mib, run = name.split("/")
        return run != "1", swap_mib != "0", scenario != "storm", arm != "hostagent"

    found = [
        f"{arm.name}/{scenario.name}/{swap_mib}/{run}"
        for scenario in SCENARIOS
        for arm in ARMS
        for swap_mib in report.SWAPS
        for run in range(1, 1 + (STORM_RUNS if scenario.name == "storm" else 1))
    ]
    return sorted(found, key=rank)


def name_of(record: Record) -> str:
    """The cell that it came of."""
    return f"{record['arm']}/{record['scenario']}/{record['swap_mib']}/{record['run']}"


def load(results: Path) -> list[Record]:
    """What was measured."""
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def main(words: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.storm.vms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("list", "run", "report"))
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON lines, one for a cell")
    asked = parser.parse_args(words)
    measured = load(asked.results)
    if asked.verb == "report":
        write(measured)
        return
    have = {name_of(record) for record in measured}
    wanted = asked.cells or ["*"]
    chosen = [name for name in names() if any(fnmatch(name, cell) for cell in wanted)]
    if not chosen:
        parser.error(f"no cell is called {' or '.join(wanted)}; `list` names them")
    for name in chosen:
        if asked.verb == "list" or name in have:
            print(f"{name:36} {'measured' if name in have else ''}".rstrip())
        else:
            run(name, asked.results)


def run(name: str, results: Path) -> None:
    """Measure a cell and append what came of it."""
    from bench.storm.vms import cell  # noqa: PLC0415 -- all but this works without root and qemu

    print(f"{name}: …", flush=True)
    record = cell.measure(cell.named(name))
    with results.open("a") as file:
        file.write(json.dumps(record, separators=(",", ":")) + "\n")
    print("\n".join(report.summary(record)), flush=True)


def write(measured: Sequence[Record]) -> None:
    """The page below its mark, and the plot."""
    head, mark, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{head}{mark}\n{report.markdown(measured)}")
    PLOT.write_text(plot.svg(measured, report.SWAPS))


main()
