"""In which order runs are told of, and what is given up (agent.news)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from hostagent.agent.book import Entry
from hostagent.agent.tell.misses import Misses
from hostagent.agent.tell.news import AT_ONCE, MOST, News
from hostagent.host import paths
from hostagent.model import Form, Job, Kind, Manifest, Notify, Run, Schedule, Unit
from hostagent.policy.outcome import Ended, end_of
from hostagent.systemd.beside import Done

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
URL = "https://hc.example/secret"
JOB = Job("a", ("/bin/true",), Schedule(Form.EVERY, "1h"), timedelta(minutes=10), ping_url=URL)
OK = replace(end_of(Ended("success")), ended_at=AT)
NOON = AT.replace(hour=12)
OPS = Notify("ops", command=("/bin/true",))
ASLEEP = replace(OPS, name="asleep", quiet=("11:00..13:00",))
MANIFEST = Manifest(1, AT, 252, "web1", (JOB,), notify=(OPS, ASLEEP))
TOLD = replace(JOB, ping_url=None, on_success=("ops", "asleep"))


class Host:
    """News whose programs wait until they may go on."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.said: list[str] = []
        self.may_go = asyncio.Event()
        self.going = self.most = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.answer = Done(0, "")
        fake = SimpleNamespace(
            paths=paths.system(),
            beside=self._beside,
            record=lambda text, _: self.said.append(text),
            clock=SimpleNamespace(now=lambda: NOON),
            misses=Misses(),
        )
        self.news = News(cast("Any", fake), lambda: MANIFEST, self._spawn)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def _beside(
        self, command: Sequence[str], told: bytes, *, unit: str, user: bool, does: str
    ) -> Done:
        assert URL not in " ".join((*command, unit, does))
        self.going += 1
        self.most = max(self.most, self.going)
        await self.may_go.wait()
        self.going -= 1
        asked = json.loads(told)
        if "notify" in asked:
            self.sent.append(f"{asked['notify']['name']}: {asked['message']['text']}")
            return self.answer
        assert asked["url"] == URL
        self.sent.append(f"{asked['ping']['text'].split()[0]}{asked['ping']['signal']}")
        return self.answer

    async def settle(self) -> None:
        """Let all go on until nothing waits."""
        self.may_go.set()
        while self.tasks:
            await self.tasks.pop()


def entry(job: Job = JOB, scope: str = "") -> Entry:
    """Of a job."""
    return Entry(job, Unit(job.name, scope, "hostagent-a.service", None), "")


def run(number: int = 0, scope: str = "") -> Run:
    """One of its runs."""
    return Run("a", scope, Kind.SCHEDULED, AT + timedelta(hours=number), 1, number, "web1", "due")


def test_pings_of_a_job_go_out_in_order() -> None:
    """Its start before its end, however soon that is; none is asked for twice."""

    async def story() -> list[str]:
        host = Host()
        for number in range(2):
            host.news.began(entry(), run(number))
            host.news.ended(entry(), run(number), OK, None)
        await asyncio.sleep(0)
        await host.settle()
        assert host.most == 1
        host.news.began(entry(), run(2))
        await host.settle()
        return host.sent

    names = [run(number).run_id for number in range(3)]
    expected = [f"{names[0]}/start", names[0], f"{names[1]}/start", names[1], f"{names[2]}/start"]
    assert asyncio.run(story()) == expected


def test_what_waits_is_bounded_and_what_is_given_up_is_said() -> None:
    """A service that hangs costs a job its oldest pings, and the agent no memory."""

    async def story() -> Host:
        host = Host()
        for number in range(20):
            host.news.began(entry(), run(number))
        await asyncio.sleep(0)
        await host.settle()
        return host

    host = asyncio.run(story())
    assert len(host.sent) <= MOST + 1
    assert len(host.sent) + len(host.said) == 20
    assert host.sent[-1] == f"{run(19).run_id}/start"
    assert host.said[0].endswith(f"starts on web1: due ({MOST} more wait)")
    assert "secret" not in "".join(host.said)


def test_few_are_told_at_the_same_time() -> None:
    """However many jobs there are."""

    async def story() -> int:
        host = Host()
        for number in range(3 * AT_ONCE):
            host.news.began(entry(scope=str(number)), run(scope=str(number)))
        while host.going < AT_ONCE:  # noqa: ASYNC110 -- it is about many things
            await asyncio.sleep(0)
        await host.settle()
        assert len(host.sent) == 3 * AT_ONCE
        return host.most

    assert asyncio.run(story()) == AT_ONCE


def test_who_does_not_take_it_is_named_in_the_journal() -> None:
    """By job, run and reason; the next one goes out all the same."""

    async def story() -> Host:
        host = Host()
        host.answer = Done(1, "hc.example answered 404 Not Found")
        host.news.began(entry(), run())
        host.news.ended(entry(), run(), OK, None)
        await host.settle()
        return host

    host = asyncio.run(story())
    assert len(host.sent) == 2
    why = "(hc.example answered 404 Not Found)"
    assert host.said == [
        f"ping_url of a was not told: {run().run_id} starts on web1: due {why}",
        f"ping_url of a was not told: {run().run_id} succeeded on web1: finished {why}",
    ]


def test_a_job_without_a_ping_url_costs_nothing() -> None:
    """No task, no program."""

    async def story() -> Host:
        host = Host()
        host.news.began(entry(replace(JOB, ping_url=None)), run())
        host.news.ended(entry(replace(JOB, ping_url=None)), run(), OK, None)
        return host

    assert asyncio.run(story()).tasks == []


def test_each_success_is_told_to_who_has_no_quiet_hours() -> None:
    """However many there are, and nothing else of a run; who does not take it is named."""

    async def story() -> Host:
        host = Host()
        for number in range(3):
            host.news.began(entry(TOLD), run(number))
            host.news.ended(entry(TOLD), run(number), OK, None)
        host.news.ended(entry(TOLD), run(3), end_of(Ended("exit-code", exit_code=1)), None)
        host.news.ended(entry(TOLD), replace(run(4), kind=Kind.MANUAL), OK, None)
        await host.settle()
        host.answer = Done(1, "no paper")
        host.news.ended(entry(TOLD), run(5), OK, None)
        await host.settle()
        return host

    host = asyncio.run(story())
    said = "a succeeded: {} on web1 finished"
    more = "; see: hostagent why a"
    told = [f"ops: {said.format(run(number).run_id)}{more}" for number in (0, 1, 2, 5)]
    assert host.sent == told
    assert host.said == [f"ops was not told that {said.format(run(5).run_id)} (no paper)"]


def test_a_ping_that_hangs_holds_no_message_up() -> None:
    """Each has a line of its own."""

    async def story() -> list[str]:
        host = Host()
        host.news.began(entry(), run())
        host.news.ended(entry(replace(TOLD, ping_url=URL)), run(), OK, None)
        while host.going < 2:  # noqa: ASYNC110 -- it is about many things
            await asyncio.sleep(0)
        await host.settle()
        return host.sent

    assert len(asyncio.run(story())) == 3
