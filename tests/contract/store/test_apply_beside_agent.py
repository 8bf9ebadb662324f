"""An apply beside an agent that claims all the while: no occurrence is left without its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hostagent.deploy.actions import Facts
from hostagent.deploy.ledger import register
from hostagent.errors import StoreConflict
from hostagent.model import Form, Job, Manifest, Schedule
from hostagent.report.audit import audit
from hostagent.schedule.occurrences import latest
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Cursor, RunFilter, Session, Store
from hostagent.store.sqlite.engine import SqliteStore
from tests.contract.store.builders import T0, claimed, finish, want

REGISTERS = 50
EVERY = (timedelta(milliseconds=20), timedelta(milliseconds=40))
"""What the second names the first does, too: a claim by the one stands in the other's way."""
HOUR = timedelta(hours=1)
SCOPES = ("asia", "eu", "us")
NOTHING = Facts(None, (), {}, set(), {})


def schedule(every: timedelta, offset: int) -> Schedule:
    """An interval from ``offset`` times 5 ms after ``T0`` on."""
    anchor = T0 + offset * timedelta(milliseconds=5)
    return Schedule(Form.EVERY, "", every=every, anchor=anchor)


def manifest(every: timedelta) -> Manifest:
    """Four jobs of which one falls due every 5 ms, each with three scopes."""
    jobs = (
        Job(f"job-{n}", ("/bin/true",), schedule(every, n), HOUR, for_each=SCOPES) for n in range(4)
    )
    return Manifest(1, T0, 252, "one", tuple(jobs))


def claim_what_is_due(store: Store, session: Session, known: dict[str, Schedule]) -> None:
    """As an agent does: the latest of each, standing for those before it, and its end."""
    wants = []
    for c in store.cursors():
        span = latest(known[c.spec_hash], c.high_water, store.now())
        if span and c.active is None:
            due = want(span.last, c.job, c.scope, spec=c.spec_hash)
            wants.append(replace(due, covers_from=span.first, covers=span.count))
    answers = store.claim(session, wants) if wants else []
    store.finish([finish(answer.run) for answer in answers if isinstance(answer, Claimed)])


def test_applies_beside_an_agent_leave_no_difference(url: str, again: Callable[[], Store]) -> None:
    """Fifty changes of schedule while what is due is claimed every millisecond: audit agrees."""
    store, over = again(), threading.Event()
    jobs = [job for every in EVERY for job in manifest(every).jobs]
    known = {job.schedule.hash: job.schedule for job in jobs}
    begun = store.now()
    register(store, NOTHING, manifest(EVERY[-1]), begun)

    def work() -> None:
        with closing(open_store(url)) as mine:
            session = mine.open_session("one", "boot-1")
            while not over.wait(0.001):
                claim_what_is_due(mine, session, known)

    agent = threading.Thread(target=work, daemon=True)
    agent.start()
    try:
        for n in range(REGISTERS):
            over.wait(0.02)
            assert len(apply_until_taken(store, manifest(EVERY[n % 2]))) == 4
    finally:
        over.set()
        agent.join()
    result = audit(store.specs(), store.runs(RunFilter()), store.cursors(), begun, store.now())
    assert result.differences == []
    assert result.settled > REGISTERS


def apply_until_taken(store: Store, new: Manifest) -> list[str]:
    """As a person repeats an apply that was overtaken five times."""
    for _ in range(20):
        with suppress(StoreConflict):
            return register(store, NOTHING, new, store.now())
    raise AssertionError("an agent overtakes every apply")


class Overtaken(SqliteStore):
    """A store in which an agent claims after each reading, ``times`` times."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(path)
        self.times = times
        self.session = self.open_session("one", "boot-1")

    def cursors(self, names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
        """What is overtaken before it is used."""
        found = super().cursors(names)
        if self.times:
            self.times -= 1
            c = found[0]
            span = latest(schedule(EVERY[1], 0), c.high_water, self.now())
            assert span
            due = want(span.first, c.job, c.scope, spec=c.spec_hash)
            run = claimed(self, self.session, due)
            self.finish([finish(run)])
        return found


@pytest.mark.parametrize(("times", "is_taken"), [(0, True), (4, True), (5, False)])
def test_an_apply_that_is_overtaken_begins_again(place: Path, times: int, is_taken: bool) -> None:
    """Five times at most; then it says so, and nothing was registered."""
    with closing(Overtaken(place / "state.db", 0)) as store:
        begun = store.now() - timedelta(seconds=10)
        register(store, NOTHING, manifest(EVERY[1]), begun)
        before = store.specs()
        store.times = times
        if not is_taken:
            with pytest.raises(StoreConflict):
                register(store, NOTHING, manifest(EVERY[0]), store.now())
            assert store.specs() == before
            return
        register(store, NOTHING, manifest(EVERY[0]), store.now())
        result = audit(store.specs(), store.runs(RunFilter()), store.cursors(), begun, store.now())
        assert result.differences == []
