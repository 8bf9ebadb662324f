"""What only SQLite can get wrong: files, readers, other versions, a full volume, speed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from hostagent.errors import InputError, StoreError, StoreUnavailable
from hostagent.model import Kind, Outcome, Run
from hostagent.store.open import open_store
from hostagent.store.port import Accepted, RunFilter, Session, Store
from hostagent.store.sql.rows import INSERT_RUN, run_values
from hostagent.store.sql.schema import VERSION
from hostagent.store.sqlite import connection
from hostagent.store.sqlite.engine import SqliteStore
from tests.contract.store.builders import HASH, T0, claimed, finish, job, ran, stable_id, t, want
from tests.contract.store.processes import all_of, forked
from tests.contract.store.volumes import fill, needs_root


@pytest.fixture
def file(place: Path) -> Path:
    """Where the database will be."""
    return place / "state.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """A store with the jobs a and b."""
    with closing(open_store(f"sqlite://{file}")) as store:
        store.register([job("a"), job("b")], [], T0)
        yield store


def test_registering_again_writes_no_byte(store: Store, file: Path) -> None:
    """An apply that changes nothing leaves the files as they are."""
    log = file.with_name("state.db-wal")
    before = file.read_bytes(), log.read_bytes()
    store.register([job("a"), job("b")], [], t(9))
    assert (file.read_bytes(), log.read_bytes()) == before


def test_the_files_are_for_root_and_the_group(store: Store, file: Path) -> None:
    """0640, with what SQLite lays beside it."""
    os.umask(os.umask(0))
    assert {path.stat().st_mode & 0o137 for path in file.parent.iterdir()} == {0}


def test_opening_once_more_keeps_the_locks_of_the_first(store: Store, file: Path) -> None:
    """Another program that opens and closes the file then does not take it for unused."""
    open_store(f"sqlite://{file}").close()
    log = file.with_name("state.db-wal").stat().st_ino
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM run').close()"
    subprocess.run([sys.executable, "-c", look, file], check=True)
    assert file.with_name("state.db-wal").stat().st_ino == log
    assert len(store.specs()) == 2


@pytest.mark.parametrize("url", ["sqlite://state.db", "sqlite:state.db", "postgres://x", "/x"])
def test_a_url_of_no_engine_is_bad_input(url: str) -> None:
    """It says what to write."""
    with pytest.raises(InputError) as raised:
        open_store(url)
    assert raised.value.hint


def test_a_name_with_odd_characters_is_that_file(place: Path) -> None:
    """Percent and question mark are decoded once, by us, never by SQLite."""
    with closing(open_store(f"sqlite://{place}/a%20%3F%25%23.db")):
        assert (place / "a ?%#.db").exists()


def test_reading_beside_a_writer_inside_a_transaction(store: Store, file: Path) -> None:
    """A reader waits for nobody and sees what was committed."""
    session = store.open_session("one", "boot-1")
    ran(store, session, want(1))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM run")
    with closing(open_store(f"sqlite://{file}", read_only=True)) as reader:
        assert len(reader.runs(RunFilter())) == 1
    other.execute("ROLLBACK")
    other.close()


def test_reading_what_is_not_there_yet(place: Path, file: Path) -> None:
    """The error says what to do; nothing is made."""
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            open_store(f"sqlite://{file}", read_only=True)
        assert raised.value.hint == "run: hostagent apply"
        file.touch()
    assert list(place.iterdir()) == [file]


@needs_root
@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("group", [False, True])
def test_a_user_who_may_not_open_is_told_who_may(file: Path, read_only: bool, group: bool) -> None:
    """No traceback, whether the directory or only the file is closed to them."""
    with closing(open_store(f"sqlite://{file}")) as store:
        store.register([job()], [], T0)
    file.parent.chmod(0o755 if group else 0o700)

    def attempt(output: int) -> None:
        os.setgid(65534)
        os.setuid(65534)
        try:
            open_store(f"sqlite://{file}", read_only=read_only)
        except StoreError as error:
            os.write(output, f"{error.hint}".encode())

    with forked(attempt) as (_, output):
        assert os.read(output, 200) == b"be root, or a member of the group hostagent"


@needs_root
def test_the_group_reads_while_an_agent_is_up(store: Store, file: Path) -> None:
    """Who may read the file but not write it reads the live store."""
    file.parent.chmod(0o750)
    for path in (file.parent, *file.parent.iterdir()):
        os.chown(path, 0, 65534)

    def attempt(output: int) -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65533)
        reader = open_store(f"sqlite://{file}", read_only=True)
        os.write(output, str(len(reader.cursors())).encode())

    with forked(attempt) as (_, output):
        assert os.read(output, 9) == b"2"


def _as_group_member(read: Callable[[], str], file: Path) -> str:
    """What ``read`` tells to a user who may read the file but make none beside it."""
    file.parent.chmod(0o750)
    for path in (file.parent, *file.parent.iterdir()):
        os.chown(path, 0, 65534)

    def attempt(output: int) -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65533)
        os.write(output, read().encode())

    with forked(attempt) as (_, output):
        return all_of(output)


@needs_root
def test_the_group_reads_while_no_agent_is_up(store: Store, file: Path) -> None:
    """SQLite's files beside it are gone then, and the group may not make them."""
    store.close()
    assert not file.with_name("state.db-wal").exists()

    def read() -> str:
        reader = open_store(f"sqlite://{file}", read_only=True)
        return str([len(reader.cursors()), len(reader.specs())])

    assert _as_group_member(read, file) == "[2, 2]"


@needs_root
def test_the_group_reads_on_when_an_agent_comes_up(store: Store, file: Path) -> None:
    """What is written from then on is seen, also when the writer is gone again."""
    store.close()
    told, tell = os.pipe()
    heard, hear = os.pipe()

    def read() -> str:
        reader = open_store(f"sqlite://{file}", read_only=True)
        seen = []
        for _ in range(3):
            seen.append(len(reader.specs()))
            os.write(hear, b".")
            os.read(told, 1)
        return str(seen)

    def write() -> None:
        os.read(heard, 1)
        with closing(open_store(f"sqlite://{file}")) as agent:
            agent.register([job("c")], [], t(9), remove_others=False)
        os.write(tell, b".")
        os.read(heard, 1)
        agent = open_store(f"sqlite://{file}")
        agent.register([job("d")], [], t(9), remove_others=False)
        os.write(tell, b".")
        os.read(heard, 1)
        agent.close()
        os.write(tell, b".")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert _as_group_member(read, file) == "[2, 3, 4]"
    writer.join(5)


@needs_root
def test_a_store_that_only_an_agent_can_open_is_said_to_be(store: Store, file: Path) -> None:
    """Its log holds what the file does not, and the map of the log is gone."""
    store.close()

    def die(_: int) -> None:
        open_store(f"sqlite://{file}").prune(t(9))

    with forked(die) as (_, output):
        all_of(output)
    file.with_name("state.db-shm").unlink()

    def read() -> str:
        try:
            open_store(f"sqlite://{file}", read_only=True)
        except StoreError as error:
            return str(error.hint)
        return "opened"

    assert _as_group_member(read, file) == "be root, or start hostagent.service"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_schema_is_left_alone(store: Store, file: Path, read_only: bool) -> None:
    """An older hostagent refuses and says what to do."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version=999")
        db.execute("UPDATE meta SET v='999' WHERE k='oldest'")
        db.commit()
    with pytest.raises(StoreError, match="newer hostagent") as raised:
        open_store(f"sqlite://{file}", read_only=read_only)
    assert (raised.value.hint or "").startswith("upgrade hostagent on this host")


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    "made_by",
    [
        "CREATE TABLE foo (x)",
        "PRAGMA application_id=7",
        "PRAGMA journal_mode=WAL; CREATE TABLE a(x)",
    ],
)
def test_the_database_of_another_program_is_refused(
    file: Path, read_only: bool, made_by: str
) -> None:
    """Whatever its version says; no byte and no file of ours is added."""
    with closing(sqlite3.connect(file)) as db:
        db.executescript(f"{made_by}; PRAGMA user_version={VERSION}")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_store(f"sqlite://{file}", read_only=read_only)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_what_is_open_to_read_only_writes_nothing(store: Store, file: Path) -> None:
    """An error of ours, not a bug's traceback."""
    with (
        closing(open_store(f"sqlite://{file}", read_only=True)) as reader,
        pytest.raises(StoreError, match="read only"),
    ):
        reader.prune(t(9))


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_no_database_is_refused(file: Path, read_only: bool) -> None:
    """An error of ours, and the file is left as it is."""
    file.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_store(f"sqlite://{file}", read_only=read_only)
    assert file.read_bytes().startswith(b"something else")


def test_a_remote_file_system_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's -shm is a memory map: two hosts would not share it."""
    out = subprocess.run(["stat", "-f", "-c", "%t", file.parent], capture_output=True, check=True)
    monkeypatch.setitem(connection.REMOTE, int(out.stdout, 16), "a file system of the network")
    with pytest.raises(StoreError, match="a file system of the network"):
        open_store(f"sqlite://{file}")
    assert not file.exists()


def test_a_store_is_used_and_closed_by_other_threads(store: Store) -> None:
    """One thread at a time, whichever it is; closing twice is once."""
    session = store.open_session("one", "boot-1")
    thread = threading.Thread(target=ran, args=(store, session, want(1)))
    thread.start()
    thread.join()
    assert len(store.runs(RunFilter())) == 1
    closer = threading.Thread(target=store.close)
    closer.start()
    closer.join()
    store.close()
    with pytest.raises(StoreError):
        store.cursors()


def test_waiting_for_another_writer_is_bounded(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that hangs is StoreUnavailable to others; once it goes, they get through."""
    monkeypatch.setattr(connection, "_BUSY_S", 0.05)
    session = store.open_session("one", "boot-1")

    def hang(output: int) -> None:
        mine = connection.Connection(file, read_only=False)
        with mine.transaction():
            os.write(output, b".")
            threading.Event().wait()

    with forked(hang) as (_, output):
        os.read(output, 1)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.claim(session, [want(1)])
    monkeypatch.undo()
    claimed(store, session, want(1))


@pytest.fixture
def frozen(store: Store, file: Path) -> Iterator[tuple[int, int]]:
    """A writer that is stopped inside a transaction, and goes on to its end when continued."""

    def freeze(_: int) -> None:
        mine = connection.Connection(file, read_only=False)
        with mine.transaction():
            os.kill(os.getpid(), signal.SIGSTOP)

    with forked(freeze) as (child, output):
        os.waitpid(child, os.WUNTRACED)
        yield child, output


def test_giving_up_often_costs_one_thread(
    store: Store, file: Path, frozen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many calls a frozen writer makes wait in vain; the lock that comes of it is given
    back at once."""
    child, output = frozen
    threads, files = threading.active_count(), len([*Path("/proc/self/fd").iterdir()])
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_BUSY_S", 0.01)
        for _ in range(30):
            with pytest.raises(StoreUnavailable):
                store.prune(t(9))
    assert threading.active_count() <= threads + 1
    assert len([*Path("/proc/self/fd").iterdir()]) <= files + 1
    os.kill(child, signal.SIGCONT)
    all_of(output)
    with closing(open_store(f"sqlite://{file}")) as other:
        other.open_session("two", "boot-1")
    for thread in threading.enumerate():
        if thread.name == "gate":
            thread.join(5)
    assert threading.active_count() == threads
    session = store.open_session("one", "boot-1")
    claimed(store, session, want(1))


def test_who_comes_next_takes_the_place_in_the_queue(
    store: Store, frozen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call gets through as soon as the writer goes on, though another gave up before it."""
    child, _ = frozen
    with monkeypatch.context() as patched:
        patched.setattr(connection, "_BUSY_S", 0.01)
        with pytest.raises(StoreUnavailable):
            store.prune(t(9))
    waker = threading.Timer(0.05, os.kill, (child, signal.SIGCONT))
    waker.start()
    assert store.prune(t(9)) == 0
    waker.join()


@needs_root
def test_a_full_volume_is_unavailable_and_recovers(volume: Path) -> None:
    """What was acknowledged stays readable; with room again the same store goes on."""
    url, filler = f"sqlite://{volume}/state.db", volume / "filler"
    with closing(open_store(url)) as store:
        store.register([job("a")], [], T0)
        session = store.open_session("one", "boot-1")
        for turn in range(3):
            fill(filler)
            told: list[str] = []
            with pytest.raises(StoreUnavailable):
                _claim_for_ever(store, session, turn * 1000, told)
            with closing(open_store(url, read_only=True)) as reader:
                assert {row.run_id for row in reader.runs(RunFilter())} >= set(told)
            filler.unlink()
            for c in store.cursors():
                assert store.finish([finish(c.active)] if c.active else []) in ([], [Accepted()])


def _claim_for_ever(store: Store, session: Session, start: int, told: list[str]) -> None:
    for n in count(start + 1):
        for c in store.cursors():
            store.finish([finish(c.active)] if c.active else [])
        told.append(claimed(store, session, want(n)).run_id)


@needs_root
def test_a_volume_without_room_for_a_store_says_so(volume: Path) -> None:
    """Made again with room, it is a whole store."""
    fill(volume / "filler")
    with pytest.raises(StoreUnavailable):
        open_store(f"sqlite://{volume}/state.db")
    (volume / "filler").unlink()
    with closing(open_store(f"sqlite://{volume}/state.db")) as store:
        assert store.register([job("a")], [], T0) == ["a"]


ROWS = 100_000
JOBS = 1000
FILTERS = [
    RunFilter(limit=50),
    RunFilter(job="job-7"),
    RunFilter(job="job-7", scope="", limit=1),
    RunFilter(job="busy", limit=50),
    RunFilter(job="busy", outcomes=(Outcome.ABANDONED,), limit=50),
    RunFilter(kind=Kind.MANUAL, limit=50),
    RunFilter(kind=Kind.BACKFILL, limit=50),
    RunFilter(outcomes=(Outcome.FAILED,), limit=50),
    RunFilter(outcomes=(Outcome.QUARANTINED, Outcome.ABANDONED), limit=50),
    RunFilter(open_only=True),
    RunFilter(since=t(ROWS - 500)),
    RunFilter(until=t(500), limit=50),
    RunFilter(host="two", limit=50),
    RunFilter(reason="paused", limit=50),
    RunFilter(job="busy", covering=t(50_000)),
    RunFilter(since=t(50_000), until=t(50_500), outcomes=(Outcome.FAILED,)),
    RunFilter(since=t(ROWS - 3600), jobs=frozenset({"busy", "job-7"}), attempts_only=True, limit=9),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """A ledger of 100,000 rows, a third of one busy job's, and 1,000 cursors."""
    file = tmp_path_factory.mktemp("large") / "state.db"
    with closing(SqliteStore(file)) as store:
        store.register([job(f"job-{n}") for n in range(JOBS)], [], T0)
        row = Run("", "", Kind.SCHEDULED, T0, 1, 1, "one", "due", HASH, "s", "boot-1")
        rows = (
            run_values(
                Run(
                    job="busy" if n % 3 == 0 else f"job-{n % JOBS}",
                    scope=row.scope,
                    kind=Kind.MANUAL if n % 20_000 == 7 else row.kind,
                    scheduled_for=t(n),
                    attempt=1,
                    token=n,
                    host=row.host,
                    reason=row.reason,
                    outcome=Outcome.FAILED if n % 10_000 == 9 else Outcome.SUCCEEDED,
                    end_reason="exit 0",
                )
            )
            for n in range(ROWS)
        )
        with closing(sqlite3.connect(file)) as db, db:
            db.executemany(INSERT_RUN, rows)
        yield store


@pytest.mark.parametrize("where", FILTERS, ids=stable_id)
def test_a_long_ledger_is_read_by_an_index(large: SqliteStore, where: RunFilter) -> None:
    """Any question that people ask: in its order of time, so that only one instant is sorted."""
    ((look_up, *more),) = _plans(large, lambda: large.runs(where))
    assert "INDEX" in look_up
    assert all("RIGHT PART OF ORDER BY" in step or "LAST TERM" in step for step in more), more


def test_all_cursors_are_read_by_an_index(large: SqliteStore) -> None:
    """A thousand of them in two queries: each finds its run by its token."""
    assert len(large.cursors()) == JOBS
    for plan in _plans(large, large.cursors):
        (runs,) = (step for step in plan if step.startswith(("SCAN r", "SEARCH r")))
        assert "USING INDEX" in runs


def _plans(store: SqliteStore, call: Callable[[], object]) -> list[list[str]]:
    """The plan of each SELECT that ``call`` makes, as SQLite tells it."""
    assert isinstance(store._db, connection.Connection)
    db, asked = store._db._db, list[str]()
    db.set_trace_callback(asked.append)
    try:
        call()
    finally:
        db.set_trace_callback(None)
    selects = [sql for sql in asked if sql.startswith("SELECT")]
    assert selects
    return [[row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in selects]
