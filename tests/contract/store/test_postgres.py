"""What only PostgreSQL can get wrong: connections, locks, time limits, poolers, secrets."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis.stateful import run_state_machine_as_test

from hostagent.errors import HostagentError, InputError, StoreError, StoreUnavailable
from hostagent.model import Kind
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Refusal, Refused, Session, Store
from hostagent.store.postgres import connection
from hostagent.store.postgres.engine import PostgresStore
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.rows import micros
from hostagent.store.sql.schema import VERSION
from tests.contract.store import stateful
from tests.contract.store.builders import (
    T0,
    claimed,
    cursor,
    finish,
    in_force,
    job,
    ran,
    t,
    want,
)
from tests.contract.store.postgres import SERVER, Pooler, needs_pooler, needs_postgres

pytestmark = needs_postgres

TTL = timedelta(seconds=15)


@pytest.fixture
def url() -> str:
    """A new, empty schema."""
    return SERVER.url()


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """A store with the jobs a and b."""
    with closing(PostgresStore(url)) as store:
        store.register([job("a"), job("b")], [], T0)
        yield store


@pytest.fixture
def session(store: Store) -> Session:
    """An open session."""
    return store.open_session("one", "boot-1", ttl=TTL)


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of another program, inside a transaction once it did something."""
    with psycopg.connect(url) as pg:
        yield pg
        pg.rollback()


def test_any_order_of_calls_where_transactions_are_serializable() -> None:
    """The database's default may be that, and is on some that speak its protocol."""

    class Machine(stateful.Machine):
        """On such a one."""

        options = "-cdefault_transaction_isolation=serializable"
        open_new = staticmethod(lambda _: open_store(SERVER.url(options=Machine.options)))

    run_state_machine_as_test(Machine, settings=stateful.QUICK)


def test_names_sort_by_their_bytes(store: Store) -> None:
    """As everywhere else, whatever the database's collation."""
    names = ["a-b", "a_a", "aB", "aa", "B"]
    store.register([job(name) for name in names], [], t(1))
    assert [c.job for c in store.cursors()] == sorted(names)
    assert [spec.job for spec in store.specs() if spec.valid_to is None] == sorted(names)


def test_a_character_that_no_text_can_hold(store: Store, session: Session) -> None:
    """A NUL in what a job printed is no reason to lose the rest."""
    run = claimed(store, session, want(1))
    done = finish(run)
    store.finish([replace(done, end=replace(done.end, report="a\0b"))])
    assert store.run(run.run_id)[0].report == "a\N{REPLACEMENT CHARACTER}b"


# Claims at once


def test_what_is_free_is_claimed_in_one_statement(
    store: PostgresStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of first attempts, and nothing else is asked of the server."""
    asked: list[object] = []
    real = psycopg.Connection.execute

    def execute(pg: psycopg.Connection, *given: Any) -> object:
        asked.append(given)
        return real(pg, *given)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    answers = store.claim(session, [want(1), want(1, "b")], store.now())
    assert [isinstance(answer, Claimed) for answer in answers] == [True, True]
    assert len(asked) == 2  # the other is the clock


def test_what_one_claims_is_what_the_ledger_says(store: Store, session: Session) -> None:
    """All of a claim that was given at once is in its row."""
    wanted = replace(want(3, invocation="1f"), covers_from=t(1), covers=3)
    run = claimed(store, session, wanted)
    assert store.run(run.run_id) == [run]
    assert (run.covers_from, run.covers, run.started_at) == (t(1), 3, wanted.at)


def test_of_one_cursor_the_first_asked_is_first(store: Store, session: Session) -> None:
    """A manual run that stands before a scheduled one in the batch is given, and not it."""
    one, two = store.claim(session, [want(1, kind=Kind.MANUAL), want(1)])
    assert isinstance(one, Claimed)
    assert two == Refused(Refusal.ACTIVE, one.run)


@pytest.mark.parametrize("commits", [True, False])
def test_a_cursor_that_is_locked_is_waited_for(
    store: Store,
    session: Session,
    other: psycopg.Connection[tuple[object, ...]],
    commits: bool,
) -> None:
    """The answer is what holds once the other is done, never a guess."""
    other.execute("UPDATE cursor SET high_water=high_water+5000000 WHERE job='a'")
    answers: list[Claimed | Refused] = []
    asking = threading.Thread(target=lambda: answers.extend(store.claim(session, [want(2)])))
    asking.start()
    _wait_for_lock(other)
    (other.commit if commits else other.rollback)()
    asking.join()
    if commits:
        assert answers == [Refused(Refusal.PASSED)]
    else:
        assert isinstance(answers[0], Claimed)


def _wait_for_lock(pg: psycopg.Connection[tuple[object, ...]]) -> None:
    """Until somebody waits for what ``pg`` has locked."""
    look = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    for _ in range(500):
        with psycopg.connect(host=str(SERVER.place), user="hostagent") as mine:
            found = mine.execute(look, (pg.info.backend_pid,)).fetchone()
        if found and found[0]:
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def test_a_claim_under_way_is_seen_after_the_revocation(
    store: PostgresStore, session: Session, other: psycopg.Connection[tuple[object, ...]], url: str
) -> None:
    """Whoever was told that a session is over finds every claim of it."""
    other.execute("SELECT 1 FROM cursor WHERE job='a' FOR UPDATE")
    claiming = threading.Thread(target=lambda: store.claim(session, [want(1, "b"), want(1)]))
    claiming.start()
    _wait_for_lock(other)
    with closing(open_store(url)) as reaper:
        reaper.beat(session, ttl=timedelta(microseconds=1))
        assert reaper.revoke(session.id, 1)
        other.rollback()
        claiming.join()
        assert [run.job for run in reaper.held(session.id)] == ["b"]
        assert cursor(reaper).token == 0


def test_a_session_that_claims_is_revoked_after_that(
    store: PostgresStore, session: Session, other: psycopg.Connection[tuple[object, ...]], url: str
) -> None:
    """A statement that takes a claim holds its session until it has."""
    other.execute(
        "INSERT INTO run (job, scope, kind, scheduled_for, attempt, token, host, reason, "
        "spec_hash, session, boot_id) VALUES ('a', '', 'scheduled', %s, 1, 0, '', '', '', '', '')",
        (micros(t(1)),),
    )  # the claim's own row waits for this one
    claiming = threading.Thread(target=lambda: store.claim(session, [want(1)]))
    claiming.start()
    _wait_for_lock(other)
    with psycopg.connect(url) as pg:
        assert pg.execute("SELECT 1 FROM session FOR UPDATE SKIP LOCKED").fetchall() == []
    other.rollback()
    claiming.join()
    with closing(open_store(url)) as reaper:
        reaper.beat(session, ttl=timedelta(microseconds=1))
        assert reaper.revoke(session.id, 1)
        assert [run.job for run in reaper.held(session.id)] == ["a"]


# When the server does not answer


def test_a_server_that_is_away_is_unavailable_and_comes_back(
    store: Store, session: Session
) -> None:
    """The same store goes on; nothing that was acknowledged is lost."""
    run = claimed(store, session, want(1))
    SERVER.control("stop", "-m", "fast")
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.claim(session, [want(2)])
            with pytest.raises(StoreUnavailable):
                store.cursors()
    finally:
        SERVER.start()
    assert cursor(store).active == run
    assert store.finish([finish(run)])


@pytest.mark.parametrize("call", ["read", "change", "write"])
def test_a_lost_connection_is_made_again(store: PostgresStore, session: Session, call: str) -> None:
    """At once where nothing can have been done; where it can, the caller must look."""
    SERVER.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename='hostagent' AND pid<>pg_backend_pid()"
    )
    if call == "read":
        assert len(store.cursors()) == 2
    elif call == "change":
        store.beat(session)
    else:
        with pytest.raises(StoreUnavailable):
            store.claim(session, [want(1)])
        claimed(store, session, want(1))


def test_a_server_that_hangs_is_unavailable_in_time(
    store: PostgresStore, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen whole, it holds the connection, and no timeout of its own runs."""
    monkeypatch.setattr(connection, "_CALL_S", 0.3)
    (pid,) = (row["pid"] for row in store._pg.read("SELECT pg_backend_pid() AS pid"))
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.claim(session, [want(1)])
        assert time.monotonic() - begun < 3
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert len(store.cursors()) == 2


def test_waiting_for_a_lock_is_bounded(
    store: Store,
    session: Session,
    other: psycopg.Connection[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that hangs inside a transaction is StoreUnavailable to others, once."""
    monkeypatch.setattr(connection, "_CALL_S", 0.2)
    other.execute("SELECT 1 FROM session FOR UPDATE")
    with pytest.raises(StoreUnavailable, match="timeout"):
        store.beat(session)
    other.rollback()
    monkeypatch.undo()
    store.beat(session)


def test_a_client_that_hangs_is_put_out(
    store: PostgresStore, session: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had locked is free then, and it is told so."""
    monkeypatch.setattr(connection, "_CALL_S", 1)

    def hang(db: Transaction) -> None:
        db.execute("SELECT 1 FROM session FOR UPDATE")
        with closing(PostgresStore(url)) as mine:
            claimed(mine, session, want(1))  # waits for the session's row, and gets it
        db.execute("SELECT 1")

    with pytest.raises(StoreUnavailable):
        store._pg.change(hang)
    assert len(store.held(session.id)) == 1


# Whose schema it is


def test_a_newer_schema_is_left_alone(store: Store, url: str) -> None:
    """An older hostagent refuses and says what to do."""
    with psycopg.connect(url) as pg:
        pg.execute("UPDATE meta SET v='999' WHERE k IN ('schema', 'oldest')")
    for read_only in (True, False):
        with pytest.raises(StoreError, match="newer hostagent") as raised:
            open_store(url, read_only=read_only)
        assert (raised.value.hint or "").startswith("upgrade hostagent on this host")


def test_views_of_an_extension_make_no_other_program(url: str) -> None:
    """pg_stat_statements, say, is created where the tables are to be."""
    with psycopg.connect(url) as pg:
        pg.execute("CREATE VIEW statements AS SELECT 1 AS calls")
    with closing(PostgresStore(url)) as store:
        assert store.specs() == []


@pytest.mark.parametrize(
    "made_by", ["CREATE TABLE foo (x int)", "CREATE TABLE meta (k text, v text)"]
)
def test_the_schema_of_another_program_is_refused(url: str, made_by: str) -> None:
    """No table of ours is added."""
    with psycopg.connect(url) as pg:
        pg.execute(made_by)
    for read_only in (True, False):
        with pytest.raises(StoreError, match="another program"):
            open_store(url, read_only=read_only)
    with psycopg.connect(url) as pg:
        tables = (
            "SELECT count(*) FROM information_schema.tables WHERE table_schema=current_schema()"
        )
        assert pg.execute(tables).fetchone() == (1,)


def test_reading_writes_nothing(url: str) -> None:
    """Not even a schema; the error says what to do."""
    with pytest.raises(StoreError, match="not set up") as raised:
        open_store(url, read_only=True)
    assert raised.value.hint == "run: hostagent store init"
    open_store(url).close()
    with closing(open_store(url, read_only=True)) as reader:
        assert reader.cursors() == []
        with pytest.raises(StoreError, match="read only"):
            reader.prune(t(9))
        with pytest.raises(StoreError, match="read only"):
            reader.claim(Session("s", "one", "boot-1"), [want(1)])


def test_the_schema_says_its_version(store: PostgresStore) -> None:
    """For the next hostagent."""
    assert store._pg.read("SELECT v FROM meta WHERE k='schema'") == [{"v": str(VERSION)}]


def test_another_encoding_is_refused() -> None:
    """Names and reports are Unicode."""
    SERVER.run(
        "CREATE DATABASE latin ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc "
        "TEMPLATE template0"
    )
    with pytest.raises(StoreError, match="encoding is SQL_ASCII"):
        open_store(SERVER.url(schema="public", dbname="latin"))


def test_a_role_that_may_make_nothing_will_do(store: PostgresStore, session: Session) -> None:
    """Once the owner has set the store up."""
    schema = store._pg.read("SELECT current_schema() AS name")[0]["name"]
    SERVER.run("CREATE ROLE guest LOGIN")
    SERVER.run(f"GRANT USAGE ON SCHEMA {schema} TO guest")
    rights = "SELECT, INSERT, UPDATE, DELETE"
    SERVER.run(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO guest")
    with closing(open_store(SERVER.url(schema=schema, user="guest"))) as guest:
        ran(guest, session, want(1))
        guest.beat(session)
        assert guest.register([job("c")], [], t(9), remove_others=False) == ["c"]
    empty = SERVER.new_schema()
    SERVER.run(f"GRANT USAGE ON SCHEMA {empty} TO guest")
    with pytest.raises(StoreError, match="permission denied for schema") as raised:
        open_store(SERVER.url(schema=empty, user="guest"))
    assert "hostagent store init" in (raised.value.hint or "")
    SERVER.run("DROP OWNED BY guest; DROP ROLE guest")


# Secrets


SECRET = "pa55%2Fword"
URLS = [
    f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    f"postgresql://me:{SECRET}@127.0.0.1:notaport/db",
    f"postgresql://me:{SECRET}@[::1/db",
    f"postgresql://127.0.0.1:1/db?password={SECRET}",
    f"postgresql://127.0.0.1:1/db?pasword={SECRET}",
    f"postgresql://me:{SECRET}@127.0.0.1:1/db?sslmode=nonsense",
    f"postgres://me:{SECRET}@127.0.0.1/db",
    f"postgresql:/me:{SECRET}@127.0.0.1/db",
    f"mysql://127.0.0.1/db?password={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_no_password_is_shown(url: str) -> None:
    """In no message, no hint, and no error that led to it."""
    with pytest.raises(HostagentError) as raised:
        open_store(url)
    error: BaseException | None = raised.value
    while error is not None:
        told = f"{error!r} {getattr(error, 'hint', '')}"
        assert not re.search("pa55|word", told), told
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_url_that_libpq_does_not_understand_is_bad_input() -> None:
    """The hint says how to write one."""
    with pytest.raises(InputError) as raised:
        open_store("postgresql://127.0.0.1/db?no_such=1")
    assert "postgresql://USER@HOST/DATABASE" in (raised.value.hint or "")


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A server that asks the role ``guarded`` for its password."""
    hba = SERVER.place / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"local all guarded scram-sha-256\n{before}")
    SERVER.run("CREATE ROLE guarded LOGIN PASSWORD 'open sesame'")
    SERVER.control("reload")
    yield SERVER.place
    hba.write_text(before)
    SERVER.control("reload")
    SERVER.run("DROP OWNED BY guarded; DROP ROLE guarded")


def test_the_password_may_come_from_elsewhere(
    guarded: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of libpq's, a service file, or a systemd credential; else it says what is missing."""
    schema = SERVER.new_schema()
    SERVER.run(f"GRANT ALL ON SCHEMA {schema} TO guarded")
    url = SERVER.url(schema=schema, user="guarded")
    with pytest.raises(StoreUnavailable, match="no password"):
        open_store(url)
    file = place / "pgpass"
    file.write_text("*:*:*:guarded:open sesame\n")
    file.chmod(0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(place))
    open_store(url).close()
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    monkeypatch.setenv("PGPASSFILE", str(file))
    open_store(url).close()
    monkeypatch.delenv("PGPASSFILE")
    services = place / "services"
    services.write_text(
        f"[store]\nhost={guarded}\nuser=guarded\ndbname=hostagent\npassword=open sesame\n"
        f"options=-csearch_path={schema}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    open_store("postgresql://?service=store").close()


# Through a pooler


@needs_pooler
def test_through_a_pooler_that_gives_each_transaction_another_connection(place: Path) -> None:
    """PgBouncer in transaction mode: nothing is kept in the server's session."""
    SERVER.run("CREATE DATABASE pooled")
    with Pooler(place, "pooled") as url, closing(open_store(url)) as one:
        one.register([job("a"), job("b")], [], T0)
        with closing(open_store(url)) as two:
            mine = one.open_session("one", "boot-1", ttl=TTL)
            yours = two.open_session("two", "boot-2", ttl=TTL)
            for n in range(1, 21):
                ran(one, mine, want(n))
                ran(two, yours, want(n, "b"))
                one.beat(mine)
            assert [c.token for c in two.cursors()] == [20, 20]
            assert list(in_force(one)) == ["a", "b"]


def test_a_host_that_is_not_there_is_unavailable() -> None:
    """A closed port, a name that resolves to nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for place in (f"127.0.0.1:{port}", "no-such-host.invalid"):
        with pytest.raises(StoreUnavailable):
            open_store(f"postgresql://me@{place}/db")
