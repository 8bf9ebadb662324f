"""What seeds have found once, each as the shortest story that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest

from hostagent.agent.book import Entry
from hostagent.agent.daemon import Daemon
from hostagent.model import Job, Outcome
from hostagent.policy.backlog import Limits, Memory, Signals
from hostagent.schedule.jitter import delay
from hostagent.store.port import (
    Accepted,
    Cursor,
    Refused,
    RunFilter,
    Settlement,
)
from tests.simulation import load
from tests.simulation.agent import US
from tests.simulation.faults import Disturbance
from tests.simulation.host import Host
from tests.simulation.load import Load
from tests.simulation.loop import MICROS
from tests.simulation.simulation import BEGIN, Plan, Result, Script, Simulation, simulate

UNTIL = BEGIN + timedelta(minutes=30)
PLAN = Plan(seed=1, days=30 / 24 / 60)
TEN = timedelta(minutes=10)
NO_JITTER = timedelta(0)

LATEST, EACH, SKIP = 0, 1, 3
"""Numbers of jobs with ``missed`` so."""

REPLACES = 2
"""The number of a job with ``overlap = "replace"``."""


def job(number: int = LATEST) -> Job:
    """Every ten minutes, to the second."""
    return load.one_job("job", number, TEN, NO_JITTER, UNTIL)


def lasting(seconds: float, number: int = LATEST) -> Load:
    """One job, which takes so long."""
    return load.single(job(number), seconds)


def play(script: Script, one_load: Load) -> Result:
    """The story, told to its end; nothing but what it tells goes wrong."""

    async def calm(one: Simulation) -> None:
        one.history.failing = 0.0
        one.nemesis.disturbances.append(Disturbance(None, "story", 0.0))
        for host in one.hosts:
            host.pid1.loses = 0.0
        await script(one)

    result = simulate(PLAN, calm, one_load)
    assert result.is_kept, str(result) + "\n" + "\n".join(result.trace)
    return result


async def at(minutes: float) -> None:
    """Wait until then. The clock of a story begins at its first word."""
    await asyncio.sleep(max(0.0, minutes * 60 - asyncio.get_running_loop().time()))


def holder(one: Simulation) -> Host:
    """The host on which the job runs."""
    (line,) = one.history.live()
    return next(host for host in one.hosts if host.name == line.host)


def test_an_agent_restarted_again_and_again_keeps_its_run() -> None:
    """The fence moves on with each of them, also before they know what runs (promise 6)."""

    async def story(one: Simulation) -> None:
        await at(10.2)
        host = holder(one)
        for _ in range(12):
            host.kill_agent()
            await asyncio.sleep(1.4)
        assert one.history.live()

    result = play(story, lasting(120))
    assert set(result.report.outcomes) == {"succeeded"}


def test_an_admission_that_was_given_up_starts_no_manual_run() -> None:
    """Agents that stood still for a minute answer clients that have gone."""

    async def story(one: Simulation) -> None:
        await at(9.98)
        agents = [host.agent for host in one.hosts if host.agent is not None]
        for agent in agents:
            agent.process.freeze()
        await at(11)
        for agent in agents:
            agent.process.thaw()

    result = play(story, lasting(5))
    assert result.report.starts == result.report.due


def test_a_clock_a_day_ahead_skips_nothing() -> None:
    """What falls due later is settled by nobody now, whatever one host's clock says."""

    async def story(one: Simulation) -> None:
        await at(5)
        one.hosts[0].clock.step(86400 * MICROS)
        await at(6)
        one.hosts[0].clock.step(0)

    for number in (LATEST, EACH, SKIP):
        result = play(story, lasting(5, number))
        assert set(result.report.outcomes) == {"succeeded"}


def test_a_clock_an_hour_ahead_stops_no_job_that_an_agent_makes_known() -> None:
    """A host whose jobs were deployed where no store was (an image) tells it of them itself."""

    async def story(one: Simulation) -> None:
        await at(5)
        host = one.hosts[0]
        host.clock.step(3600 * MICROS)
        assert host.agent is not None
        assert host.agent.service is not None
        now = host.clock.now()
        unknown = load.one_job("unknown", SKIP, TEN, NO_JITTER, UNTIL)
        new = load.manifest([*one.jobs, unknown], host.name, 99, now)
        host.deploy(new, load.unit_files(new))
        await host.agent.service.reload(US)
        marks = {cursor.job: cursor.high_water for cursor in one.store.cursors()}
        assert marks.keys() == {each.name for each in new.jobs}
        assert max(marks.values()) <= one.store.now()
        host.clock.step(0)
        assert one.apply(host)

    play(story, lasting(5))


def test_a_taken_over_run_starts_at_once_whatever_the_clock_of_who_took_it() -> None:
    """``retry_at`` is told by the store's clock."""

    async def story(one: Simulation) -> None:
        await at(10.5)
        lost = holder(one)
        for host in one.hosts:
            host.clock.step((host is not lost) * 40 * 60 * MICROS)
        lost.power_cut()
        await at(10.9)
        assert not one.history.live()
        for host in one.hosts:
            host.clock.step(0)
        await at(11.1)
        assert one.history.live()
        lost.boot()

    play(story, lasting(240, EACH))


def test_a_run_ends_though_nobody_signals_it() -> None:
    """PID 1's word is a hint: a minute later the agent looks by itself."""

    async def story(one: Simulation) -> None:
        await at(1)
        for host in one.hosts:
            for connection in host.pid1.connections:
                connection.loses = 1.0
        await at(12)
        rows = one.store.runs(RunFilter())
        assert [row.outcome for row in rows] == [Outcome.SUCCEEDED] * len(rows)

    play(story, lasting(5))


def test_what_is_replaced_ends_soon_though_nobody_signals_it() -> None:
    """Its end was asked for, so it is not waited for as for any other."""

    async def story(one: Simulation) -> None:
        await at(19.9)
        (before,) = one.history.live()
        for host in one.hosts:
            for connection in host.pid1.connections:
                connection.loses = 1.0
        await at(20.2)
        (after,) = one.history.live()
        assert after.run_id != before.run_id

    play(story, lasting(700, REPLACES))


def test_a_paused_host_leaves_the_clusters_jobs_to_others() -> None:
    """Also where it would have been the first to ask; it skips nothing for all."""

    async def story(one: Simulation) -> None:
        await at(10.1)
        first = holder(one)
        assert first.agent is not None
        assert first.agent.service is not None
        service = first.agent.service
        await service.pause(US, "host", first.name, None, "a story")
        await at(20.1)
        assert holder(one) is not first
        await at(21)
        await service.resume(US, "host", first.name)
        await at(21.5)
        assert not one.history.live()

    result = play(story, lasting(30))
    assert set(result.report.outcomes) == {"succeeded"}


def test_what_only_a_paused_host_may_run_is_skipped() -> None:
    """As on a host alone: to resume starts nothing."""

    async def story(one: Simulation) -> None:
        await at(9)
        last, *others = one.hosts
        for host in others:
            host.power_cut()
        assert last.agent is not None
        assert last.agent.service is not None
        await at(10 - 1 / 60)
        await last.agent.service.pause(US, "host", last.name, None, "a story")
        await at(10.5)
        await last.agent.service.resume(US, "host", last.name)
        await at(11)
        assert not one.history.live()
        for host in others:
            host.boot()

    result = play(story, lasting(30))
    assert result.report.outcomes["skipped"] == 1


def test_a_reload_that_the_store_refused_comes_later() -> None:
    """An apply tells the agents while the store is away: they take it up when it is back."""

    async def story(one: Simulation) -> None:
        await at(5)
        one.jobs = (load.one_job("job", LATEST, TEN / 2, NO_JITTER, UNTIL),)
        for host in one.hosts:
            one.apply(host)
            host.link.is_store_down = True
        await at(6)
        for host in one.hosts:
            host.link.is_store_down = False

    assert play(story, lasting(5)).report.starts == 4


def test_a_timer_that_elapses_before_the_hosts_turn_asks_nothing_of_the_store() -> None:
    """With jitter that is half of all elapses, on every host."""
    jitter = timedelta(minutes=1)
    names = (f"job{number}" for number in count())
    name = next(one for one in names if delay(one, "", jitter) > jitter * 0.9)
    asked: list[object] = []

    async def story(one: Simulation) -> None:
        read = one.store.cursors

        def cursors(names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
            asked.extend(names or ())
            return read(names)

        one.store.cursors = cursors  # type: ignore[method-assign]
        await at(9.9)
        asked.clear()
        await at(10.9)
        assert sum("; this host asks for it at" in line for line in one.trace) > 1
        assert asked == []
        await at(11)
        assert asked

    play(story, load.single(load.one_job(name, LATEST, TEN, jitter, UNTIL), 5))


def test_hosts_that_settle_beside_each_other_pass_nothing_by() -> None:
    """Each decided before the other wrote: what one leaves owed, the other must not jump over."""
    six = timedelta(seconds=6)
    raced: list[Settlement] = []

    async def story(one: Simulation) -> None:
        settle = one.store.settle

        def after_another(settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
            (mine,) = settlements
            if mine.count > 2 and not raced:
                raced.append(replace(mine, last=mine.last - six, count=mine.count - 1))
                assert settle(raced) == [Accepted()]
            return settle(settlements)

        one.store.settle = after_another  # type: ignore[method-assign]
        await at(5)
        for host in one.hosts:
            host.link.is_store_down = True
        await at(6)
        for host in one.hosts:
            host.link.is_store_down = False

    play(story, load.single(load.one_job("job", SKIP, six, NO_JITTER, UNTIL), 1))
    assert raced


def test_a_claim_of_a_session_that_is_over_does_not_begin() -> None:
    """Others watch the session that it hangs on, whatever the host's next one says."""

    async def story(one: Simulation) -> None:
        await at(9.99)
        world = (await claiming(one)).world
        world.cluster.session = one.store.open_session(world.host, "?", ttl=world.cluster.ttl)
        await at(30)

    result = play(story, lasting(120))
    assert result.report.starts == 2


async def claiming(one: Simulation) -> Daemon:
    """The first agent that has claimed something, as soon as it has."""
    for _ in count():
        for host in one.hosts:
            daemon = host.agent and host.agent.daemon
            if daemon and any(entry.active for entry in daemon.book):
                return daemon
        await asyncio.sleep(0.0002)
    raise AssertionError


@pytest.mark.parametrize("late_ms", range(10))
def test_a_claim_that_is_asked_for_while_the_agent_stops_is_kept(late_ms: int) -> None:
    """The agent does not hear the answer, and its session goes on for the next one."""

    async def story(one: Simulation) -> None:
        await at(10 + late_ms / 60_000)
        for host in one.hosts:
            host.stop_agent()
        await at(10.02)
        for host in one.hosts:
            host.start_agent()

    assert set(play(story, lasting(30)).report.outcomes) == {"succeeded"}


def test_the_fence_stays_up_for_the_next_claim_and_not_for_ever() -> None:
    """It is set up for a claim while the next host waits for its turn: 5 ms that count."""
    stands: list[bool] = []

    async def story(one: Simulation) -> None:
        await at(10.2)
        host = holder(one)
        for minutes in (10.6, 11):
            await at(minutes)
            stands.append(host.pid1.fence_deadline_s is not None)

    play(story, lasting(30))
    assert stands == [True, False]


def test_a_retry_that_waits_for_the_end_of_a_pause_wakes_nobody() -> None:
    """It goes when the pause is lifted, not at the next occurrence."""
    looks: list[datetime] = []

    async def story(one: Simulation) -> None:
        one.history.failing = 1.0
        await at(10.05)
        one.history.failing = 0.0
        services = [host.agent.service for host in one.hosts if host.agent and host.agent.service]
        await services[0].pause(US, "job", "job", None, "a story")
        await at(11)
        for host in one.hosts:
            assert host.agent
            assert host.agent.daemon
            wakes = host.agent.daemon.wakes
            wakes.due = partial(counted, looks, wakes.due)  # type: ignore[method-assign]
        await at(12)
        assert not one.history.live()
        assert len(looks) < 100
        await services[0].resume(US, "job", "job")
        await at(12.5)
        assert one.history.live()

    play(story, lasting(60, EACH))


def counted(
    seen: list[datetime], due: Callable[[datetime], list[Entry]], now: datetime
) -> list[Entry]:
    """What is due, noted."""
    seen.append(now)
    return due(now)


def test_who_gives_way_is_tried_again_when_the_other_has_ended() -> None:
    """Memory runs out while two catch up: the younger is stopped, costs no retry, and succeeds."""
    jobs = tuple(load.one_job(name, LATEST, TEN, NO_JITTER, UNTIL) for name in ("older", "younger"))
    two = Load(jobs, {one.name: (60.0, 60.0) for one in jobs}, frozenset())

    async def story(one: Simulation) -> None:
        await at(9.9)
        for host in one.hosts:
            host.power_cut()
        await at(10.5)
        host = one.hosts[0]
        host.signals = Signals(load=0.0, memory=Memory(1000, 900))
        host.boot()
        await at(11.1)
        assert [line.job for line in one.history.live()] == ["older", "younger"]
        host.signals = Signals(load=0.0, memory=Memory(1000, 49))
        await asyncio.sleep(4)
        assert [line.job for line in one.history.live()] == ["older"]
        host.signals = Signals(load=0.0, memory=Memory(1000, 290))
        await asyncio.sleep(4)
        assert [line.job for line in one.history.live()] == ["older"]
        host.signals = Signals(load=0.0, memory=Memory(1000, 900))
        await asyncio.sleep(4)
        assert [line.job for line in one.history.live()] == ["older", "younger"]
        for other in one.hosts[1:]:
            other.boot()
        await at(18)
        ended = {(run.job, run.attempt): run for run in one.store.runs(RunFilter())}
        assert ended["younger", 1].result == "gate-stopped"
        assert ended["younger", 2].outcome is Outcome.SUCCEEDED
        assert "twice 10 % of RAM: memory ran out on that" in ended["younger", 2].reason
        assert ended["older", 1].outcome is Outcome.SUCCEEDED

    play(story, two)


def test_a_store_that_was_away_lets_the_hosts_settle() -> None:
    """What was missed meanwhile waits for a minute from then on; a person does not have to."""
    for released in (None, "job", ""):
        play(partial(back_after_a_while, released), lasting(5))


async def back_after_a_while(released: str | None, one: Simulation) -> None:
    """The store is away when the job falls due, and back when that was missed."""
    await at(5)
    for host in one.hosts:
        host.limits = Limits()
        host.kill_agent()  # the next one reads them
    await at(9.9)
    for host in one.hosts:
        host.link.is_store_down = True
    await at(10.5)
    for host in one.hosts:
        host.link.is_store_down = False
    await at(11)
    assert not one.store.runs(RunFilter())
    services = [host.agent.service for host in one.hosts if host.agent and host.agent.service]
    for service in services:
        told = await service.backlog()
        assert "(the store was away)" in told["settles"]
        assert [held["name"] for held in told["held"]] == ["job"]
    if released is not None:
        await services[0].pause(US, "backlog", "", None, "a story")
        one.hosts[0].kill_agent()  # the next one finds the order
        await asyncio.sleep(5)
        services = [host.agent.service for host in one.hosts if host.agent and host.agent.service]
        assert await services[0].release(US, released, None) == ["job"]
    await at(11.3)
    assert bool(one.store.runs(RunFilter())) is (released is not None)
    await at(12)
    assert one.store.runs(RunFilter())


def test_what_comes_after_a_job_on_another_host_starts_within_a_beat_of_its_end() -> None:
    """Nobody tells its host: it asks with each beat while something waits. Skipped if it fails."""
    first = replace(job(), name="first", hosts=("host0",))
    second = replace(job(), name="second", hosts=("host1",), after=("first",))
    second = replace(second, start_deadline=TEN / 5)
    chain = Load((first, second), {"first": (60.0, 60.0), "second": (1.0, 1.0)}, frozenset())

    async def story(one: Simulation) -> None:
        await at(10.5)
        assert {(x.job, x.host) for x in one.history.live()} == {("first", "host0")}
        await at(11.1)
        (start,) = (x for x in one.history.lines if (x.job, x.what) == ("second", "start"))
        assert start.host == "host1"
        one.history.failing = 1.0
        await at(24)
        one.history.failing = 0.0
        (row,) = one.store.runs(RunFilter(job="second", limit=1))
        assert row.outcome is Outcome.SKIPPED
        assert row.reason.startswith("upstream: first of 2026-03-01 00:20:00Z failed on host0: ")
        assert row.reason.endswith("; it was waited for 2min, as start_deadline says")

    play(story, chain)
