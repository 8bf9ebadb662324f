"""What is owed after the power cut, and the least time in which any scheduler could pay it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CORES, RAM_MIB, CAP_S = 2, 1024, 300


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs of a kind do, in ``steps`` equal steps: add so many thousand numbers (a thousand
    of those take about a second of an emulated CPU), take and touch memory, nap, read from the disk
    past the page cache. Memory grows from ``first`` of ``peak_mib`` to all of it in the share
    ``grows`` of the run.
    """

    loops: int
    steps: int = 20
    peak_mib: int = 0
    first: float = 0.1
    grows: float = 0.3
    naps_s: float = 0.0
    reads: int = 0
    fails_until_s: float = 0.0

    @property
    def mean_mib(self) -> float:
        """What it holds in the mean of its run."""
        return self.peak_mib * (self.first + (1 - self.first) * (1 - self.grows / 2))


@dataclass(frozen=True, slots=True)
class Scenario:
    """So many jobs of each kind. ``iops``: of the disk, at most; 0: as many as it can.
    ``retries``: what each job is allowed, where the arm knows of such a thing.
    """

    name: str
    kinds: Mapping[str, tuple[int, Kind]]
    iops: int = 0
    retries: int = 0

    @property
    def jobs(self) -> Mapping[str, str]:
        """The kind of each job, by its name; names sort as no order of sizes."""
        names = [(n, kind) for kind, (count, _) in self.kinds.items() for n in range(count)]
        return {f"{kind}{n:03}": kind for n, kind in sorted(names)}

    @property
    def fails_until_s(self) -> float:
        """Since the boot: until then the downstream is broken."""
        return max(kind.fails_until_s for _, kind in self.kinds.values())

    @property
    def has_too_large(self) -> bool:
        """Whether a run needs more memory than the host has."""
        return any(kind.peak_mib > RAM_MIB for _, kind in self.kinds.values())


LIGHT = Kind(loops=1000, peak_mib=10)

SCENARIOS = (
    Scenario("storm", {"heavy": (8, Kind(12_000, peak_mib=180)), "light": (20, LIGHT)}),
    Scenario("small", {"small": (200, Kind(150, steps=3, peak_mib=2))}),
    Scenario("sleepers", {"sleeper": (40, Kind(2000, peak_mib=8, naps_s=18))}),
    Scenario("downstream", {"asks": (40, Kind(1500, peak_mib=8, fails_until_s=120))}, retries=3),
    Scenario(
        "too-large",
        {"huge": (1, Kind(6000, peak_mib=1200, grows=0.8)), "light": (20, LIGHT)},
    ),
    Scenario(
        "overrun",
        {"grows": (4, Kind(8000, peak_mib=320, first=0.3, grows=0.8)), "light": (8, LIGHT)},
    ),
    Scenario("slow-disk", {"reader": (16, Kind(200, peak_mib=4, reads=400))}, iops=200),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def least_s(scenario: Scenario, alone: Mapping[str, Mapping[str, float]], free_mib: float) -> float:
    """What no scheduler could do better: all CPUs busy, all memory full, the disk at its limit, and
    the longest run begun at once.

    ``alone``: what a run of each kind takes, as ``Lines.alone`` says.
    """
    counts = Counter(scenario.jobs.values())
    cpu = sum(count * alone[kind]["cpu_s"] for kind, count in counts.items()) / CORES
    memory = sum(
        count * alone[kind]["wall_s"] * scenario.kinds[kind][1].mean_mib
        for kind, count in counts.items()
    )
    reads = sum(count * scenario.kinds[kind][1].reads for kind, count in counts.items())
    disk = reads / scenario.iops if scenario.iops else 0.0
    longest = max(alone[kind]["wall_s"] for kind in counts)
    return max(cpu, memory / free_mib, disk, longest)


Record = dict[str, Any]
"""What came of a cell: a line of the results, as ``cell.measure`` writes it."""
