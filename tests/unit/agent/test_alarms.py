"""What agents make of the ledger, and who of them tells it (agent.alarms), on a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, View
from hostagent.agent.cluster import Cluster
from hostagent.agent.hung import Hung, Mark
from hostagent.agent.offload import Offloaded
from hostagent.agent.tell.alarms import Alarms
from hostagent.agent.tell.live_runs import AFTER_S, LiveRuns
from hostagent.agent.tell.misses import Misses
from hostagent.agent.world import World
from hostagent.host import paths
from hostagent.model import (
    Alarm,
    End,
    Form,
    Job,
    Kind,
    Lane,
    Manifest,
    Notify,
    Outcome,
    Run,
    Schedule,
    Unit,
)
from hostagent.policy import skew
from hostagent.policy.alarms import HOLD, WAITS
from hostagent.policy.backlog import Waiting, Wake
from hostagent.policy.diagnosis import CHANCE
from hostagent.policy.place import watcher
from hostagent.store.open import open_store
from hostagent.store.port import (
    Claimed,
    Finish,
    Presence,
    Profile,
    Registration,
    Session,
    Settlement,
    Store,
    Want,
)
from hostagent.systemd.beside import Done

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
HOURLY = Schedule(Form.EVERY, "1h", every=HOUR, anchor=T0)
JOB = Job("a", ("/bin/true",), HOURLY, timedelta(minutes=10), on_failure=("ops",))
NOTIFY = (Notify("ops", command=("/bin/true",)),)


class Host:
    """One host's alarms on a store of all; its deliveries are kept, and end as it is told."""

    def __init__(self, name: str, url: str, job: Job = JOB) -> None:
        self.name, self.now = name, T0
        self.heard: list[str] = []
        self.said: list[str] = []
        self.answer = Done(0, "")
        self.hangs: dict[str, asyncio.Event] = {}
        self.store: Store = open_store(url)
        self.offloaded = Offloaded(self.store, name)
        self.cluster = Cluster(name)
        units = (Unit("a", "", "hostagent-a.service", "hostagent-a.timer"),)
        self.manifest = Manifest(1, T0, 252, name, (job,), notify=NOTIFY, units=units)
        self.read()
        self._tasks: list[asyncio.Task[None]] = []
        fake = SimpleNamespace(
            host=name,
            own=self.offloaded,
            shared=None,
            clock=SimpleNamespace(now=lambda: self.now, boottime_s=self._boottime_s),
            wake=Wake(float("-inf")),
            keep_wake=lambda _: None,
            cluster=self.cluster,
            record=lambda text, _: self.said.append(text),
            beside=self._deliver,
            misses=Misses(),
            paths=paths.system(),
        )
        world = cast("World", fake)
        self.backlog = Backlog(world)
        self.hung = Hung(world, lambda: self.book, lambda: None)
        self.alarms = Alarms(world, lambda: self.book, self._spawn, self.hung, self.backlog)

    def _boottime_s(self) -> float:
        return (self.now - T0).total_seconds()

    def read(self) -> None:
        """Know where all stand."""
        view = View(self.store.cursors())
        self.book = Book(self.manifest, self.name, View(), view, is_shared=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _deliver(self, command: Sequence[str], told: bytes, **_: object) -> Done:
        asked = json.loads(told)
        if ends := self.hangs.get(asked["notify"]["name"]):
            await ends.wait()
        self.heard.append(asked["message"]["alarm"])
        return self.answer

    async def look(self, at: datetime, *, tells: bool = True) -> timedelta:
        """One look at everything, and whatever follows from it; how long until the next."""
        self.alarms.look_at_all()
        return await self.wake(at, tells=tells)

    async def wake(self, at: datetime, *, tells: bool = True) -> timedelta:
        """What its timer, or an end that it was told of, makes it look at."""
        self.now = at
        pause = await self.alarms._pass()
        if not tells:
            for task in self._tasks:
                task.cancel()
        while self._tasks:
            with suppress(asyncio.CancelledError):
                await self._tasks.pop()
            pause = await self.alarms._pass()
        return pause

    def close(self) -> None:
        self.offloaded.close()
        self.store.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a store in which the job is registered."""
    url = f"sqlite://{tmp_path}/state.db"
    with closing(open_store(url)) as store:
        store.register([Registration.of(JOB, "one")], [], T0)
    return url


@pytest.fixture
def hosts(url: str) -> Iterator[Callable[..., list[Host]]]:
    """Makes hosts that know of each other."""
    made: list[Host] = []

    def make(*names: str, job: Job = JOB) -> list[Host]:
        made.extend(Host(name, url, job) for name in names)
        for host in made:
            others = [one.name for one in made if one is not host]
            host.cluster.others = tuple(map(presence, others))
        return made

    yield make
    for host in made:
        host.close()


def presence(name: str, *, has_expired: bool = False) -> Presence:
    """Another host's session; none has deployed anything of another text."""
    spec = "4f53cda18c2baa0c"
    return Presence(Session(name, name, "b"), Profile("1", spec), 1, HOUR, True, has_expired, 0)


def began(host: Host, hour: int, kind: Kind = Kind.SCHEDULED) -> Run:
    """The job's run of that hour has begun, in time, and its host knows."""
    at = T0 + hour * HOUR
    session = host.store.open_session(host.name, "boot")
    want = Want("a", "", HOURLY.hash, kind, at, "due", at, invocation_id=f"i{hour}")
    (answer,) = host.store.claim(session, [want])
    assert isinstance(answer, Claimed), answer
    host.read()
    return answer.run


def ended(host: Host, run: Run, outcome: Outcome, took: timedelta = MINUTE) -> Run:
    """And has ended so; the row."""
    ended_at = run.scheduled_for + took
    end = End(outcome, "exited with status 1", ended_at=ended_at)
    host.store.finish([Finish("a", "", run.token, end)])
    host.read()
    return host.store.run(run.run_id)[-1]


def ran(
    host: Host,
    hour: int,
    outcome: Outcome,
    kind: Kind = Kind.SCHEDULED,
    took: timedelta = MINUTE,
) -> Run:
    """The job's run of that hour has ended so, a minute later."""
    return ended(host, began(host, hour, kind), outcome, took)


def heard(some: Sequence[Host]) -> list[str]:
    """What all of them told."""
    return sorted(text for host in some for text in host.heard)


def test_what_three_hosts_see_one_tells(hosts: Callable[..., list[Host]]) -> None:
    """Each looks at the same ledger, at once or later, and again; then it recovers."""

    async def story() -> None:
        three = hosts("one", "two", "three")
        ran(three[0], 1, Outcome.FAILED)
        for minute in (2, 3):
            at = T0 + HOUR + timedelta(minutes=minute)
            await asyncio.gather(*(host.look(at) for host in three))
        assert heard(three) == ["failed"]
        ran(three[1], 2, Outcome.SUCCEEDED)
        await asyncio.gather(*(host.look(T0 + 2.1 * HOUR) for host in three))
        assert heard(three) == ["failed", "recovered"]
        assert three[0].store.alarms() == []

    asyncio.run(story())


def test_an_agent_wakes_at_the_instant_of_silence(hosts: Callable[..., list[Host]]) -> None:
    """No tick: it sleeps until then, or an hour at most."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.SUCCEEDED)
        silent_at = T0 + 2 * HOUR + timedelta(minutes=10)
        assert await host.look(T0 + 1.5 * HOUR) == silent_at - (T0 + 1.5 * HOUR)
        assert await host.look(silent_at) == HOUR
        assert host.heard == ["silent"]
        assert "a is silent: no success since" in host.said[0]

    asyncio.run(story())


def test_what_the_agents_absence_explains_is_silent_a_little_later(
    hosts: Callable[..., list[Host]],
) -> None:
    """It is back 10 min after the job would have been silent; once it has settled, no more so."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.SUCCEEDED)
        back = T0 + 2 * HOUR + 20 * MINUTE
        host.now = back
        host.backlog.woke("no agent was up")
        assert await host.look(back) == CHANCE
        assert host.heard == []
        host.backlog.end_settling()
        await host.look(back)
        assert host.heard == ["silent"]

    asyncio.run(story())


def test_the_turn_of_a_lost_host_is_anothers(hosts: Callable[..., list[Host]]) -> None:
    """One of them looks after silence; when it is lost, another does."""

    async def story() -> None:
        three = hosts("one", "two", "three")
        before = T0 + HOUR
        pauses = [await host.look(before) for host in three]
        (first,) = [h for h, pause in zip(three, pauses, strict=True) if pause < HOUR]
        left = [host for host in three if host is not first]
        for host in left:
            names = [one.name for one in three if one is not host]
            host.cluster.others = tuple(presence(n, has_expired=n == first.name) for n in names)
            host.alarms.look_at_hosts()
        assert min([await host.look(before) for host in left]) < HOUR
        for host in left:
            await host.look(T0 + 2 * HOUR)
        assert sorted(left[0].heard + left[1].heard) == ["silent"]

    asyncio.run(story())


def test_whose_teller_is_lost_is_told_by_another(hosts: Callable[..., list[Host]]) -> None:
    """After the time that a teller has; at most one message too many, never one too few."""

    async def story() -> None:
        one, two = hosts("one", "two")
        ran(one, 1, Outcome.FAILED)
        begun = T0 + 1.1 * HOUR
        await one.look(begun, tells=False)
        assert await two.look(begun) <= HOLD
        assert (one.heard, two.heard) == ([], [])
        await two.look(begun + HOLD)
        assert two.heard == ["failed"]
        (alarm,) = two.store.alarms()
        assert (alarm.told, alarm.untold, alarm.due_at) == (("ops",), (), None)

    asyncio.run(story())


def test_who_does_not_take_it_is_tried_again_and_given_up(
    hosts: Callable[..., list[Host]], caplog: pytest.LogCaptureFixture
) -> None:
    """The journal says so each time; the alarm stands, and its recovery is not told."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.FAILED)
        host.answer = Done(1, "no paper")
        now = T0 + 1.1 * HOUR
        assert await host.look(now) == WAITS[0]
        for wait in WAITS:
            now += wait
            await host.look(now)
        assert host.heard == ["failed"] * (1 + len(WAITS))
        assert "ops was not told that a fails: a.20260302T010000Z on one" in host.said[1]
        assert "(no paper)" in host.said[1]
        assert "on one exited with status 1: given up to tell ops" in caplog.text
        ran(host, 3, Outcome.SUCCEEDED)
        await host.look(now + HOUR)
        assert host.heard[-1] == "failed"
        assert host.store.alarms() == []
        assert "has recovered" in host.said[-1]

    asyncio.run(story())


def test_a_pause_excuses_and_a_removed_job_is_forgotten(
    hosts: Callable[..., list[Host]],
) -> None:
    """What was skipped by a person's order is not waited for; of what is no longer due, nothing."""

    async def story() -> None:
        (host,) = hosts("one")
        last = T0 + 5 * HOUR
        reason = "paused: by uid 0: moving"
        host.store.settle(
            [
                Settlement(
                    "a", "", HOURLY.hash, T0 + HOUR, last, 5, Outcome.SKIPPED, reason, "one", last
                )
            ]
        )
        await host.look(last + timedelta(minutes=30))
        assert host.heard == []
        await host.look(last + 2 * HOUR)
        assert host.heard == ["silent"]
        host.store.register([], [], last + 2 * HOUR)
        await host.look(last + 3 * HOUR)
        assert host.heard == ["silent"]
        assert host.store.alarms() == []

    asyncio.run(story())


def test_out_for_others_by_what_they_recorded(hosts: Callable[..., list[Host]]) -> None:
    """A host's own jobs are out in its own ledger; others see what it copied."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.FAILED)
        due = T0 + 2 * HOUR
        host.store.settle(
            [Settlement("a", "", HOURLY.hash, due, due, 1, Outcome.QUARANTINED, "out", "one", due)]
        )
        await host.look(due)
        assert host.heard == ["quarantined"]

    asyncio.run(story())


def test_rows_are_runs(hosts: Callable[..., list[Host]]) -> None:
    """A manual success ends what scheduled failures began."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.FAILED)
        await host.look(T0 + 1.1 * HOUR)
        host.alarms.ended(ran(host, 1, Outcome.SUCCEEDED, Kind.MANUAL))
        await host.alarms._pass()
        assert host.store.alarms()[0].over_at is not None

    asyncio.run(story())


def test_who_watches_goes_on_after_a_recovery_elsewhere(hosts: Callable[..., list[Host]]) -> None:
    """The success was another host's to tell; the next silence is seen all the same."""

    async def story() -> None:
        two = hosts("one", "two")
        ran(two[0], 1, Outcome.FAILED)
        at = T0 + 1.1 * HOUR
        for host in two:
            await host.look(at)
        assert heard(two) == ["failed"]
        watches = watcher("a", "", ["one", "two"])
        (first,) = [host for host in two if host.name == watches]
        (other,) = [host for host in two if host is not first]
        other.alarms.ended(ran(other, 2, Outcome.SUCCEEDED))
        other.now = T0 + 2.1 * HOUR
        await other.wake(other.now)
        assert heard(two) == ["failed", "recovered"]
        looked_at = at
        while heard(two) == ["failed", "recovered"]:
            looked_at, at = at, at + await first.wake(at)
        assert first.heard[-1] == "silent"
        assert looked_at == T0 + 3 * HOUR + timedelta(minutes=10)

    asyncio.run(story())


def test_the_store_carries_no_commands(hosts: Callable[..., list[Host]]) -> None:
    """Who is to be told is looked up in what is deployed here, whatever the store names."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.FAILED)
        planted = Alarm("a", "", "failed", T0, "x", untold=("/bin/evil --now",), due_at=T0)
        assert host.store.change_alarm(None, planted)
        await host.look(T0 + 1.1 * HOUR)
        assert host.heard == []
        assert host.store.alarms()[0].untold == ()

    asyncio.run(story())


def test_one_who_hangs_keeps_nobody_else_waiting(url: str) -> None:
    """Others hear of it, and that it is over, while the first delivery still goes on."""

    async def story() -> None:
        job = replace(JOB, on_failure=("stuck", "ops"))
        host, ends = Host("one", url, job), asyncio.Event()
        stuck = Notify("stuck", command=("/bin/sleep", "600"))
        host.manifest = replace(host.manifest, notify=(*NOTIFY, stuck))
        host.hangs = {"stuck": ends}
        ran(host, 1, Outcome.FAILED)
        host.now = T0 + 1.1 * HOUR
        await host.alarms._pass()
        await until(lambda: host.heard == ["failed"])
        host.alarms.ended(ran(host, 2, Outcome.SUCCEEDED))
        await host.alarms._pass()
        await until(lambda: host.heard == ["failed", "recovered"])
        ends.set()
        await host.wake(host.now)
        assert host.heard == ["failed", "recovered", "failed", "recovered"]
        assert host.store.alarms() == []
        host.close()

    asyncio.run(story())


def test_quiet_hours_hold_back_what_is_told(hosts: Callable[..., list[Host]]) -> None:
    """In the ledger, for whoever is alive when they end; what is over by then is never told."""

    async def story() -> None:
        one, two = hosts("one", "two")
        quiet = (replace(NOTIFY[0], quiet=("00:00..03:00",)),)
        for host in (one, two):
            host.manifest = replace(host.manifest, notify=quiet)
            host.read()
        run = ran(one, 1, Outcome.FAILED)
        begins, ends = T0 + 1.1 * HOUR, T0 + 3 * HOUR
        assert await one.look(begins) == HOUR
        assert (one.heard, one.store.alarms()[0].due_at) == ([], ends)
        await two.look(ends - MINUTE)
        assert heard([one, two]) == []
        await two.look(ends)
        assert heard([one, two]) == ["failed"]
        for host in (one, two):
            host.manifest = replace(
                host.manifest, notify=(replace(NOTIFY[0], quiet=("03:00..05:00",)),)
            )
            host.read()
        ran(one, 4, Outcome.SUCCEEDED)
        await one.look(T0 + 4.1 * HOUR)
        await two.look(T0 + 4.2 * HOUR)
        assert heard([one, two]) == ["failed"]
        assert run.run_id in one.said[0]
        await two.look(T0 + 5 * HOUR)
        assert heard([one, two]) == ["failed", "recovered"]

    asyncio.run(story())


# Hosts


def of_hosts(some: Sequence[Host]) -> None:
    """There is somebody who is told of them."""
    for host in some:
        host.manifest = replace(host.manifest, notify=(replace(NOTIFY[0], of_hosts=True),))
        host.read()


def test_a_host_tells_of_itself_once(hosts: Callable[..., list[Host]]) -> None:
    """At the beat that finds it; others leave its alarm alone, and it is over when it is so."""

    async def story() -> None:
        one, two = hosts("one", "two")
        of_hosts([one, two])
        at = T0 + MINUTE
        for host in (one, two):
            await host.look(at)
        one.cluster.skew = skew.decide(timedelta(seconds=-3), timedelta(0))
        for _ in range(3):
            for host in (one, two):
                host.alarms.look_at_hosts()
                await host.wake(at)
        assert heard([one, two]) == ["skew"]
        assert one.said[0].startswith("host one has a wrong clock: this host's clock is 3s ahead")
        await two.look(at)
        (alarm,) = two.store.alarms()
        assert (alarm.job, alarm.scope, alarm.told) == ("", "one", ("ops",))
        one.cluster.skew = skew.decide(timedelta(0), timedelta(0))
        one.alarms.look_at_hosts()
        await one.wake(at + MINUTE)
        assert heard([one, two]) == ["recovered", "skew"]
        assert one.said[-1].endswith("has recovered (skew for 1min): its clock is near the store's")

    asyncio.run(story())


def test_a_clock_that_is_hours_ahead_makes_nothing_silent(hosts: Callable[..., list[Host]]) -> None:
    """Neither that of the store nor the host's own: the one that is behind counts."""

    async def story() -> None:
        (host,) = hosts("one")
        ran(host, 1, Outcome.SUCCEEDED)
        silent_at = T0 + 2 * HOUR + timedelta(minutes=10)
        host.cluster.offset = skew.measured(T0, timedelta(0), T0 + 5 * HOUR)
        await host.look(silent_at - MINUTE)
        host.cluster.offset = skew.measured(T0, timedelta(0), T0 - 5 * HOUR)
        await host.look(silent_at + HOUR)
        assert host.heard == []
        host.cluster.offset = skew.measured(T0, timedelta(0), T0)
        await host.look(silent_at)
        assert host.heard == ["silent"]

    asyncio.run(story())


def test_the_alarm_of_a_host_that_is_gone_goes(hosts: Callable[..., list[Host]]) -> None:
    """Its jobs fall silent; nobody mends its clock."""

    async def story() -> None:
        one, two = hosts("one", "two")
        one.cluster.skew = skew.decide(timedelta(seconds=-3), timedelta(0))
        await one.look(T0)
        await two.look(T0)
        assert [alarm.scope for alarm in two.store.alarms()] == ["one"]
        two.cluster.others = (presence("one", has_expired=True),)
        await two.look(T0)
        assert two.store.alarms() == []
        assert "the host is gone" in two.said[-1]

    asyncio.run(story())


def test_the_odd_jobs_toml_is_told_after_a_while(hosts: Callable[..., list[Host]]) -> None:
    """Seen at each beat, from the profiles of the live hosts."""

    async def story() -> None:
        (one,) = hosts("one")
        of_hosts([one])
        others = [presence("two"), presence("three")]
        other = replace(others[0].profile, spec="another")
        one.cluster.others = tuple(replace(each, profile=other) for each in others)
        for minutes in (0, 14, 15, 16):
            one.now = T0 + minutes * MINUTE
            one.alarms.look_at_hosts()
            await one.wake(one.now)
            assert one.heard == ["mixed_specs"] * (minutes >= 15)

    asyncio.run(story())


def test_a_backlog_is_told_with_its_size(hosts: Callable[..., list[Host]]) -> None:
    """What waits fresh for a place of its pool is none."""

    async def story() -> None:
        (one,) = hosts("one")
        of_hosts([one])
        await one.look(T0)
        some = Waiting("a", Lane.NORMAL, None, 1, T0 + HOUR, 0.0)
        fresh = {("b", str(number)): replace(some, is_fresh=True) for number in range(200)}
        one.backlog.held = {**fresh, ("a", ""): some}
        for at in (T0 + HOUR, T0 + 1.01 * HOUR, T0 + 1.02 * HOUR):
            one.now = at
            one.alarms.look_at_host()
            await one.wake(at)
        assert one.heard == ["backlog"]
        assert "host one holds a backlog: a missed run waits, for 1h" in one.said[0]
        one.backlog.held = fresh
        one.alarms.look_at_host()
        await one.wake(one.now)
        assert one.heard == ["backlog", "recovered"]

    asyncio.run(story())


def test_drift_is_told_by_its_host_until_it_is_mended(hosts: Callable[..., list[Host]]) -> None:
    """An agent that begins anew has to look first: until then what was told stands."""

    async def story() -> None:
        (one,) = hosts("one")
        of_hosts([one])
        await one.look(T0)
        for found in ("hostagent-a.service is edited", "hostagent-a.service is edited", None):
            one.alarms.drift.found = found
            one.alarms.look_at_host()
            await one.wake(T0 + MINUTE)
        await one.look(T0 + 2 * MINUTE)
        assert one.heard == ["drift"]
        reason = "hostagent-a.service is edited; see: hostagent drift"
        assert one.said[0] == f"host one is not as applied: {reason}"
        one.alarms.drift.found = ""
        one.alarms.look_at_host()
        await one.wake(T0 + 3 * MINUTE)
        assert one.heard == ["drift", "recovered"]

    asyncio.run(story())


def test_what_an_agent_before_it_told_of_drift_is_looked_at_soon(
    hosts: Callable[..., list[Host]],
) -> None:
    """The units may be mended meanwhile; who has looked, or has nothing to doubt, does not."""

    async def story() -> None:
        before, after = hosts("one", "one")
        of_hosts([before, after])
        await after.look(T0)
        assert not after.alarms.drift.is_hinted
        await before.look(T0)
        before.alarms.drift.found = "hostagent-a.service is edited"
        before.alarms.look_at_host()
        await before.wake(T0 + MINUTE)
        await before.look(T0 + MINUTE)
        assert not before.alarms.drift.is_hinted
        await after.look(T0 + MINUTE)
        assert after.alarms.drift.is_hinted

    asyncio.run(story())


# Warnings


def test_runs_that_come_near_their_interval_are_told_at_an_end(
    hosts: Callable[..., list[Host]],
) -> None:
    """Five of 48 minutes: whoever saw the last one end looks, and tells; a usual end costs none."""

    async def story() -> None:
        (host,) = hosts("one")
        await host.look(T0)
        for hour in range(1, 6):
            assert host.heard == []
            host.alarms.ended(ran(host, hour, Outcome.SUCCEEDED, took=48 * MINUTE))
            await host.wake(T0 + (hour + 0.9) * HOUR)
        assert host.heard == ["near_interval"]
        assert "a comes near its interval: 95 % of its last 5 successes" in host.said[0]

    asyncio.run(story())


def test_what_ends_as_usual_is_not_looked_after(hosts: Callable[..., list[Host]]) -> None:
    """Once it is known what is usual, an end of which nothing is to be told reads no runs."""

    async def story() -> None:
        (host,) = hosts("one")
        for hour in range(1, 13):
            run = ran(host, hour, Outcome.SUCCEEDED, took=timedelta(seconds=2))
            host.alarms.ended(run)
            await host.wake(T0 + (hour + 0.1) * HOUR)
        calls = host.offloaded.calls
        host.alarms.ended(run)
        await host.wake(host.now)
        assert host.offloaded.calls == calls + 1  # whether an alarm stands
        assert host.heard == []

    asyncio.run(story())


def test_a_run_that_overruns_is_told_while_it_goes_on(hosts: Callable[..., list[Host]]) -> None:
    """By the host that runs it, at that instant; the other leaves it alone, and its end ends it."""

    async def story() -> None:
        one, two = hosts("one", "two")
        for hour in range(1, 12):
            ran(one, hour, Outcome.SUCCEEDED, took=2 * MINUTE)
        at = T0 + 12 * HOUR
        run = began(one, 12)
        two.read()
        one.alarms.look(("a", ""))
        assert await one.wake(at + MINUTE) <= 5 * MINUTE  # 3 times what is usual
        assert await one.wake(at + 6 * MINUTE - timedelta(seconds=1)) == timedelta(seconds=1)
        await one.wake(at + 6 * MINUTE)
        assert "a overran: a.20260302T120000Z on one goes on for more than 6min" in one.said[0]
        await two.look(at + 7 * MINUTE)
        assert heard([one, two]) == ["overran"]
        one.alarms.ended(ended(one, run, Outcome.SUCCEEDED, took=8 * MINUTE))
        await one.wake(at + 8 * MINUTE)
        assert heard([one, two]) == ["overran"]
        one.alarms.ended(ran(one, 13, Outcome.SUCCEEDED, took=2 * MINUTE))
        await one.wake(at + 1.1 * HOUR)
        assert heard([one, two]) == ["overran", "recovered"]

    asyncio.run(story())


def test_a_run_is_looked_at_once_when_it_goes_on_for_long(
    hosts: Callable[..., list[Host]],
) -> None:
    """The timer is armed by a start, dropped with the last end, and not armed twice for one run."""

    async def story() -> None:
        (host,) = hosts("one")
        loop, asked = asyncio.get_running_loop(), list[tuple[str, str]]()
        going = LiveRuns(lambda: host.book, host.hung, asked.append)
        run = began(host, 1)
        (entry,) = host.book
        going.watch(entry)
        assert going._timer is not None
        assert AFTER_S - 5 < going._timer.when() - loop.time() <= AFTER_S
        going._timer.cancel()
        going._due()
        assert asked == [("a", "")]
        going.watch(entry)
        assert going._timer is None
        ended(host, run, Outcome.SUCCEEDED)
        began(host, 2)
        (entry,) = host.book
        going.watch(entry)
        assert going._timer is not None
        entry.active = None
        going.rest()
        assert going._timer is None

    asyncio.run(story())


def test_a_run_that_may_hang_is_told_by_its_host_alone(hosts: Callable[..., list[Host]]) -> None:
    """What it shows as hung? is an alarm while it does; a restarted agent looks first."""

    async def story() -> None:
        one, two = hosts("one", "two")
        began(one, 1)
        two.read()
        one.hung._marks["i1"] = Mark("a.20260302T010000Z", T0, "has used no CPU time for 5min")
        one.alarms.look(("a", ""))
        await one.wake(T0 + 1.1 * HOUR)
        assert "a may hang: a.20260302T010000Z on one has used no CPU time" in one.said[0]
        await two.look(T0 + 1.1 * HOUR)
        one.hung._marks.clear()
        await one.look(T0 + 1.1 * HOUR)
        assert heard([one, two]) == ["hung"]
        one.hung._movers.add("i1")
        one.alarms.look(("a", ""), is_plain=True)
        await one.wake(T0 + 1.15 * HOUR)
        assert heard([one, two]) == ["hung", "recovered"]
        assert "a.20260302T010000Z moves on" in one.said[-1]

    asyncio.run(story())


async def until(what: Callable[[], bool]) -> None:
    """Let others work until it is so."""
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110 -- it is about many things
            await asyncio.sleep(0)
