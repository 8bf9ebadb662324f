"""What a simulated cluster runs: jobs of every policy, and the manifests of their applies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from hostagent.codec import content_hash
from hostagent.compile.names import service_name
from hostagent.model import Backoff, Form, Job, Manifest, Missed, Overlap, Schedule, Unit
from tests.simulation.clocks import EPOCH
from tests.simulation.pid1 import UnitFile

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Load:
    """Jobs and, in seconds, how long each of them takes at least and at most."""

    jobs: tuple[Job, ...]
    durations: dict[str, tuple[float, float]]
    stubborn: frozenset[str]


def schedule(period: timedelta, jitter: timedelta, until: datetime) -> Schedule:
    """Every ``period``, until the simulation ends."""
    text = f"every {period}"
    return Schedule(Form.EVERY, text, every=period, anchor=EPOCH, jitter=jitter, not_after=until)


def normal(until: datetime) -> Load:
    """Ten jobs with periods of five minutes to an hour."""
    minutes = (5, 10, 15, 20, 30, 30, 60, 60, 60, 60)
    lasts = (20.0, 60.0, 2.0, 300.0, 120.0, 5.0, 900.0, 60.0, 1.0, 30.0)
    jobs = tuple(
        one_job(f"job{n}", n, m * MINUTE, timedelta(seconds=30 * (n % 2)), until)
        for n, m in enumerate(minutes)
    )
    bounds = {job.name: (0.2, most) for job, most in zip(jobs, lasts, strict=True)}
    return Load(jobs, bounds, frozenset())


def single(job: Job, lasts_s: float) -> Load:
    """One job that always takes so long."""
    return Load((job,), {job.name: (lasts_s, lasts_s)}, frozenset())


def chain(until: datetime) -> Load:
    """A job of every two minutes that now and then fails, and two that come after it."""
    first, second, third = (
        one_job(f"chain{n}", number, n * MINUTE, timedelta(0), until)
        for n, number in ((2, 1), (4, 0), (3, 5))
    )
    waits = timedelta(minutes=7)  # all is over when it is judged
    second = replace(second, after=(first.name,), start_deadline=waits)
    third = replace(third, after=(first.name, second.name), start_deadline=waits)
    bounds = {first.name: (1.0, 100.0), second.name: (1.0, 60.0), third.name: (0.1, 20.0)}
    return Load((first, second, third), bounds, frozenset())


def busy(rnd: Random, until: datetime) -> Load:
    """Ten jobs with periods of half a minute to ten; some overrun, some ignore SIGTERM."""
    jobs, bounds = [], {}
    for number in range(10):
        period = timedelta(seconds=rnd.choice((30, 60, 60, 120, 300, 600)))
        jitter = timedelta(seconds=rnd.choice((0, 0, 1, 5, 15)))
        job = one_job(f"job{number}", number, period, jitter, until)
        jobs.append(job)
        most = period.total_seconds() * rnd.choice((0.05, 0.3, 0.8, 1.3))
        bounds[job.name] = (0.1, most)
    stubborn = frozenset(job.name for job in jobs if rnd.random() < 0.2)
    return Load(tuple(jobs), bounds, stubborn)


def one_job(name: str, number: int, period: timedelta, jitter: timedelta, until: datetime) -> Job:
    """The policies go with the number."""
    return Job(
        name=name,
        command=("/usr/bin/work", name),
        schedule=schedule(period, jitter, until),
        timeout=timedelta(days=1),
        missed=(Missed.LATEST, Missed.ALL, Missed.LATEST, Missed.SKIP)[number % 4],
        catch_up_window=max(timedelta(hours=1), period),
        overlap=(Overlap.SKIP, Overlap.QUEUE, Overlap.REPLACE)[number % 3],
        retries=(0, 2)[number % 2],
        backoff=Backoff(first=timedelta(seconds=10)),
        retry_elsewhere=number % 5 == 0,
        quarantine_after=1000,
    )


def change(jobs: Sequence[Job], rnd: Random) -> tuple[Job, ...]:
    """A jobs.toml in which one job's schedule or jitter is another."""
    changed = list(jobs)
    at = rnd.randrange(len(changed))
    job = changed[at]
    assert job.schedule.every is not None
    if rnd.random() < 0.7:
        new = replace(job.schedule, every=job.schedule.every * rnd.choice((2, 3, 5)) / 3)
    else:
        new = replace(job.schedule, jitter=timedelta(seconds=rnd.choice((0, 2, 10))))
    changed[at] = replace(job, schedule=new)
    return tuple(changed)


def manifest(jobs: Sequence[Job], host: str, number: int, at: datetime) -> Manifest:
    """What apply deploys."""
    units = tuple(
        Unit(job.name, "", _service(job.name), _service(job.name).replace(".service", ".timer"))
        for job in jobs
    )
    sources = (("jobs.toml", content_hash(list(jobs))),)
    return Manifest(number, at, 257, host, tuple(jobs), units=units, sources=sources)


def unit_files(deployed: Manifest) -> tuple[UnitFile, ...]:
    """The unit files that belong to a manifest."""
    jobs = {job.name: job for job in deployed.jobs}
    return tuple(
        UnitFile(unit.service, unit.timer, jobs[unit.job].schedule, jobs[unit.job].schedule.jitter)
        for unit in deployed.units
    )


def _service(job: str) -> str:
    return service_name(job, "", fan_out=False)
