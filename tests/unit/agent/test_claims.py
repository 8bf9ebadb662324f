"""What goes to the ledger together (hostagent.agent.claims), on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hostagent.agent.book import Book, Entry, View
from hostagent.agent.claims import Claims
from hostagent.agent.cluster import Cluster
from hostagent.agent.offload import Offloaded
from hostagent.agent.turns import Turns
from hostagent.agent.world import World
from hostagent.host.clock import Clock
from hostagent.model import Form, Job, Manifest, Outcome, Schedule, Unit
from hostagent.store.open import open_store
from hostagent.store.port import Accepted, Refusal, Refused, Registration, Settlement, Store

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = Schedule(Form.EVERY, "24h", every=DAY, anchor=T0)
JOBS = tuple(Job(f"j{number:02}", ("/bin/true",), DAILY, DAY) for number in range(40))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Offloaded[Store]]:
    """One in which all jobs are registered, as of T0."""
    with closing(open_store(f"sqlite://{tmp_path}/state.db")) as store:
        store.register([Registration.of(job, "one") for job in JOBS], [], T0)
        offloaded = Offloaded(store, "ledger")
        yield offloaded
        offloaded.close()


def settle(
    ledger: Offloaded[Store], book: Book, wanted: Sequence[Settlement]
) -> list[Accepted | Refused]:
    """What the agent's claims answer when all of it is asked at once."""
    parts = SimpleNamespace(
        host="one", cluster=Cluster("one"), clock=Clock(), ledger=lambda **_: ledger
    )
    world = cast("World", parts)
    claims = Claims(world, Turns(world, book))

    async def ask() -> list[Accepted | Refused]:
        asked = (claims.settle(entry_of(book, one), one) for one in wanted)
        return list(await asyncio.gather(*asked))

    return asyncio.run(ask())


def book_of(store: Store) -> Book:
    """As an agent has it that begins now."""
    units = tuple(Unit(job.name, "", f"hostagent-{job.name}.service", None) for job in JOBS)
    return Book(Manifest(1, T0, 252, "one", JOBS, units=units), "one", View(store.cursors()))


def entry_of(book: Book, one: Settlement) -> Entry:
    """Whose occurrences these are."""
    entry = book.exactly(one.job, one.scope)
    assert entry is not None
    return entry


def skipped(job: Job, day: int) -> Settlement:
    """What fell due up to that day."""
    return Settlement(
        job.name,
        "",
        DAILY.hash,
        T0 + DAY,
        T0 + day * DAY,
        day,
        Outcome.SKIPPED,
        "missed",
        "one",
        T0,
    )


def test_what_days_off_left_is_settled_in_a_few_transactions(ledger: Offloaded[Store]) -> None:
    """Each job has something to settle then; a transaction each is what a boot waits for."""
    answers = settle(ledger, book_of(ledger.it), [skipped(job, 4) for job in JOBS])
    assert all(isinstance(answer, Accepted) for answer in answers)
    assert {cursor.high_water for cursor in ledger.it.cursors()} == {T0 + 4 * DAY}
    assert ledger.calls <= 2


def test_one_that_is_refused_takes_no_other_with_it(ledger: Offloaded[Store]) -> None:
    """Its entry then stands where the ledger says; what was asked beside it is settled."""
    first, second, *_ = JOBS
    book = book_of(ledger.it)
    ledger.it.settle([skipped(first, 4)])
    wanted = [skipped(first, 3), skipped(second, 4)]
    refused, accepted = settle(ledger, book, wanted)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.PASSED
    assert entry_of(book, wanted[0]).high_water == T0 + 4 * DAY
    assert isinstance(accepted, Accepted)
