"""What a host keeps of its own jobs comes into the shared store, whatever is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hostagent.agent.copies import PAGE, gather, names_of, specs_of
from hostagent.codec import content_json
from hostagent.model import Form, Kind, Outcome, Run, Schedule
from hostagent.report.audit import audit
from hostagent.store.port import Claimed, Mark, Registration, RunFilter, Settlement, Want
from hostagent.store.sqlite.engine import SqliteStore
from tests.contract.store.builders import T0, end, finish, t

HOST = "one"
EVERY = Schedule(Form.EVERY, "1s", every=timedelta(seconds=1), anchor=T0)
HASH = EVERY.hash


class Pair:
    """The two ledgers, and what an agent remembers from one page to the next."""

    def __init__(self, own: SqliteStore, shared: SqliteStore) -> None:
        self.own, self.shared = own, shared
        self.session = own.open_session(HOST, "boot")
        self.known: dict[tuple[str, str], Mark] = {}
        self.stands: dict[tuple[str, str], tuple[object, ...]] = {}

    def register(self, *names: str, at: datetime = T0, renamed: str | None = None) -> None:
        """As apply does, for the jobs of these names and no others."""
        jobs = [
            Registration(name, HASH, content_json(EVERY), (HOST,), renamed, HOST) for name in names
        ]
        self.own.register(jobs, [], at, host=HOST)

    def copy(self, pages: int = 1000, *, is_lost: bool = False) -> None:
        """Copy so many pages at most; of the last one the reply may be lost."""
        for _ in range(pages):
            news = gather(self.own, HOST, self.known, self.stands)
            assert len(news.runs) <= 2 * PAGE
            self.shared.record(HOST, news.specs, news.runs, news.marks)
            if is_lost:
                return
            self.stands.update(news.stands)
            self.known |= {(mark.job, mark.scope): mark for mark in news.marks}
            if news.is_all:
                return

    def restart(self) -> None:
        """The agent knows nothing but what the shared store says."""
        found = self.shared.cursors(names_of(specs_of(self.own.specs(), HOST)))
        self.stands = {}
        self.known = {
            (c.job, c.scope): Mark(c.job, c.scope, c.spec_hash, c.high_water, c.token)
            for c in found
        }

    def claim(self, at: float, job: str = "a", *, kind: Kind = Kind.SCHEDULED, n: int = 1) -> Run:
        """A run that has begun."""
        wanted = Want(job, HOST, HASH, kind, t(at), "due", t(at), attempt=n, invocation_id="1f")
        (answer,) = self.own.claim(self.session, [wanted])
        assert isinstance(answer, Claimed), answer
        return answer.run

    def ran(self, at: float, job: str = "a", *, kind: Kind = Kind.SCHEDULED) -> Run:
        """A run that has ended."""
        run = self.claim(at, job, kind=kind)
        self.own.finish([finish(run)])
        return run

    def agree(self, until: float) -> None:
        """Every ended row is there, no other; and audit there finds no difference."""
        own = [row for row in self.own.runs(RunFilter()) if row.outcome is not None]
        assert self.shared.runs(RunFilter()) == own
        result = audit(
            self.shared.specs(), self.shared.runs(RunFilter()), self.shared.cursors(), T0, t(until)
        )
        assert result.differences == []


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """An own ledger with job a, and a shared store that knows nothing."""
    own, shared = SqliteStore(tmp_path / "own.db"), SqliteStore(tmp_path / "shared.db")
    with closing(own), closing(shared):
        made = Pair(own, shared)
        made.register("a")
        yield made


def test_what_ended_is_copied_and_what_goes_on_is_open(pair: Pair) -> None:
    """Others see no difference where this host sees none."""
    pair.copy()
    pair.agree(5)
    pair.ran(1)
    pair.claim(2)
    pair.copy()
    pair.agree(9)
    (cursor,) = pair.shared.cursors()
    assert t(1) <= cursor.high_water < t(2), "an outcome of 2 is still to come"


def test_nothing_new_is_nothing_to_record(pair: Pair) -> None:
    """An idle host writes nothing."""
    pair.ran(1)
    pair.copy()
    news = gather(pair.own, HOST, pair.known, pair.stands)
    assert (news.runs, news.marks, news.is_all) == ((), (), True)


def test_a_long_outage_is_caught_up_in_pages(pair: Pair) -> None:
    """Each page is complete by itself: an agent that is killed after it goes on from there."""
    pair.register("a", "b")
    for second in range(1, PAGE + PAGE // 2):
        pair.ran(second)
        pair.ran(second, "b")
    for _ in range(3):
        pair.copy(1)
        shared = pair.shared
        seen = audit(shared.specs(), shared.runs(RunFilter()), shared.cursors(), T0, t(PAGE * 2))
        assert seen.differences == []
        pair.restart()
    pair.copy()
    pair.agree(PAGE)


@pytest.mark.parametrize("pages", [1, 2])
def test_a_lost_reply_is_harmless(pair: Pair, pages: int) -> None:
    """What was written is written again."""
    for second in range(1, PAGE + 9):
        pair.ran(second)
    pair.copy(pages - 1)
    pair.copy(1, is_lost=True)
    pair.restart()
    pair.ran(PAGE + 9)
    pair.copy()
    pair.agree(PAGE + 9)


def test_what_is_said_of_a_row_later_is_copied_too(pair: Pair) -> None:
    """A retry that an occurrence overtakes; and the attempt that follows one."""
    first = pair.claim(1)
    pair.own.finish([finish(first, Outcome.FAILED, retry=1)])
    pair.copy()
    pair.claim(1, n=2)
    pair.copy()
    pair.own.finish([replace(finish(first), token=2, end=end(), retry_at=t(1))])
    pair.copy()
    pair.restart()
    pair.ran(2)
    pair.copy()
    assert "superseded" in (pair.shared.run(first.run_id)[-1].end_reason or "")
    pair.agree(2)


def test_a_run_by_hand_as_of_long_ago_is_copied(pair: Pair) -> None:
    """Its place in time is below what was copied."""
    pair.ran(5)
    pair.copy()
    pair.ran(1, kind=Kind.MANUAL)
    pair.restart()
    pair.copy()
    assert len(pair.shared.runs(RunFilter(kind=Kind.MANUAL))) == 1


def test_the_last_of_a_removed_job_is_copied(pair: Pair) -> None:
    """How it ended is written when its cursor is gone already."""
    pair.ran(1)
    pair.copy()
    owed = Settlement("a", HOST, HASH, t(2), t(3), 2, Outcome.ABANDONED, "removed", HOST, t(3))
    pair.own.register([], [owed], t(3), host=HOST)
    pair.restart()
    pair.copy()
    pair.agree(9)
    news = gather(pair.own, HOST, pair.known, pair.stands)
    assert (news.runs, news.marks) == ((), ())


def test_a_renamed_job_has_one_history(pair: Pair) -> None:
    """Under its new name, there as here."""
    pair.ran(1)
    pair.copy()
    pair.register("b", at=t(2), renamed="a")
    pair.ran(2, "b")
    pair.ran(3, "b")
    pair.copy()
    pair.agree(3)
    assert {row.job for row in pair.shared.runs(RunFilter())} == {"b"}


def test_a_ledger_that_was_lost_begins_anew(pair: Pair, tmp_path: Path) -> None:
    """The shared store's marks are of the one before it."""
    for second in (1, 2, 3):
        pair.ran(second)
    pair.copy()
    with closing(SqliteStore(tmp_path / "new.db")) as own:
        anew = Pair(own, pair.shared)
        anew.register("a", at=t(9))
        anew.restart()
        anew.ran(10)
        anew.copy()
        found = pair.shared.runs(RunFilter())
        assert [row.scheduled_for for row in found] == [t(10), t(3), t(2), t(1)]


def test_of_the_cluster_nothing_is_copied(pair: Pair) -> None:
    """The own ledger may still hold what the host ran before it shared a store."""
    pair.own.register(
        [Registration("ours", HASH, content_json(EVERY), ("",))], [], T0, remove_others=False
    )
    pair.copy()
    assert [spec.job for spec in pair.shared.specs()] == ["a"]
