"""The storms: those of the research, and three that no constant of the gate was chosen by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from bench.storm.host import Kind, Scenario, Task

HOUR = 3600.0


def boot(cores: int) -> list[Task]:
    """What a host does anyway when it comes up."""
    return [
        Task(f"boot{n}", 15, 0.9, 0.05, peak=0.02 / cores, kind=Kind.BOOT) for n in range(3 * cores)
    ]


def fresh(rnd: Random, a_second: float, disk: float = 0.05) -> Iterator[Task]:
    """Short runs that fall due for an hour, each of some jobs in turn."""
    names, at, count = max(20, int(20 * a_second)), 0.0, 0
    while (at := at + rnd.expovariate(a_second)) <= HOUR:
        yield Task(
            f"fresh{count % names}",
            rnd.uniform(0.5, 1.5),
            0.85,
            disk,
            peak=0.004,
            grows=0.1,
            arrives_s=at,
            kind=Kind.FRESH,
        )
        count += 1


def many(
    count: int,
    one: Callable[[int], Task],
) -> list[Task]:
    """So many runs of the backlog."""
    return [one(n) for n in range(count)]


def outage(rnd: Random) -> list[Task]:
    """Eight heavy jobs, forty light ones: what this project was begun for."""
    heavy = many(
        8,
        lambda n: Task(
            f"heavy{n}",
            240 * rnd.uniform(0.8, 1.2),
            0.7,
            0.1,
            peak=0.25,
            deadline_s=rnd.uniform(3600, 7200),
        ),
    )
    light = many(
        40,
        lambda n: Task(
            f"light{n:02}",
            8 * rnd.uniform(0.5, 2),
            0.8,
            0.1,
            peak=rnd.uniform(0.008, 0.02),
            deadline_s=rnd.uniform(600, 3600),
        ),
    )
    return [*heavy, *light, *fresh(rnd, 0.1), *boot(2)]


def small(rnd: Random) -> list[Task]:
    """Five hundred jobs of some seconds."""
    jobs = many(
        500,
        lambda n: Task(
            f"small{n:03}",
            rnd.lognormvariate(1.1, 0.7),
            0.6,
            0.2,
            peak=rnd.uniform(0.008, 0.02),
            grows=0.2,
            deadline_s=rnd.uniform(900, 3600),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1), *boot(2)]


def large(rnd: Random) -> list[Task]:
    """A host of 64 cores."""
    heavy = many(
        50,
        lambda n: Task(
            f"heavy{n:02}",
            600 * rnd.uniform(0.7, 1.3),
            0.9,
            0.02,
            width=2,
            peak=rnd.uniform(0.03, 0.05),
            deadline_s=rnd.uniform(1800, 7200),
        ),
    )
    light = many(
        100,
        lambda n: Task(
            f"light{n:03}",
            10 * rnd.uniform(0.5, 2),
            0.8,
            0.1,
            peak=0.002,
            deadline_s=rnd.uniform(600, 3600),
        ),
    )
    return [*heavy, *light, *fresh(rnd, 1.0), *boot(64)]


def sleepers(rnd: Random) -> list[Task]:
    """They mostly wait for somebody else."""
    jobs = many(
        80,
        lambda n: Task(
            f"sleeper{n:02}",
            90 * rnd.uniform(0.6, 1.4),
            0.12,
            0.02,
            peak=0.02,
            deadline_s=rnd.uniform(1200, 5400),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1), *boot(2)]


def threads(rnd: Random) -> list[Task]:
    """Each can take the whole host."""
    jobs = many(
        40,
        lambda n: Task(
            f"wide{n:02}",
            30 * rnd.uniform(0.6, 1.4),
            0.95,
            0.02,
            width=4,
            peak=0.05,
            deadline_s=rnd.uniform(1800, 5400),
        ),
    )
    return [*jobs, *fresh(rnd, 0.2), *boot(4)]


def readers(rnd: Random) -> list[Task]:
    """They read all the time."""
    jobs = many(
        60,
        lambda n: Task(
            f"reader{n:02}",
            45 * rnd.uniform(0.7, 1.3),
            0.1,
            0.8,
            peak=0.008,
            deadline_s=rnd.uniform(1800, 7200),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1, disk=0.3), *boot(4)]


def growing(rnd: Random) -> list[Task]:
    """Their memory grows until their end."""
    jobs = many(
        12,
        lambda n: Task(
            f"grows{n:02}",
            300 * rnd.uniform(0.8, 1.2),
            0.6,
            0.05,
            peak=0.25,
            first=0.04,
            grows=0.9,
            deadline_s=rnd.uniform(1800, 7200),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1), *boot(4)]


def beside_services(rnd: Random) -> list[Task]:
    """The host has enough to do without them."""
    jobs = many(
        20,
        lambda n: Task(
            f"work{n:02}",
            90 * rnd.uniform(0.8, 1.2),
            0.9,
            0.05,
            peak=0.04,
            deadline_s=rnd.uniform(3600, 10000),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1), *boot(4)]


def surge(rnd: Random) -> list[Task]:
    """People come back in the middle of it."""
    jobs = many(
        60,
        lambda n: Task(
            f"work{n:02}",
            120 * rnd.uniform(0.7, 1.3),
            0.8,
            0.05,
            peak=0.03,
            deadline_s=rnd.uniform(2400, 7200),
        ),
    )
    return [*jobs, *fresh(rnd, 0.2), *boot(4)]


def downstream(rnd: Random) -> list[Task]:
    """What they all ask is broken for a quarter of an hour."""
    jobs = many(
        100,
        lambda n: Task(
            f"asks{n:02}",
            10 * rnd.uniform(0.5, 2),
            0.5,
            0.1,
            peak=0.01,
            deadline_s=rnd.uniform(2400, 7200),
        ),
    )
    return [*jobs, *fresh(rnd, 0.1), *boot(2)]


def neighbour(at_s: float) -> float:
    """Somebody who takes three of four CPUs, every other minute."""
    return 3.0 if at_s % 120 < 60 else 0.2


SCENARIOS = (
    Scenario("outage, swap", 2, outage, swap=0.5),
    Scenario("outage", 2, outage),
    Scenario("small", 2, small),
    Scenario("64 cores", 64, large, disk=8.0, base_memory=0.1, busy_cpus=lambda _: 2.0),
    Scenario("sleepers", 2, sleepers),
    Scenario("threads", 4, threads),
    Scenario("readers, HDD", 4, readers, swap=0.2, disk=1.0, seek=0.15),
    Scenario("readers, SSD", 4, readers, swap=0.2),
    Scenario("growing", 4, growing),
    Scenario("busy", 4, beside_services, swap=0.2, busy_cpus=lambda _: 3.2),
    Scenario("surge", 4, surge, swap=0.2, busy_cpus=lambda s: 3.6 if 300 <= s < 1500 else 0.4),
    Scenario("downstream", 2, downstream, swap=0.2, fails_until_s=900),
)
"""Those of the research, by which the constants were chosen."""

UNSEEN = (
    Scenario("neighbour", 4, surge, busy_cpus=neighbour),
    Scenario("slow disk", 2, readers, disk=0.6, seek=0.4),
    Scenario("small host", 1, outage, base_memory=0.5, swap=0.3),
)
"""Those that were chosen before the gate was tried on them, and changed nothing in it."""
