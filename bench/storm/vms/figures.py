"""What a cell's lines say: samples, starts, ends, probes; and the figures and goals from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from itertools import pairwise
from statistics import mean

from bench.storm.vms.arms import FRESH_S
from bench.storm.vms.scenarios import BY_NAME, CORES, Record, least_s


@dataclass(frozen=True, slots=True)
class Sample:
    """What the sampler saw in two seconds. ``at_s`` since the boot; pressures in percent of it;
    ``started``, ``ended``, ``gone`` count the missed jobs: gone is who ended without its end.
    """

    at_s: float
    load: float
    cpu: float
    memory: float
    memory_full: float
    io: float
    available_mib: float
    swap_mib: float
    oom_kills: float
    started: float
    ended: float
    gone: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A small program was run."""

    at_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Start:
    """A job began its work. ``clock_s``: since the epoch."""

    job: str
    at_s: float
    clock_s: float


@dataclass(frozen=True, slots=True)
class End:
    """A job did all of its work."""

    job: str
    at_s: float
    cpu_s: float


@dataclass(slots=True)
class Lines:
    """What a VM has said."""

    samples: list[Sample] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)

    def alone(self, kind: str) -> dict[str, float]:
        """What a run of the kind takes: how long, where it is alone on the host, and how much of a
        CPU, where another of its kind keeps the other one busy.
        """
        starts = {start.job: start.at_s for start in self.starts}
        ends = {end.job: end for end in self.ends}
        wall_s = ends[f"alone-{kind}"].at_s - starts[f"alone-{kind}"]
        cpu_s = mean(ends[f"alone-{kind}-{n}"].cpu_s for n in range(CORES))
        return {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3)}

    def as_json(self) -> Record:
        """For ``of_json``."""
        return {
            name: [astuple(row) for row in rows]
            for name, rows in (
                ("samples", self.samples),
                ("probes", self.probes),
                ("starts", self.starts),
                ("ends", self.ends),
            )
        }


def of_json(told: Record) -> Lines:
    """What ``as_json`` wrote."""
    return Lines(
        [Sample(*row) for row in told["samples"]],
        [Probe(*row) for row in told["probes"]],
        [Start(*row) for row in told["starts"]],
        [End(*row) for row in told["ends"]],
    )


def read(text: str) -> Lines:
    """The lines of ``job`` and ``observer``; what a power cut has torn is left out."""
    lines = Lines()
    for words in (line.split() for line in text.splitlines()):
        match words:
            case ["sample", *rest] if len(rest) == 12:
                lines.samples.append(Sample(*map(float, rest)))
            case ["probe", at, took]:
                lines.probes.append(Probe(float(at), float(took)))
            case ["start", job, at, clock]:
                lines.starts.append(Start(job, float(at), float(clock)))
            case ["end", job, at, cpu]:
                lines.ends.append(End(job, float(at), float(cpu)))
    return lines


@dataclass(frozen=True, slots=True)
class Figures:
    """A cell in figures. Times count from the first start of a missed run, but ``over_s``, which is
    since the power came back; None: it was not over when the cell was cut off.
    """

    jobs: int
    done: int
    lost: int
    oom_kills: int
    expected_kills: int
    over_s: float | None
    drain: float | None
    peak_load: float
    peak_memory: float
    least_mib: float
    probe_p99_s: float
    idle_p99_s: float
    fresh_p99_s: float
    gap_s: float
    longest_s: float
    services_lost: tuple[str, ...] | None


def figures(record: Record) -> Figures:
    """Of one record."""
    scenario = BY_NAME[record["scenario"]]
    lines = of_json(record["lines"])
    jobs = scenario.jobs
    begun_s = min(start.at_s for start in lines.starts if start.job in jobs)
    ends = {end.job: end.at_s for end in lines.ends if end.job in jobs}
    last = lines.samples[-1]
    is_over = record["is_over"]
    until_s = max(ends.values(), default=last.at_s) if is_over else last.at_s
    least = least_s(scenario, record["alone"], record["free_mib"])
    could_s = max(begun_s, scenario.fails_until_s)
    during = [sample for sample in lines.samples if begun_s <= sample.at_s <= until_s]
    probes = [probe.took_s for probe in lines.probes if begun_s <= probe.at_s <= until_s]
    stops = sorted([could_s, *(at_s for at_s in ends.values() if at_s > could_s), until_s])
    lost = record["services_lost"]
    return Figures(
        jobs=len(jobs),
        done=len(ends),
        lost=len(jobs) - len(ends),
        oom_kills=int(last.oom_kills),
        expected_kills=int(scenario.has_too_large and not record["swap_mib"]),
        over_s=until_s if is_over else None,
        drain=(until_s - could_s) / least if is_over else None,
        peak_load=max(sample.load for sample in during) / CORES,
        peak_memory=max(sample.memory for sample in during),
        least_mib=min(sample.available_mib for sample in during),
        probe_p99_s=percentile(probes, 99),
        idle_p99_s=percentile(record["idle_probes"], 99),
        fresh_p99_s=percentile(delays(lines, begun_s, until_s), 99),
        gap_s=max(later - sooner for sooner, later in pairwise(stops)),
        longest_s=max(one["wall_s"] for one in record["alone"].values()),
        services_lost=None if lost is None else tuple(lost),
    )


def delays(lines: Lines, from_s: float, until_s: float) -> list[float]:
    """Of each occurrence of ``fresh`` in this time: until the next start of it, or the end."""
    starts = sorted((s.clock_s, s.at_s) for s in lines.starts if s.job == "fresh")
    anywhere = next(iter(lines.starts))
    boot_clock_s = anywhere.clock_s - anywhere.at_s
    due_s = math.ceil((boot_clock_s + from_s) / FRESH_S) * FRESH_S
    found = []
    while due_s < boot_clock_s + until_s:
        started_s = next((clock_s for clock_s, _ in starts if clock_s >= due_s), None)
        found.append((started_s if started_s is not None else boot_clock_s + until_s) - due_s)
        due_s += FRESH_S
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent do not exceed; not a number where there is none."""
    if not values:
        return math.nan
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """``is_met`` None: it could not be told."""

    what: str
    is_met: bool | None
    found: str


def goals(record: Record) -> list[Goal]:
    """What hostagent promises of a storm, beside what was found. Work that cannot be done on this
    host (a run that needs more memory than there is) is counted neither as killed nor as lost.
    """
    f = figures(record)
    most = 1.4 if record["scenario"] == "storm" else 2.0
    rows = record.get("rows", [])
    states: dict[str, str | None] = {job: outcome for job, _, outcome, _ in rows}
    is_recorded = len(states) == f.jobs and None not in states.values()
    is_whole = is_recorded and record.get("differences") == 0
    drain = "not over" if f.drain is None else f"{f.drain:.2f}"
    services = f.services_lost
    lost = "no answer" if services is None else ", ".join(services) or "none"
    return [
        Goal("no OOM kill", f.oom_kills <= f.expected_kills, f"{f.oom_kills}"),
        Goal("no run lost", f.lost <= f.expected_kills, f"{f.lost} of {f.jobs}"),
        Goal("each in one recorded end state", is_whole, f"{len(states)} of {f.jobs}"),
        Goal(
            "load per core at most 2",
            f.peak_load <= 2,
            f"{f.peak_load:.1f} ({record['idle_load'] / CORES:.1f} idle)",
        ),
        Goal("no gap of 2 longest jobs", f.gap_s < 2 * f.longest_s, f"{f.gap_s / f.longest_s:.1f}"),
        Goal(
            "probe at most 1.5 x idle",
            f.probe_p99_s <= 1.5 * f.idle_p99_s,
            f"{f.probe_p99_s / f.idle_p99_s:.1f}",
        ),
        Goal(f"drain at most {most:g} x the least", (f.drain or math.inf) <= most, drain),
        Goal("no service lost", None if services is None else not services, lost),
    ]
