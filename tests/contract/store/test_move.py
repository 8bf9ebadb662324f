"""A store that moves with all it had, and the commands about the store itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hostagent.cli.storing import store as commands
from hostagent.errors import HostagentError, InputError, StoreConflict, StoreError
from hostagent.model import Outcome
from hostagent.store.open import describe, open_store, schema
from hostagent.store.port import (
    AuditEvent,
    Decision,
    Pause,
    PauseTarget,
    Refusal,
    Refused,
    RunFilter,
    Store,
)
from hostagent.store.sql.engine import SqlStore
from hostagent.store.sql.move import move
from hostagent.store.sql.schema import VERSION
from tests.contract.store.builders import (
    T0,
    alarm,
    backfill,
    claimed,
    each,
    finish,
    job,
    out,
    ran,
    settlement,
    t,
    want,
)
from tests.contract.store.postgres import SERVER, needs_postgres

URLS = [
    pytest.param(lambda place: f"sqlite://{place}/new.db", id="sqlite"),
    pytest.param(lambda _: SERVER.url(), id="postgres", marks=needs_postgres),
]


@pytest.fixture
def old_url(place: Path) -> str:
    """Of a store in which something of everything happened, and nothing goes on."""
    url = f"sqlite://{place}/state.db"
    with closing(open_store(url)) as old:
        old.register([job("a"), job("b"), each("one", "c")], [], T0)
        session = old.open_session("one", "boot-1")
        for n in range(1, 301):
            ran(old, session, want(n))
        old.finish([finish(claimed(old, session, want(1, "b")), Outcome.FAILED, retry=2)])
        old.settle([settlement(400, 900, count=7)])
        old.register([job("a", "d" * 16), job("b")], [], t(1000))
        old.pause(Pause(PauseTarget.JOB, "b", "broken", "root", t(3)))
        old.quarantine(out("c", "one"))
        old.backfill(backfill("a"))
        old.change_alarm(None, alarm("b"))
        old.note([Decision("a", "", t(3), "hold", f"{n}") for n in range(3)])
        for n in range(3):
            old.log(AuditEvent(t(1), 0, "one", "pause", "job b", f"{n}"))
        old.prune(t(5))
    return url


@pytest.fixture(params=URLS)
def new_url(request: pytest.FixtureRequest, place: Path) -> str:
    """Of an empty store."""
    make: Callable[[Path], str] = request.param
    return make(place)


def everything(store: Store) -> list[object]:
    """What the port shows of a store, but for who is there."""
    return [
        store.specs(),
        store.cursors(),
        store.runs(RunFilter()),
        store.retained_since(),
        store.pauses(),
        store.quarantines(),
        store.backfills(),
        store.alarms(),
        store.decisions("a"),
        store.audit_log(),
    ]


def opened(url: str) -> SqlStore:
    """A store of the kind that can be moved."""
    store = open_store(url)
    assert isinstance(store, SqlStore)
    return store


def test_all_comes_along(old_url: str, new_url: str) -> None:
    """History, marks, tokens, retries, orders; claims then go on where they were."""
    with closing(opened(old_url)) as old, closing(opened(new_url)) as new:
        counts = move(old, new)
        assert everything(new) == everything(old)
        assert new.sessions() == []
        assert counts["run"] == len(old.runs(RunFilter()))
        session = new.open_session("one", "boot-1", ttl=timedelta(seconds=15))
        assert new.claim(session, [want(900, spec="d" * 16)]) == [Refused(Refusal.PASSED)]
        assert claimed(new, session, want(1001, spec="d" * 16)).token == 301
        assert claimed(new, session, want(1, "b", attempt=2)).token == 2


def test_the_generation_does_not_go_back(old_url: str, new_url: str) -> None:
    """An agent that goes on at the new store reads anew."""
    with closing(opened(old_url)) as old, closing(opened(new_url)) as new:
        before = old.database.read("SELECT v FROM meta WHERE k='generation'")[0]["v"]
        move(old, new)
        assert new.database.read("SELECT v FROM meta WHERE k='generation'")[0]["v"] == before


@pytest.mark.parametrize(
    "fill",
    [
        lambda store: store.register([job("a")], [], T0),
        lambda store: store.open_session("one", "boot-1"),
        lambda store: store.log(AuditEvent(t(1), 0, "one", "pause", "job b", "")),
    ],
    ids=["jobs", "session", "log"],
)
def test_what_is_not_empty_is_left_alone(
    old_url: str, new_url: str, fill: Callable[[Store], object]
) -> None:
    """Two histories cannot become one."""
    with closing(opened(old_url)) as old, closing(opened(new_url)) as new:
        fill(new)
        before = everything(new)
        with pytest.raises(StoreConflict, match="not empty"):
            move(old, new)
        assert everything(new) == before


def test_what_is_in_use_is_not_moved(old_url: str, new_url: str) -> None:
    """A session whose deadline has not passed, and runs that go on."""
    with closing(opened(old_url)) as old, closing(opened(new_url)) as new:
        session = old.open_session("one", "boot-1", ttl=timedelta(hours=1))
        with pytest.raises(StoreConflict, match="one uses the store"):
            move(old, new)
        run = claimed(old, session, want(1001, spec="d" * 16))
        old.beat(session, ttl=timedelta(microseconds=1))
        with pytest.raises(StoreConflict, match="1 runs of one go on"):
            move(old, new)
        assert new.runs(RunFilter()) == []
        old.finish([finish(run)])
        move(old, new)


# The commands


def told(*arguments: str) -> str:
    """What ``hostagent store`` prints."""
    app = typer.Typer()
    app.add_typer(commands, name="store")
    done = CliRunner().invoke(app, ["store", *arguments])
    if isinstance(done.exception, HostagentError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_init_sets_a_store_up_once(new_url: str) -> None:
    """And says so."""
    assert schema(new_url) == 0
    with pytest.raises(StoreError, match="not set up yet"):
        told("migrate", new_url)
    assert f"is set up now, with schema {VERSION}" in told("init", new_url)
    assert "is set up already" in told("init", new_url)
    assert f"is up to date, with schema {VERSION}" in told("migrate", new_url)
    assert schema(new_url) == VERSION


def test_status_says_where_and_how_it_is(old_url: str, new_url: str) -> None:
    """For people, and for scripts."""
    told("move", old_url, new_url)
    facts = json.loads(told("status", new_url, "--json"))
    assert facts == facts | {"schema": VERSION, "agents": 0, "jobs": 3, "running": 0}
    assert facts["store"] == describe(new_url)
    assert abs(facts["clock_ahead_s"]) < 1
    assert "jobs     3, 0 running" in told("status", new_url)


def test_move_says_what_it_did_and_what_comes_next(old_url: str, new_url: str) -> None:
    """With how many rows of each table."""
    said = told("move", old_url, new_url)
    assert "  quarantine\n" in said
    assert "start hostagent.service" in said
    with pytest.raises(StoreConflict):
        told("move", old_url, new_url)


def test_a_directory_is_not_moved(place: Path, old_url: str) -> None:
    """It has no tables."""
    (place / "shared").mkdir()
    with pytest.raises(InputError, match="cannot be moved"):
        told("move", f"dir://{place}/shared", old_url)


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install, and no traceback."""
    for name in [name for name in sys.modules if name.startswith("hostagent.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for ask in (open_store, describe, schema):
        with pytest.raises(StoreError) as raised:
            ask("postgresql://127.0.0.1/db")
        assert raised.value.hint == "pip install 'hostagent[postgres]'"
