"""What people order about the backlog, and what the gate does of itself, in whole agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hostagent.agent.service import AgentService
from hostagent.model import Backoff, Job, Lane, Outcome, Run
from hostagent.policy.backlog import Limits, Memory, Signals
from hostagent.policy.retry import LOOKED_AT
from hostagent.store.port import RunFilter
from tests.simulation import load
from tests.simulation.agent import US
from tests.simulation.host import Host
from tests.simulation.load import Load
from tests.simulation.simulation import BEGIN, Simulation
from tests.simulation.test_facts import (
    EACH,
    LATEST,
    NO_JITTER,
    SKIP,
    TEN,
    UNTIL,
    at,
    job,
    lasting,
    play,
)

NAMES = tuple(f"job{number}" for number in range(6))
ROOMY = Signals(load=0.0, memory=Memory(10_000, 9_000))


def service(host: Host) -> AgentService:
    """What answers for the host's agent."""
    assert host.agent
    assert host.agent.service
    return host.agent.service


def many(edit: Callable[[Job], Job] = lambda one: one, lasts_s: float = 5.0) -> Load:
    """Six jobs that fall due together."""
    jobs = tuple(edit(load.one_job(name, LATEST, TEN, NO_JITTER, UNTIL)) for name in NAMES)
    return Load(jobs, dict.fromkeys(NAMES, (lasts_s, lasts_s)), frozenset())


async def missed(one: Simulation, limits: Limits) -> Host:
    """No host is up when the jobs fall due at minute 10; then one is."""
    await at(9.9)
    for host in one.hosts:
        host.power_cut()
        host.limits = limits
    await at(10.5)
    host = one.hosts[0]
    host.signals = ROOMY
    host.boot()
    await at(10.9)
    return host


def test_a_retry_that_waits_is_given_up_with_its_reason() -> None:
    """Nothing was missed; no host tries it again, though each of them knew of it."""

    async def story(one: Simulation) -> None:
        one.history.failing = 1.0
        await at(10.15)
        one.history.failing = 0.0
        told = await service(one.hosts[1]).abandon(US, "job", None, "nobody reads it")
        assert told["abandoned"] == [{"name": "job", "count": 0, "retry": True}]
        assert told["fresh"] == []
        await at(12)
        runs = [run for run in one.store.runs(RunFilter()) if run.scheduled_for.minute == 10]
        (run,) = runs
        assert run.outcome is Outcome.FAILED
        assert (run.end_reason or "").endswith(
            "; not tried again: abandoned by uid 0: nobody reads it"
        )
        again = await service(one.hosts[1]).abandon(US, "job", None, "nobody reads it")
        assert again["abandoned"] == []

    play(story, lasting(2, EACH))


def test_what_is_released_at_a_rate_goes_one_by_one() -> None:
    """Before the settle time ends, the most urgent first, never two within ten seconds."""

    async def story(one: Simulation) -> None:
        host = await missed(one, Limits(settle=timedelta(minutes=10)))
        assert not one.store.runs(RunFilter())
        assert await service(host).release(US, "", "6/min") == list(NAMES)
        await asyncio.sleep(15)
        told = await service(host).backlog()
        assert told["pace"] == "6/min by hand, 4 to go"
        assert "released by hand, 6/min: the last one went" in told["held"][0]["reason"]
        expected = [datetime.fromisoformat(held["expected"]) for held in told["held"]]
        assert all(later - before == timedelta(seconds=10) for before, later in pairwise(expected))
        await at(12.5)
        runs = sorted(one.store.runs(RunFilter()), key=lambda run: run.token)
        began = sorted((run.claimed_at, run.job) for run in runs if run.claimed_at)
        assert [name for _, name in began] == list(NAMES)
        gaps = [later - before for (before, _), (later, _) in pairwise(began)]
        assert all(timedelta(seconds=10) <= gap < timedelta(seconds=12) for gap in gaps), gaps
        assert (await service(host).status())["pace"] == ""
        for other in one.hosts[1:]:
            other.boot()

    play(story, many())


def test_a_release_of_all_without_a_rate_ends_the_rate() -> None:
    """The gate goes on by its own rules, and they settle no more."""

    async def story(one: Simulation) -> None:
        host = await missed(one, Limits(settle=timedelta(minutes=10), step=timedelta(seconds=1)))
        await service(host).release(US, "", "1/h")
        await asyncio.sleep(3)
        assert (await service(host).status())["pace"] == "1/h by hand, 5 to go"
        await service(host).release(US, "", None)
        await asyncio.sleep(20)
        assert (await service(host).status())["pace"] == ""
        assert len(one.store.runs(RunFilter())) == len(NAMES)
        for other in one.hosts[1:]:
            other.boot()

    play(story, many())


def test_a_backlog_is_sampled_while_there_is_one() -> None:
    """And not before; what was let go is counted once."""

    async def story(one: Simulation) -> None:
        host = await missed(one, Limits(settle=timedelta(seconds=60)))
        await at(13)
        samples = await service(host).samples()
        assert sum(sample["released"] for sample in samples) == len(NAMES)
        assert {sample["held"] for sample in samples} >= {6}
        assert all(sample["in_use"] == 10.0 for sample in samples)
        await at(15)
        assert await service(host).samples() == samples
        for other in one.hosts[1:]:
            other.boot()

    play(story, many(lasts_s=12.0))


def test_what_failed_is_tried_again_before_the_next_one_that_was_missed() -> None:
    """missed = "all": the chain keeps its order, whatever the backoff and whoever is up."""
    two = timedelta(minutes=2)
    chain = replace(load.one_job("job", EACH, two, NO_JITTER, UNTIL), backoff=Backoff(two / 4))

    async def story(one: Simulation) -> None:
        await at(9.9)
        for host in one.hosts:
            host.power_cut()
        await at(14.5)
        for host in one.hosts:
            host.boot()
        one.history.failing = 1.0
        await at(14.9)
        one.history.failing = 0.0
        await at(17)
        runs = sorted(one.store.runs(RunFilter(since=BEGIN + 5 * two)), key=lambda run: run.token)
        told = [(run.scheduled_for.minute, run.attempt) for run in runs]
        assert told == [(10, 1), (10, 2), (12, 1), (14, 1), (16, 1)]
        assert [run.outcome for run in runs] == [Outcome.FAILED] + [Outcome.SUCCEEDED] * 4

    play(story, load.single(chain, 5))


def test_a_failure_in_a_pool_reads_a_bounded_part_of_the_ledger() -> None:
    """Its last starts of the hour, however many rows there are of others, and of skipped ones."""
    asked: list[RunFilter] = []

    async def story(one: Simulation) -> None:
        read = one.store.runs

        def runs(where: RunFilter) -> list[Run]:
            asked.append(where)
            return read(where)

        one.store.runs = runs  # type: ignore[method-assign]
        one.history.failing = 1.0
        await at(10.1)
        one.history.failing = 0.0
        await at(11)
        one.store.runs = read  # type: ignore[method-assign]

    chain = replace(job(EACH), pool="db")
    play(story, load.single(chain, 2))
    (hour,) = [where for where in asked if where.jobs]
    assert (set(hour.jobs), hour.attempts_only, hour.limit) == ({"job"}, True, LOOKED_AT)
    assert all(where.job or where.limit for where in asked)


def test_a_fresh_run_of_a_chosen_lane_waits_for_memory_and_is_not_missed_for_that() -> None:
    """missed = "skip" would have it skipped after 15 s. Its record says how long it waited."""
    bulk = replace(job(SKIP), lane=Lane.BULK)

    async def story(one: Simulation) -> None:
        await at(9)
        for host in one.hosts:
            host.limits = Limits(hold_fresh=(Lane.BULK,))
            host.signals = Signals(memory=Memory(10_000, 400))
            host.kill_agent()  # the next one reads them
        await at(10.7)
        assert not one.history.live()
        host = next(host for host in one.hosts if holds(host))
        told = await service(host).backlog()
        assert told["held"][0]["reason"] == (
            "held: MemAvailable 400 B is under 5 % of RAM (500 B), so fresh runs of lane bulk wait "
            "(hold_fresh)"
        )
        left = await service(host).abandon(US, "job", None, "x")
        assert (left["abandoned"], left["fresh"]) == ([], ["job"])
        for host in one.hosts:
            host.signals = ROOMY
        await asyncio.sleep(4)
        (line,) = one.history.live()
        assert line.job == "job"
        (run,) = [r for r in one.store.runs(RunFilter(open_only=True)) if r.attempt]
        assert "; memory had room after " in run.reason
        assert run.covers == 1

    play(story, load.single(bulk, 20))


def holds(host: Host) -> bool:
    """Whether its gate holds something."""
    assert host.agent
    assert host.agent.daemon
    return bool(host.agent.daemon.backlog.held)
