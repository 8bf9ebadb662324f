"""The measured cells as Markdown: tables, hostagent's goals, and what was not measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.storm.vms import arms, scenarios
from bench.storm.vms.figures import Figures, figures, goals
from bench.storm.vms.scenarios import CAP_S, Record
from bench.storm.vms.simulated import simulated

SWAPS = (0, 512)
COLUMNS = (
    *("arm", "done", "OOM kills", "over after", "drain", "peak load/core", "peak memory PSI"),
    *("least MemAvailable", "probe p99", "fresh p99", "services lost", "simulated"),
)
ALIGN = "|---" + "|--:" * (len(COLUMNS) - 1) + "|"


def markdown(records: Sequence[Record]) -> str:
    """All tables. What was not measured is named as such."""
    parts = []
    for scenario in scenarios.SCENARIOS:
        for swap_mib in SWAPS:
            found = [r for r in records if _key(r)[1:] == (scenario.name, swap_mib)]
            if found:
                parts.append(_table(scenario.name, swap_mib, found))
    ours = [r for r in records if arms.BY_NAME[r["arm"]].is_ours]
    return "\n\n".join([*parts, *_goals(ours), _missing(records)]) + "\n"


def summary(record: Record) -> list[str]:
    """A cell's line, and its goals if it is hostagent's."""
    lines = [
        " ".join(f"{what}: {cell};" for what, cell in zip(COLUMNS, _cells(record), strict=True))
    ]
    if arms.BY_NAME[record["arm"]].is_ours:
        lines += [f"  {goal.what}: {goal.is_met} ({goal.found})" for goal in goals(record)]
    return lines


def _key(record: Record) -> tuple[str, str, int]:
    return record["arm"], record["scenario"], record["swap_mib"]


def _in_order(records: Iterable[Record]) -> list[Record]:
    order = list(arms.BY_NAME)
    return sorted(records, key=lambda r: (order.index(r["arm"]), r["run"]))


def _table(scenario: str, swap_mib: int, records: Sequence[Record]) -> str:
    jobs = len(scenarios.BY_NAME[scenario].jobs)
    swap = f"{swap_mib} MiB of swap" if swap_mib else "no swap"
    lines = [f"### {scenario}, {jobs} missed runs, {swap}", ""]
    lines += [f"| {' | '.join(COLUMNS)} |", ALIGN]
    lines += [_line(record) for record in _in_order(records)]
    return "\n".join(lines)


def _line(record: Record) -> str:
    return f"| {' | '.join(_cells(record))} |"


def _cells(record: Record) -> tuple[str, ...]:
    f = figures(record)
    services = "no answer" if f.services_lost is None else ", ".join(f.services_lost) or "0"
    return (
        arms.BY_NAME[record["arm"]].title,
        f"{f.done} of {f.jobs}",
        f"{f.oom_kills}",
        f"{f.over_s:.0f} s" if f.over_s is not None else f"not within {CAP_S} s",
        _drain(f),
        f"{f.peak_load:.1f}",
        f"{f.peak_memory:.0f} %",
        f"{f.least_mib:.0f} MiB",
        f"{f.probe_p99_s * 1000:.0f} ms ({f.probe_p99_s / f.idle_p99_s:.1f} x)",
        f"{f.fresh_p99_s:.1f} s",
        services,
        _simulated(record),
    )


def _simulated(record: Record) -> str:
    found = simulated(record)
    if found is None:
        return "-"
    return f"{found.done}, {'not over' if found.drain is None else f'{found.drain:.2f}'}"


def _drain(f: Figures) -> str:
    """Of work that was not done, it says nothing."""
    if f.drain is None:
        return "-"
    return f"{f.drain:.2f}" if not f.lost else f"({f.drain:.2f})"


def _goals(ours: Sequence[Record]) -> list[str]:
    if not ours:
        return []
    names = [goal.what for goal in goals(ours[0])]
    names[6] = "drain at most 1.4 (storm), 2 x"
    lines = ["### hostagent's goals", "", f"| scenario, swap | {' | '.join(names)} |"]
    lines.append("|---" * (len(names) + 1) + "|")
    order = list(scenarios.BY_NAME)
    for record in sorted(ours, key=lambda r: (order.index(r["scenario"]), r["swap_mib"], r["run"])):
        found = goals(record)
        marks = [
            f"{ {True: '', False: '**no**: ', None: '?: '}[g.is_met] }{g.found}" for g in found
        ]
        run = f" (run {record['run']})" if record["run"] > 1 else ""
        lines.append(f"| {record['scenario']}, {record['swap_mib']}{run} | {' | '.join(marks)} |")
    return ["\n".join(lines)]


def _missing(records: Sequence[Record]) -> str:
    have = {_key(record) for record in records}
    lines = ["### Not measured", ""]
    for swap_mib in SWAPS:
        for name in scenarios.BY_NAME:
            lacks = [arm for arm in arms.BY_NAME if (arm, name, swap_mib) not in have]
            if lacks:
                lines.append(f"- {name}, swap {swap_mib} MiB: {', '.join(lacks)}")
    return "\n".join(lines if len(lines) > 2 else [*lines, "Nothing: all cells were."])
