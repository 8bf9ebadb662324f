"""A host's own ledger and the store that it shares, read as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from hostagent.errors import StoreUnavailable
from hostagent.model import Outcome, RunOn
from hostagent.report.ledgers import Ledgers
from hostagent.store.port import Pause, PauseTarget, RunFilter
from hostagent.store.sqlite.engine import SqliteStore
from tests.contract.store.builders import (
    HASH,
    claimed,
    each,
    finish,
    job,
    kept_run,
    kept_spec,
    t,
    want,
)


def pause(target: PauseTarget, name: str) -> Pause:
    """Until resumed."""
    return Pause(target, name, "a reason", "somebody", t(0))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[SqliteStore, SqliteStore]]:
    """Host one's own, where x failed at 1 and runs at 2; the shared one, with an older copy."""
    with ExitStack() as opened:
        own, shared = (
            opened.enter_context(closing(SqliteStore(tmp_path / name))) for name in ("o", "s")
        )
        own.register([each("one", "x")], [], t(0), host="one")
        session = own.open_session("one", "boot")
        first = claimed(own, session, want(1, "x", "one"))
        own.finish([finish(first, Outcome.FAILED)])
        claimed(own, session, want(2, "x", "one"))
        shared.register([job("ours")], [], t(0), remove_others=False)
        shared.record("one", [kept_spec("x")], [kept_run("x", at=1)], [])
        shared.record("two", [kept_spec("x", "two")], [kept_run("x", "two", at=3)], [])
        yield own, shared


def test_no_row_is_shown_twice(stores: tuple[SqliteStore, SqliteStore]) -> None:
    """Of a copy, the own ledger's original is shown, newest first."""
    both = Ledgers(stores[0], "one", stores[1])
    found = both.runs(RunFilter())
    assert [(row.scope, row.scheduled_for, row.outcome) for row in found] == [
        ("two", t(3), Outcome.SUCCEEDED),
        ("one", t(2), None),
        ("one", t(1), Outcome.FAILED),
    ]
    assert both.runs(RunFilter(limit=2)) == found[:2]
    assert both.run(found[2].run_id) == [found[2]]
    assert both.run(found[0].run_id) == [found[0]]


def test_no_row_is_counted_twice(stores: tuple[SqliteStore, SqliteStore]) -> None:
    """Of this host's own job the original counts, not its copy, which says otherwise."""
    both = Ledgers(stores[0], "one", stores[1])
    told = [(one.job, one.scope, one.outcome, one.count) for one in both.tally("one", t(0))]
    assert told == [("x", "one", Outcome.FAILED, 1)]
    assert [one.scope for one in both.tally("two", t(0))] == ["two"]


def test_what_each_ledger_keeps_it_tells(stores: tuple[SqliteStore, SqliteStore]) -> None:
    """The host's own schedules and marks by its own ledger, all others by the shared store."""
    both = Ledgers(stores[0], "one", stores[1])
    own = {spec.job: spec.hash for spec in both.specs() if spec.host == "one"}
    assert own == {"x": HASH}
    assert {(spec.job, spec.host) for spec in both.specs()} == {
        ("x", "one"),
        ("x", "two"),
        ("ours", ""),
    }
    assert len(both.specs()) == 3
    (mine,) = (c for c in both.cursors() if c.scope == "one")
    assert mine.active is not None


def test_a_pause_is_shown_for_what_it_holds(stores: tuple[SqliteStore, SqliteStore]) -> None:
    """As the agent obeys it: a host's holds both, a lane's what its own ledger keeps."""
    own, shared = stores
    host, here = pause(PauseTarget.HOST, "one"), pause(PauseTarget.LANE, "bulk")
    there, everything = pause(PauseTarget.JOB, "ours"), pause(PauseTarget.CLUSTER, "")
    for order in (host, here):
        own.pause(order)
    for order in (there, everything):
        shared.pause(order)
    both = Ledgers(own, "one", shared)
    assert set(both.pauses(RunOn.EACH)) == {host, here, everything}
    assert set(both.pauses(RunOn.ONE)) == {host, there, everything}
    assert set(Ledgers(own, "one").pauses(RunOn.ONE)) == {host, here}


def test_without_the_store_the_own_ledger_is_all(stores: tuple[SqliteStore, SqliteStore]) -> None:
    """Who is in the cluster it does not know, and says so."""
    alone = Ledgers(stores[0], "one", away=StoreUnavailable("gone"))
    assert {row.scope for row in alone.runs(RunFilter())} == {"one"}
    assert [spec.job for spec in alone.specs()] == ["x"]
    with pytest.raises(StoreUnavailable, match="gone"):
        alone.sessions()
