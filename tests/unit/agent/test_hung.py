"""Runs that stand still are marked, told in the journal, and left alone (agent.hung)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostagent.agent.book import Book, Entry
from hostagent.agent.hung import Hung, Mark
from hostagent.agent.messages import HUNG, MOVES_ON
from hostagent.agent.world import World
from hostagent.errors import SystemdError
from hostagent.model import Form, Job, Kind, Run, Schedule, Unit, Usage

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
AFTER = timedelta(minutes=5)
EVERY_S = AFTER.total_seconds() / 4


def entry(name: str = "copy", invocation: str | None = "a1", **keys: Any) -> Entry:
    """A job whose run goes."""
    job = Job(name, ("/bin/true",), Schedule(Form.CALENDAR, "daily"), timedelta(hours=1), **keys)
    one = Entry(job, Unit(name, "", f"hostagent-{name}.service", None), "")
    one.active = Run(name, "", Kind.SCHEDULED, T, 1, 1, "db1", "due", invocation_id=invocation)
    return one


class Surroundings:
    """PID 1, the journal and the clock, as far as they are asked; a quarter later at each look."""

    def __init__(self) -> None:
        self.usage_of: dict[str, Usage] = {}
        self.printed: list[str] = []
        self.asked: list[tuple[str, datetime | None]] = []
        self.records: list[tuple[str, str]] = []
        self.refuses = False
        self.passed_s = 0.0
        self.it = self

    async def call(self, method: Callable[..., Any], *args: Any) -> Any:
        return method(*args)

    def usage(self, unit: str) -> Usage:
        if self.refuses:
            raise SystemdError("no")
        return self.usage_of.get(unit, Usage(1.0, None, 0, 0))

    def tail(self, invocation: str, unit: str, since: datetime | None) -> list[str]:
        assert unit == "hostagent-copy.service"
        self.asked.append((invocation, since))
        return self.printed

    def record(self, text: str, fields: dict[str, str]) -> None:
        self.records.append((fields["MESSAGE_ID"], text))
        assert fields["HOSTAGENT_RUN_ID"] == "copy.20261121T020000Z"

    def monotonic_s(self) -> float:
        return 1000 + self.passed_s

    def now(self) -> datetime:
        return T + timedelta(seconds=self.passed_s)


@pytest.fixture
def around() -> Surroundings:
    """Where nothing was asked yet."""
    return Surroundings()


@pytest.fixture
def entries() -> list[Entry]:
    """The book."""
    return [entry()]


@pytest.fixture
def hung(around: Surroundings, entries: list[Entry]) -> Hung:
    """Of an agent that begins."""
    return made(around, entries, lambda: None)


def made(
    around: Surroundings,
    entries: list[Entry],
    on_due: Callable[[], None],
    after: timedelta = AFTER,
) -> Hung:
    """What is looked at are ``entries``."""
    world = SimpleNamespace(
        systemd=around,
        clock=around,
        record=around.record,
        journal_tail=around.tail,
        hung_after=after,
    )
    return Hung(cast("World", world), lambda: cast("Book", entries), on_due)


def look(hung: Hung, around: Surroundings, times: int = 1) -> list[Mark]:
    """Look so often, a quarter of the time apart."""

    async def look() -> None:
        for _ in range(times):
            await hung.look()
            around.passed_s += EVERY_S
        hung.stop()

    asyncio.run(look())
    return hung.marks()


def uses(around: Surroundings, cpu_s: float) -> None:
    """What PID 1 says from now on."""
    around.usage_of["hostagent-copy.service"] = Usage(cpu_s, None, 0, 0)


def test_a_run_that_stands_still_is_told_once_and_again_when_it_moves(
    hung: Hung, around: Surroundings
) -> None:
    """With since when, and on what evidence; a mark that lasts is no news."""
    assert look(hung, around, 4) == []
    reason = "has used no CPU time and no I/O, and has printed nothing, for 5min"
    assert look(hung, around) == [Mark("copy.20261121T020000Z", T, reason)]
    (longer,) = look(hung, around, 4)
    assert (longer.since, longer.reason) == (T, reason.replace("5min", "10min"))
    uses(around, 1.5)
    assert look(hung, around) == []
    assert around.records == [
        (HUNG, f"copy.20261121T020000Z {reason}: it may hang, or wait for something"),
        (MOVES_ON, "copy.20261121T020000Z moves on, after 11min 15s without a sign"),
    ]
    assert around.asked == []


def test_only_another_sign_is_news(hung: Hung, around: Surroundings, entries: list[Entry]) -> None:
    """That it stands still, and that it moves, for the first time and again: each once."""

    async def turns(*used_s: float) -> list[tuple[bool, bool, bool]]:
        found = []
        for cpu_s in used_s:
            uses(around, cpu_s)
            news = await hung.look()
            around.passed_s += EVERY_S
            mark, moves = hung.sign(entries[0])
            found.append((bool(news), mark is not None, moves))
        hung.stop()
        return found

    still, moved = [1.0] * 5, [2.0, 3.0]
    assert asyncio.run(turns(*still, *moved, *[3.0] * 4)) == [
        *[(False, False, False)] * 4,
        (True, True, False),
        (True, False, True),
        (False, False, True),
        *[(False, False, True)] * 3,
        (True, True, True),
    ]
    entries[0].active = None
    assert hung.sign(entries[0]) == (None, False)


def test_what_prints_a_line_now_and_then_moves(hung: Hung, around: Surroundings) -> None:
    """The journal is asked where the counters are unsure, for the time since the last look."""
    around.printed = ["a line"]
    for looks in range(8):
        uses(around, 1 + looks / 1000)
        assert look(hung, around) == []
    quarter = timedelta(seconds=EVERY_S)
    assert around.asked == [("a1", T + quarter * looks) for looks in range(7)]
    around.printed = []
    for looks in range(8, 12):
        uses(around, 1 + looks / 1000)
        marks = look(hung, around)
    assert [mark.reason for mark in marks] == [
        "has used 4ms of CPU time and no I/O, and has printed nothing, for 5min"
    ]


def test_another_run_of_the_unit_is_another_matter(
    hung: Hung, around: Surroundings, entries: list[Entry]
) -> None:
    """Its counters begin anew, and so does the time; the old mark is gone at once."""
    assert look(hung, around, 5) != []
    entries[:] = [entry(invocation="b2")]
    assert hung.marks() == []
    uses(around, 1.0)
    assert look(hung, around, 4) == []
    assert [kind for kind, _ in around.records] == [HUNG]


def test_the_mark_of_a_run_that_has_ended_is_gone(
    hung: Hung, around: Surroundings, entries: list[Entry]
) -> None:
    """Its outcome is what is told then."""
    assert look(hung, around, 5) != []
    entries[0].active = None
    assert hung.marks() == []
    assert look(hung, around) == []
    assert [kind for kind, _ in around.records] == [HUNG]


def test_what_pid_1_does_not_tell_now_is_asked_the_next_time(
    hung: Hung, around: Surroundings
) -> None:
    """Neither a mark nor an end of one follows from silence."""
    look(hung, around, 3)
    around.refuses = True
    assert look(hung, around, 5) == []
    around.refuses = False
    assert look(hung, around) != []
    around.refuses = True
    assert look(hung, around) != []


@pytest.mark.parametrize(
    "nothing",
    [entry(heartbeat=timedelta(minutes=1)), entry(invocation=None)],
    ids=["a heartbeat", "not started"],
)
def test_what_is_not_looked_at_wakes_nobody(nothing: Entry, around: Surroundings) -> None:
    """PID 1 itself watches a job with a heartbeat."""
    due: list[bool] = []
    hung = made(around, [nothing], lambda: due.append(True), timedelta(0))

    async def wait() -> None:
        hung.watch(nothing)
        await asyncio.sleep(0)  # a timer that is due is run before what comes after it
        await asyncio.sleep(0)

    asyncio.run(wait())
    assert due == []
    assert look(hung, around, 5) == []


def test_it_is_time_to_look_only_while_runs_go(around: Surroundings, entries: list[Entry]) -> None:
    """Also after a look, and not after the last run has ended."""
    due: list[bool] = []
    hung = made(around, entries, lambda: due.append(True), timedelta(0))

    async def turns() -> list[int]:
        counts = []
        hung.watch(entries[0])
        hung.watch(entries[0])
        for _ in range(2):
            await asyncio.sleep(0)
        counts.append(len(due))
        await hung.look()
        for _ in range(2):
            await asyncio.sleep(0)
        counts.append(len(due))
        await hung.look()
        entries[0].active = None
        hung.rest()
        for _ in range(2):
            await asyncio.sleep(0)
        return [*counts, len(due)]

    assert asyncio.run(turns()) == [1, 2, 2]
