"""Agents and commands one version apart: on one store without doubling, or refused in time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

import psycopg
import pytest
from hypothesis.stateful import run_state_machine_as_test

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.model import Outcome
from hostagent.store import open as stores
from hostagent.store.directory import history, snapshots
from hostagent.store.directory.engine import DirectoryStore
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Profile, Renewed, RunFilter, Session, Store
from tests.contract.store import stateful
from tests.contract.store.ages import LEAVES, NEW, OLD, Both, Of, age
from tests.contract.store.builders import T0, alarm, claimed, finish, job, ran, t, want
from tests.contract.store.conftest import Engine
from tests.contract.store.processes import all_of, forked

TTL = timedelta(seconds=15)
ROUNDS = 40
RESTART = "upgrade hostagent on this host, then: systemctl restart hostagent"


@pytest.fixture
def files(place: Path) -> Path:
    """Where migrations are put."""
    path = place / "files"
    path.mkdir()
    return path


@pytest.fixture
def url(engine: Engine, place: Path) -> str:
    """A new, empty store."""
    shared = place / "store"
    shared.mkdir()
    return engine.url(shared)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is opened here is closed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def old(url: str, files: Path, opened: ExitStack) -> Store:
    """As an agent of the version before has it, with the jobs ``a`` and ``b``."""
    store = as_of(OLD, url, files, opened)
    store.register([job("a"), job("b")], [], T0)
    return store


def as_of(number: int, url: str, files: Path, opened: ExitStack) -> Store:
    """The store as an agent of that age opens it."""
    made = Of(url, number, files)
    opened.callback(made.close)
    return cast("Store", made)


def migrate(url: str, files: Path, text: str | None = None) -> None:
    """``hostagent store migrate`` of the next version."""
    with age(NEW, files) if text is None else age(NEW, files, text):
        stores.migrate(url)


def schema_of(url: str, number: int, files: Path) -> int:
    """What the store says to who knows ``number``."""
    with age(number, files):
        return stores.schema(url)


def at_work(store: Store, host: str, number: int) -> Session:
    """The session of an agent that has told what it knows."""
    profile = Profile("0.1", schema=number)
    return store.open_session(host, "boot-1", ttl=TTL, profile=profile)


def is_dir(url: str) -> bool:
    """All must agree on what its log says, so what it says is raised last."""
    return url.startswith("dir:")


# Side by side


def test_any_order_of_calls_by_agents_of_two_ages(engine: Engine) -> None:
    """On a store that both can use, each answer is what the contract says, whoever asks."""

    def both(place: Path) -> Store:
        shared = place / "store"
        shared.mkdir()
        url = engine.url(shared)
        old = Of(url, OLD, place)
        if not is_dir(url):
            migrate(url, place)
        return cast("Store", Both(old, Of(url, NEW, place)))

    class Machine(stateful.Machine):
        """By both in turn."""

        open_new = staticmethod(both)

    run_state_machine_as_test(Machine, settings=stateful.QUICK)


def test_processes_of_two_ages_get_each_occurrence_once(url: str, old: Store, files: Path) -> None:
    """Two of each race while the store is migrated; a directory is not, before all are new."""
    go, begun = os.pipe()

    def race(output: int, number: int) -> None:
        os.close(begun)
        with age(number, files):
            if number == NEW:
                os.read(go, 1)  # until the last other end of it is closed: it is migrated
            mine = open_store(url)
            session = at_work(mine, f"host-{os.getpid()}", number)
            os.write(output, b"\n")
            for n in range(1, ROUNDS + 1):
                (answer,) = mine.claim(session, [want(n)])
                if isinstance(answer, Claimed):
                    os.write(output, f"{n} {answer.run.token}\n".encode())
                    mine.finish([finish(answer.run)])
                assert isinstance(mine.beat(session), Renewed)
            os.write(output, b"done\n")

    with ExitStack() as racers:
        racing = [partial(race, number=number) for number in (OLD, OLD, NEW, NEW)]
        outputs = [racers.enter_context(forked(work))[1] for work in racing]
        for output in outputs[:2]:
            assert os.read(output, 1) == b"\n"
        if not is_dir(url):
            migrate(url, files)
        os.close(go)
        os.close(begun)
        told = [all_of(output).split("\n") for output in outputs]
    assert [lines.count("done") for lines in told] == [1] * 4
    won = [line.split() for lines in told for line in lines if line and line != "done"]
    assert max(Counter(n for n, _ in won).values()) == 1
    rows = old.runs(RunFilter(job="a"))
    assert sorted(int(token) for _, token in won) == sorted(row.token for row in rows)
    assert {row.outcome for row in rows} == {Outcome.SUCCEEDED}


def test_an_older_agent_goes_on_and_comes_back(
    url: str, old: Store, files: Path, opened: ExitStack
) -> None:
    """What it had open, and what it opens anew; each sees what the other wrote."""
    session = at_work(old, "one", OLD)
    mine = claimed(old, session, want(1))
    if not is_dir(url):
        migrate(url, files)
    new = as_of(NEW, url, files, opened)
    theirs = claimed(new, at_work(new, "two", NEW), want(1, "b"))
    assert new.held(session.id) == [mine]
    again = as_of(OLD, url, files, opened)
    assert again.run(theirs.run_id) == [theirs]
    old.finish([finish(mine)])
    assert {row.outcome for row in new.run(mine.run_id)} == {Outcome.SUCCEEDED}
    assert again.open_session("one", "boot-1", session.id, ttl=TTL) == session
    assert isinstance(old.beat(session), Renewed)
    expected = OLD if is_dir(url) else NEW
    assert {schema_of(url, number, files) for number in (OLD, NEW)} == {expected}


# A newer one


def test_a_newer_agent_says_what_to_type(
    url: str, old: Store, files: Path, opened: ExitStack
) -> None:
    """On a store that others share; it changes nothing. A host's own ledger is its agent's."""
    assert schema_of(url, NEW, files) == OLD
    if is_dir(url):
        as_of(NEW, url, files, opened).register([job("c")], [], t(9))
    else:
        remedy = "run: hostagent store migrate"
        if url.startswith("sqlite:"):
            remedy = "restart its agent: systemctl restart hostagent"
        for read_only in (True, False) if old.is_shared else (True,):
            with (
                age(NEW, files),
                pytest.raises(StoreError, match="nothing was changed") as raised,
            ):
                open_store(url, read_only=read_only)
            assert raised.value.hint == remedy
    assert schema_of(url, NEW, files) == OLD
    migrate(url, files)
    assert schema_of(url, NEW, files) == NEW
    as_of(NEW, url, files, opened).cursors()


# Who is left behind


def test_nobody_at_work_is_left_behind(url: str, old: Store, files: Path) -> None:
    """Of a store that hosts share: its agents are named, and nothing is changed."""
    if url.startswith("sqlite:"):
        pytest.skip("its agent is the one that migrates")
    session = at_work(old, "one", OLD)
    at_work(old, "two", NEW)
    with pytest.raises(StoreError, match=r"could not go on: one \(0.1\); nothing was") as raised:
        migrate(url, files, LEAVES)
    assert raised.value.hint == "upgrade and restart hostagent there, then repeat this"
    assert schema_of(url, OLD, files) == OLD
    ran(old, session, want(1))
    old.close_session(session)
    migrate(url, files, LEAVES)
    assert schema_of(url, NEW, files) == NEW


def test_who_was_away_meanwhile_writes_no_more(
    url: str, old: Store, files: Path, opened: ExitStack
) -> None:
    """An older agent that was not there to be asked: with what it has open, and anew."""
    session = at_work(old, "one", OLD)
    old.beat(session, ttl=timedelta(microseconds=1))
    migrate(url, files, LEAVES)
    for call in (
        lambda: old.beat(session, ttl=TTL),
        lambda: at_work(old, "one", OLD),
        lambda: as_of(OLD, url, files, opened).cursors(),
    ):
        with pytest.raises(StoreError, match="newer hostagent") as raised:
            call()
        assert raised.value.hint == RESTART
    new = as_of(NEW, url, files, opened)
    assert [one.beat for one in new.sessions() if one.session == session] == [1]


# Only SQLite


def test_an_agent_that_was_left_behind_claims_no_more(
    place: Path, files: Path, opened: ExitStack
) -> None:
    """Two versions at once on one host, and no restart: each write asks first."""
    url = f"sqlite://{place}/state.db"
    old = as_of(OLD, url, files, opened)
    old.register([job("a")], [], T0)
    session = old.open_session("one", "boot-1")
    run = claimed(old, session, want(1))
    migrate(url, files, LEAVES)
    for call in (
        lambda: old.finish([finish(run)]),
        lambda: old.claim(session, [want(2)]),
    ):
        with pytest.raises(StoreError, match="newer hostagent") as raised:
            call()
        assert raised.value.hint == RESTART
    assert as_of(NEW, url, files, opened).held(session.id) == [run]


# Only PostgreSQL


def test_a_session_that_is_opened_during_a_migration_waits_for_it(
    engine: Engine, url: str, old: Store
) -> None:
    """It is seen by the migration, or it sees what that did."""
    if engine.name != "postgres":
        pytest.skip("elsewhere one writes at a time")
    with psycopg.connect(url) as pg, ExitStack() as asking:
        pg.execute("SELECT v FROM meta FOR UPDATE")
        _, said = asking.enter_context(forked(partial(_opening, url)))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        with psycopg.connect(url, autocommit=True) as look:
            while not look.execute(waiting, [pg.info.backend_pid]).fetchone():
                pass
        pg.execute("UPDATE meta SET v='999' WHERE k='oldest'")
        pg.commit()
        assert "newer hostagent" in all_of(said)
    assert old.sessions() == []


def test_a_migration_gives_up_before_leases_run_out(
    engine: Engine, url: str, old: Store, files: Path
) -> None:
    """A long read of somebody else's stands in its way: a beat behind it waits half a second."""
    if engine.name != "postgres":
        pytest.skip("elsewhere a reader stands in nobody's way")
    session = at_work(old, "one", OLD)
    with psycopg.connect(url) as pg:
        pg.execute("SELECT 1 FROM session")
        with pytest.raises(StoreUnavailable, match="in the way"):
            migrate(url, files)
        assert isinstance(old.beat(session), Renewed)
        assert schema_of(url, OLD, files) == OLD
    migrate(url, files)
    assert schema_of(url, OLD, files) == NEW


def _opening(url: str, output: int) -> None:
    try:
        open_store(url).open_session("one", "boot-1", ttl=TTL)
    except StoreError as error:
        os.write(output, str(error).encode())


# Only the directory


@pytest.fixture
def directory(place: Path, files: Path, opened: ExitStack) -> Store:
    """As an agent of the version before has it."""
    (place / "store").mkdir()
    store = as_of(OLD, f"dir://{place}/store", files, opened)
    store.register([job("a"), job("b")], [], T0)
    return store


def lines(store: Store) -> list[bytes]:
    """The snapshot that it would write now."""
    of = cast("Of", store)
    with of.at():
        assert isinstance(of.store, DirectoryStore)
        return list(snapshots._lines(of.store._history.read(lambda replica: replica)))


def shorten(store: Store) -> None:
    """Write a snapshot, whether one is due or not."""
    of = cast("Of", store)
    with of.at():
        assert isinstance(of.store, DirectoryStore)
        inside = of.store
        inside._history.read(lambda replica: history.shorten(inside._place, replica))


def test_agents_of_two_ages_write_the_same_snapshot(
    directory: Store, place: Path, files: Path, opened: ExitStack
) -> None:
    """And go on from the other's, with the log before it gone."""
    url = f"dir://{place}/store"
    new = as_of(NEW, url, files, opened)
    ran(directory, at_work(directory, "one", OLD), want(1))
    ran(new, at_work(new, "two", NEW), want(1, "b"))
    assert lines(new) == lines(directory)
    for writer, reader in ((new, OLD), (directory, NEW)):
        shorten(writer)
        (path,) = (place / "store" / "snapshots").iterdir()
        aside = path.rename(place / "snapshot")
        other = as_of(reader, url, files, opened)
        aside.rename(path)
        assert lines(as_of(reader, url, files, opened)) == lines(other) == lines(writer)
        path.unlink()


def test_a_log_that_was_raised_is_replayed_whole_and_from_a_snapshot(
    directory: Store, place: Path, files: Path, opened: ExitStack
) -> None:
    """Records of both versions in one log; what is new has its place in the next snapshot."""
    url = f"dir://{place}/store"
    new = as_of(NEW, url, files, opened)
    shorten(new)
    migrate(url, files)
    migrate(url, files)  # once is enough
    ran(new, at_work(new, "one", NEW), want(1))
    assert b'"rack"' in b"".join(lines(new))
    assert lines(as_of(NEW, url, files, opened)) == lines(new)
    shorten(new)
    assert lines(as_of(NEW, url, files, opened)) == lines(new)
    (event,) = new.audit_log()
    assert (event.action, event.detail) == (
        "store migrate",
        f"the shared directory went from schema {OLD} to {NEW}",
    )
    for late in (directory, as_of(OLD, url, files, opened)):
        with pytest.raises(StoreError, match="newer hostagent") as raised:
            late.cursors()
        assert raised.value.hint == RESTART


def test_a_log_does_not_go_back(
    directory: Store, place: Path, files: Path, opened: ExitStack
) -> None:
    """A record of the version before, behind one of the next, is none that we would write."""
    url = f"dir://{place}/store"
    migrate(url, files)
    new = as_of(NEW, url, files, opened)
    new.register([job("c")], [], t(9), remove_others=False)
    *_, last = sorted((place / "store" / "log" / "000000000").iterdir())
    text = last.read_bytes()
    last.unlink()
    last.write_bytes(text.replace(f'"format":{NEW}'.encode(), f'"format":{OLD}'.encode()))
    with pytest.raises(StoreError, match="of an older version than the record before"):
        as_of(NEW, url, files, opened).cursors()


def test_a_directory_of_the_first_version_has_no_alarms_yet(place: Path, files: Path) -> None:
    """Agents of that version could not replay one: nobody is told before it is migrated."""
    shared = place / "shared"
    shared.mkdir()
    url = f"dir://{shared}"
    with age(1, files), closing(open_store(url)) as first:
        first.register([job("a")], [], T0)
    with closing(open_store(url)) as store:
        assert store.alarms() == []
        with pytest.raises(StoreError, match="older hostagent") as raised:
            store.change_alarm(None, alarm())
        assert raised.value.hint == "run: hostagent store migrate"
        stores.migrate(url)
        assert store.change_alarm(None, alarm())
        assert store.alarms() == [alarm()]
