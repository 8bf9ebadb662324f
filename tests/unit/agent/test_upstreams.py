"""What the agent reads of the jobs that others come after (agent.upstreams), on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hostagent.agent.book import Book, View
from hostagent.agent.offload import Offloaded
from hostagent.agent.upstreams import LOOKED_AT, Upstreams, read
from hostagent.agent.world import World
from hostagent.errors import StoreUnavailable
from hostagent.model import End, Form, Job, Kind, Manifest, Missed, Outcome, Schedule, Unit
from hostagent.policy.due import Owed
from hostagent.policy.upstream import UNASKED, Free, Lacks, Period
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Finish, Registration, Settlement, Store, Want

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
HOURLY = Schedule(Form.EVERY, "1h", every=HOUR, anchor=T0)
OFTEN = replace(HOURLY, text="30min", every=HOUR / 2)
DUMP = Job("dump", ("/bin/true",), HOURLY, HOUR, catch_up_window=DAY)
CHECK = replace(DUMP, name="check", schedule=OFTEN, after=("dump",))


class Host:
    """A store, and what the agent reads of it."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.store.register([Registration.of(job, "one") for job in (DUMP, CHECK)], [], T0)
        self.session = self.store.open_session("one", "boot")
        self.offloaded = Offloaded(self.store, "ledger")

    def close(self) -> None:
        self.offloaded.close()
        self.store.close()

    def run(
        self,
        at: datetime,
        outcome: Outcome | None = Outcome.SUCCEEDED,
        kind: Kind = Kind.SCHEDULED,
        covers: int = 1,
        retry_at: datetime | None = None,
    ) -> None:
        """A run of dump that ended so, a minute later."""
        first = at - (covers - 1) * HOUR if covers > 1 else None
        want = Want("dump", "", HOURLY.hash, kind, at, "due", at, covers_from=first, covers=covers)
        (claim,) = self.store.claim(self.session, [want])
        assert isinstance(claim, Claimed)
        self.store.attach("dump", "", claim.run.token, "i" * 32, at)
        if outcome is not None:
            end = End(outcome, "exited with status 1", ended_at=at + MINUTE)
            self.store.finish([Finish("dump", "", claim.run.token, end, retry_at)])

    def judged(
        self, *owed: Owed, now: datetime, job: Job = CHECK, store: Store | None = None
    ) -> list[Owed]:
        """What the agent makes of what ``job`` owes; ``store`` is another's, that is away."""
        unit = Unit("check", "", "hostagent-check.service", None)
        manifest = Manifest(1, T0, 252, "one", (DUMP, job), units=(unit,))
        book = Book(manifest, "one", View())
        ledger = Offloaded(store, "away") if store else self.offloaded
        parts = SimpleNamespace(host="one", ledger=lambda **_: ledger)
        upstreams = Upstreams(cast("World", parts), book)
        (entry,) = book
        return list(asyncio.run(upstreams.judged(entry, owed, now)))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """One with its own ledger."""
    with closing(Host(f"sqlite://{tmp_path}/state.db")) as one:
        yield one


def times(*hours: float) -> tuple[datetime, ...]:
    """T0 and so many hours, each."""
    return tuple(T0 + hour * HOUR for hour in hours)


def test_a_success_of_the_period_is_found(host: Host) -> None:
    """Of the occurrence that opens it, and no other."""
    host.run(T0 + HOUR)
    early, free, late = host.judged(
        Owed(times(0.5)), Owed(times(1, 1.5)), Owed(times(2)), now=T0 + 2 * HOUR
    )
    assert isinstance(late.upstream, Lacks)
    assert late.upstream.state == "has not started"
    assert isinstance(free.upstream, Free)
    assert free.upstream.at == T0 + HOUR + MINUTE
    assert early.upstream is None  # the one that may start stands for it


def test_what_is_owed_is_divided_where_a_period_begins(host: Host) -> None:
    """Each part has the word of its own period."""
    host.run(T0 + HOUR)
    parts = host.judged(Owed(times(1, 1.5, 2, 2.5)), now=T0 + 2.5 * HOUR)
    assert [list(part.times) for part in parts] == [list(times(1, 1.5)), list(times(2, 2.5))]
    assert [type(part.upstream) for part in parts] == [Free, Lacks]


def test_a_run_that_stands_for_the_occurrence_counts(host: Host) -> None:
    """A catch-up run of the upstream, for what it missed before."""
    host.run(T0 + 3 * HOUR, covers=3)
    (part,) = host.judged(Owed(times(1)), now=T0 + 3 * HOUR + 2 * MINUTE)
    assert isinstance(part.upstream, Free)


@pytest.mark.parametrize("kind", [Kind.MANUAL, Kind.BACKFILL])
def test_a_run_that_a_person_asked_for_counts(host: Host, kind: Kind) -> None:
    """Whatever its kind, for an instant of the period; an open one, or a failure, does not."""
    host.run(T0 + HOUR, Outcome.FAILED)
    at = T0 + HOUR + 10 * MINUTE
    (part,) = host.judged(Owed(times(1)), now=at)
    assert isinstance(part.upstream, Lacks)
    assert part.upstream.state == "failed on one: exited with status 1"
    host.run(at, None, kind)
    (part,) = host.judged(Owed(times(1)), now=at + MINUTE)
    assert isinstance(part.upstream, Lacks)
    assert part.upstream.state == "runs on one since 1min"
    (run,) = (one for one in host.store.held(host.session.id))
    done = End(Outcome.SUCCEEDED, "finished", ended_at=at + 2 * MINUTE)
    host.store.finish([Finish("dump", "", run.token, done)])
    (part,) = host.judged(Owed(times(1)), now=at + 2 * MINUTE)
    assert isinstance(part.upstream, Free)


def test_a_retry_that_waits_is_told(host: Host) -> None:
    """It is not over: the sentence says when it goes on."""
    host.run(T0 + HOUR, Outcome.FAILED, retry_at=T0 + 2 * HOUR)
    (part,) = host.judged(Owed(times(1.5)), now=T0 + 1.5 * HOUR)
    assert isinstance(part.upstream, Lacks)
    assert part.upstream.state.endswith("and is tried again at 2026-03-02 02:00:00Z")


def test_a_settled_occurrence_is_told(host: Host) -> None:
    """It was skipped, and nothing comes of it by itself."""
    at = T0 + HOUR
    skipped = Settlement(
        *("dump", "", HOURLY.hash, at, at, 1, Outcome.SKIPPED, "paused: by me", "one", at)
    )
    host.store.settle([skipped])
    (part,) = host.judged(Owed(times(1)), now=at)
    assert isinstance(part.upstream, Lacks)
    assert part.upstream.state == "was skipped: paused: by me"


def test_all_asks_for_the_oldest_alone(host: Host) -> None:
    """missed = "all": the others are asked for when their turn has come."""
    host.run(T0 + HOUR)
    job = replace(CHECK, missed=Missed.ALL)
    parts = host.judged(Owed(times(1, 1.5, 2, 2.5)), now=T0 + 2.5 * HOUR, job=job)
    assert [list(part.times) for part in parts] == [list(times(1, 1.5)), list(times(2, 2.5))]
    assert isinstance(parts[0].upstream, Free)
    assert parts[1].upstream is UNASKED


def test_what_is_too_late_has_one_sentence(host: Host) -> None:
    """However many they are; the newest of them is asked for."""
    job = replace(CHECK, start_deadline=HOUR)
    host.run(T0 + HOUR)
    late, free, lacks = host.judged(Owed(times(0, 0.5, 1, 1.5, 2)), now=T0 + 2.25 * HOUR, job=job)
    assert list(late.times) == list(times(0, 0.5, 1))
    assert isinstance(late.upstream, Free)
    assert (type(free.upstream), type(lacks.upstream)) == (Free, Lacks)


def test_so_many_periods_are_looked_at(host: Host) -> None:
    """What is older waits with the last of them: reads are bounded."""
    host.run(T0 + HOUR)
    owed = Owed(times(*range(1, LOOKED_AT + 5)))
    parts = host.judged(owed, now=T0 + (LOOKED_AT + 4) * HOUR)
    assert sum(len(part.times) for part in parts) == LOOKED_AT + 4
    assert len(parts) == LOOKED_AT + 1
    assert {type(part.upstream) for part in parts} == {Lacks}
    assert parts[0].upstream is parts[1].upstream


def test_a_store_that_is_away_knows_nothing(host: Host) -> None:
    """It waits, and says for what; nothing is taken for a success."""

    class Away:
        def runs(self, *_: object) -> None:
            raise StoreUnavailable("away")

    (part,) = host.judged(Owed(times(1)), now=T0 + HOUR, store=cast("Store", Away()))
    assert isinstance(part.upstream, Lacks)
    assert "is not reached" in part.upstream.reason


def test_before_its_first_occurrence_nothing_succeeded(host: Host) -> None:
    """Whatever the ledger holds: there is no period."""
    host.run(T0 + HOUR)
    assert read(host.store, "dump", "", Period(None, T0 + 2 * HOUR)).rows == ()
