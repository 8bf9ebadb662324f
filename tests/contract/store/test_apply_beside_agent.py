"""An apply beside an agent that claims all the while: no occurrence is left without its outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
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
EVERY = (timedelta(milliseconds=40), timedelta(milliseconds=50))
HOUR = timedelta(hours=1)
SCOPES = ("asia", "eu", "us")
NOTHING = Facts(None, (), {}, set(), {})


def schedule(every: timedelta) -> Schedule:
    """An interval from ``T0`` on."""
    return Schedule(Form.EVERY, "", every=every, anchor=T0)


def manifest(every: timedelta) -> Manifest:
    """Two jobs, one with three scopes."""
    jobs = (
        Job("a", ("/bin/true",), schedule(every), HOUR),
        Job("b", ("/bin/true",), schedule(every), HOUR, for_each=SCOPES),
    )
    return Manifest(1, T0, 252, "one", jobs)


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
    known = {schedule(every).hash: schedule(every) for every in EVERY}
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
            changed = register(store, NOTHING, manifest(EVERY[n % 2]), store.now())
            assert sorted(changed) == ["a", "b"]
    finally:
        over.set()
        agent.join()
    result = audit(store.specs(), store.runs(RunFilter()), store.cursors(), begun, store.now())
    assert result.differences == []
    assert result.settled > REGISTERS


class Overtaken(SqliteStore):
    """A store in which an agent claims after each reading, ``times`` times."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(path)
        self.times = times
        self.session = self.open_session("one", "boot-1")

    def cursors(self) -> list[Cursor]:
        """What is overtaken before it is used."""
        found = super().cursors()
        if self.times:
            self.times -= 1
            c = found[0]
            span = latest(schedule(EVERY[1]), c.high_water, self.now())
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
