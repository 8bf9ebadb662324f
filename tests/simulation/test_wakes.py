"""After a sleep, an absence or an outage of hours: one wake, one settle time, and then no storm.

The agent, its gate and the ledger are the product's; hours pass in virtual time.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, TypeVar

import pytest

from hostagent.model import Missed
from hostagent.policy.backlog import Limits, Memory, Signals
from hostagent.policy.due import FRESH_FOR
from hostagent.policy.hosts import UNREACHED_TTLS
from hostagent.store.port import RunFilter
from tests.simulation import agent, load
from tests.simulation.faults import Disturbance
from tests.simulation.host import Host
from tests.simulation.load import Load
from tests.simulation.loop import MICROS
from tests.simulation.simulation import BEGIN, Plan, Simulation, simulate
from tests.simulation.test_facts import EACH, LATEST, NO_JITTER, SKIP, TEN, at

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
ROOMY = Signals(load=0.0, memory=Memory(10_000, 9_000))
OWING, FRESH = 24, "fresh"
SETTLE_S, STEP_S = 60, 10
"""The gate's defaults, which nobody has configured."""

DRAIN_S = 240
BEAT_S = 5


class AtOnce(Random):
    """A store that is down refuses at once: no call hangs for longer than it is away."""

    def choice(self, seq: SupportsLenAndGetItem[T]) -> T:
        """The first, which is the quickest."""
        return seq[0]


async def sleeps(host: Host) -> None:
    """The lid is closed for an hour."""
    host.suspend()
    await asyncio.sleep(3600)
    host.resume()


async def is_a_day_ahead(host: Host) -> None:
    """Its clock is, for an hour; that of the store is right, and nothing may start."""
    await is_off(host, 86400)


async def is_a_day_behind(host: Host) -> None:
    """The same."""
    await is_off(host, -86400)


async def is_off(host: Host, seconds: int) -> None:
    """Its clock is set wrong, and right again after an hour."""
    before = host.clock.offset
    host.clock.step(before + seconds * MICROS)
    await asyncio.sleep(3600)
    host.clock.step(before)


async def has_no_store(host: Host) -> None:
    """For an hour."""
    host.link.is_store_down = True
    await asyncio.sleep(3600)
    host.link.is_store_down = False


async def has_no_agent(host: Host) -> None:
    """For six hours."""
    host.stop_agent()
    await asyncio.sleep(6 * 3600)
    host.start_agent()


def owing(plan: Plan) -> Load:
    """A dozen jobs of ``latest``, half as many of ``all`` and of ``skip``; one of each minute."""
    until = BEGIN + timedelta(days=plan.days)
    numbers = [LATEST, EACH, LATEST, SKIP] * (OWING // 4)
    jobs = [load.one_job(f"job{n:02}", m, TEN, NO_JITTER, until) for n, m in enumerate(numbers)]
    jobs.append(load.one_job(FRESH, SKIP, MINUTE, NO_JITTER, until))
    return Load(tuple(jobs), {one.name: (5.0, 5.0) for one in jobs}, frozenset())


def at_ease(one: Simulation) -> Host:
    """Its one host, which nothing befalls but the story, with the gate as nobody has set it."""
    one.history.failing = 0.0
    one.nemesis.disturbances.append(Disturbance(None, "story", 0.0))
    (host,) = one.hosts
    host.pid1.loses = 0.0
    host.limits, host.signals = Limits(), ROOMY
    host.kill_agent()  # the next one reads them
    return host


async def look(host: Host) -> tuple[str, float, float]:
    """What a person sees of the gate: how it settles, its level, and what of that is used."""
    assert host.agent
    assert host.agent.service
    told = await host.agent.service.backlog()
    return told["settles"], told["level"], told["used"]


@pytest.mark.parametrize(
    ("befalls", "hours", "why"),
    [
        (sleeps, 1, "the clock was set, or the host slept"),
        (is_a_day_ahead, 1, "the clock was set, or the host slept"),
        (is_a_day_behind, 1, "the clock was set, or the host slept"),
        (has_no_store, 1, "the store was away"),
        (has_no_agent, 6, "the agent came up"),
    ],
)
def test_a_wake_settles_once_and_drains_without_a_storm(
    befalls: Callable[[Host], Awaitable[None]],
    hours: int,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a minute nothing that was missed starts, then one, then twice as many each 10 s.

    What falls due meanwhile starts as ever; nothing is lost, doubled or early (the judgement).
    """
    plan = Plan(seed=1, days=(hours + 0.5) / 24, hosts=1)
    monkeypatch.setattr(agent, "LOST_HINTS", 0.0)

    async def story(one: Simulation) -> None:
        host = at_ease(one)
        await at(11)
        await befalls(host)
        back = one.store.now()
        await asyncio.sleep(1)  # until there is an agent
        looks = []
        for _ in range(DRAIN_S):
            looks.append(await look(host))
            await asyncio.sleep(1)

        # One wake, told from its first second to its last.
        told = [
            re.findall(r"settle = 1min after a wake \((.*)\): nothing", one) for one, *_ in looks
        ]
        begin = told.index([why])
        end = begin + told.count([why])
        assert begin < BEAT_S
        assert SETTLE_S - 2 <= end - begin <= SETTLE_S
        assert told[begin:end] == [[why]] * (end - begin), "another one in between"
        assert not any(told[end:])

        # What was missed begins with one run, and no more go than the level says.
        assert all(used <= level for _, level, used in looks)
        used = [used for *_, used in looks]
        assert not any(used[:end])
        assert all(most <= 2 ** (n // STEP_S) for n, most in enumerate(used[end:]))
        assert max(used) >= 6
        assert not any(used[-60:]), "it takes longer than that"

        # Each policy's own; the hour's window of `all` has six, or five when it has settled.
        runs = one.store.runs(RunFilter(since=BEGIN + 2 * TEN, attempts_only=True))
        ran = Counter(run.job for run in runs if run.scheduled_for < back)
        jobs = {job.name: job.missed for job in one.jobs if job.name != FRESH}
        for name, missed in jobs.items():
            assert ran[name] in {Missed.LATEST: {1}, Missed.ALL: {5, 6}, Missed.SKIP: {0}}[missed]
        fresh = [run for run in runs if run.job == FRESH and run.scheduled_for >= back]
        assert len(fresh) >= DRAIN_S // 60
        assert all(
            run.started_at < run.scheduled_for + FRESH_FOR for run in fresh if run.started_at
        )

    result = simulate(plan, story, owing(plan))
    assert result.is_kept, str(result)


def test_a_store_that_falters_holds_nothing_back_for_ever() -> None:
    """What is shorter than a lease is no wake: what was missed goes on, between the gaps."""
    plan = Plan(seed=1, days=1.5 / 24, hosts=1)

    async def story(one: Simulation) -> None:
        host = at_ease(one)
        await at(11)
        host.link.rnd = AtOnce(1)
        await sleeps(host)
        await asyncio.sleep(1)
        settles = 0
        for _ in range(DRAIN_S // 20):
            host.link.is_store_down = True
            await asyncio.sleep(3)
            host.link.is_store_down = False
            await asyncio.sleep(17)
            settles += bool((await look(host))[0])
        assert settles == SETTLE_S // 20, "for longer than the sleep asks for"
        assert not (await look(host))[2], "it takes longer than that"
        runs = one.store.runs(RunFilter(job="job00", since=BEGIN + 2 * TEN, attempts_only=True))
        assert runs

    result = simulate(plan, story, owing(plan))
    assert result.is_kept, str(result)


def test_a_store_that_is_away_is_told_by_the_host_that_lost_it() -> None:
    """For minutes, once, and once when it is back; what it can reach no more is not asked for it.

    A sleep is not counted, even where the store is away when it ends.
    """
    plan = Plan(seed=1, days=1.5 / 24, hosts=2)

    async def story(one: Simulation) -> None:
        one.history.failing = 0.0
        one.nemesis.disturbances.append(Disturbance(None, "story", 0.0))
        lost, _ = one.hosts
        bound_s = UNREACHED_TTLS * plan.ttl.total_seconds()
        await at(11)
        lost.link.is_store_down = True
        await asyncio.sleep(bound_s / 2)
        await sleeps(lost)
        await asyncio.sleep(bound_s / 2 - 10)
        assert said(one) == []
        await asyncio.sleep(20)
        assert [who for who, _ in said(one)] == [lost.name]
        lost.kill_agent()  # the next one goes on with what was told
        await asyncio.sleep(2 * bound_s)
        assert len(said(one)) == 1
        lost.link.is_store_down = False
        await asyncio.sleep(60)
        (_, begun), (host, over) = said(one)
        assert "does not reach the store: not for " in begun
        assert host == lost.name
        assert over.endswith("it reaches the store again")

    result = simulate(plan, story, owing(plan))
    assert result.is_kept, str(result)


def said(one: Simulation) -> list[tuple[str, str]]:
    """What agents said of their hosts' reach: the host, the sentence."""
    about = re.compile(r"host (\S+) ((?:does not reach the store|has recovered \(store).*)")
    return [(found[1], found[2]) for line in one.trace if (found := about.search(line))]
