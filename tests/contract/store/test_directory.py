"""What only the shared directory can get wrong: the log's result, rights, what is hostile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis.stateful import run_state_machine_as_test

from hostagent.errors import InputError, StoreError, StoreUnavailable
from hostagent.model import Outcome, Usage
from hostagent.store.directory import history, snapshots
from hostagent.store.directory.engine import DirectoryStore
from hostagent.store.directory.log import SHARD
from hostagent.store.directory.place import Draft, Place
from hostagent.store.directory.replica import Replica
from hostagent.store.directory.sessions import Sessions
from hostagent.store.open import open_store
from hostagent.store.port import (
    Claimed,
    Decision,
    Over,
    Profile,
    Refusal,
    Refused,
    Renewed,
    RunFilter,
    Session,
)
from tests.contract.store import stateful
from tests.contract.store.builders import HASH, T0, claimed, cursor, finish, job, ran, t, want
from tests.contract.store.processes import all_of, forked
from tests.contract.store.volumes import fill, needs_root

TTL = timedelta(seconds=15)
NONE = timedelta(microseconds=1)


@pytest.fixture
def store(place: Path) -> Iterator[DirectoryStore]:
    """A store with the jobs a and b."""
    with closing(DirectoryStore(place)) as store:
        store.register([job("a"), job("b")], [], T0)
        yield store


@pytest.fixture
def leased(store: DirectoryStore) -> Session:
    """A session that expires in 15 s."""
    return store.open_session("one", "boot-1", ttl=TTL)


def replica_of(store: DirectoryStore) -> list[bytes]:
    """All that a process has made of the log, to the byte."""
    return list(snapshots._lines(store._history.read(lambda replica: replica)))


def work(store: DirectoryStore, session: Session, start: int, runs: int) -> None:
    """Two records for each run."""
    for n in range(start, start + runs):
        ran(store, session, want(n))


def numbers_of(place: Path) -> list[int]:
    """The records of which there are snapshots."""
    return sorted(int(path.name) for path in (place / "snapshots").iterdir())


def tree(place: Path) -> set[tuple[str, int, int]]:
    """Every name, with its file and when that was changed."""
    found = ((path, path.lstat()) for path in place.rglob("*"))
    return {(str(path), facts.st_ino, facts.st_ctime_ns) for path, facts in found}


# The log's result


def test_all_who_replay_come_to_the_same(place: Path) -> None:
    """Whatever was called in whatever order: a second process makes the same rows of it."""

    class Machine(stateful.Machine):
        """On this engine; at the end the log is replayed."""

        @staticmethod
        def open_new(place: Path) -> DirectoryStore:
            return DirectoryStore(place)

        def teardown(self) -> None:
            if hasattr(self, "store"):
                assert isinstance(self.store, DirectoryStore)
                with closing(DirectoryStore(self.place, read_only=True)) as other:
                    assert replica_of(other) == replica_of(self.store)
            super().teardown()

    run_state_machine_as_test(Machine, settings=stateful.QUICK)


REPLAY = """
import sys
from contextlib import closing
from pathlib import Path
from hostagent.store.directory import snapshots
from hostagent.store.directory.engine import DirectoryStore
with closing(DirectoryStore(Path(sys.argv[1]), read_only=True)) as store:
    store.cursors()
    sys.stdout.buffer.writelines(snapshots._lines(store._history._replica))
"""


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_no_order_of_python_s_own_shows(store: DirectoryStore, place: Path, seed: str) -> None:
    """Sets of texts have another order in each process; the rows have not."""
    names = [f"job-{n}" for n in range(20)]
    store.register([job(name, scopes=("", "eu", "us")) for name in names], [], t(1))
    session = store.open_session("one", "boot-1")
    for name in names[5:]:
        claimed(store, session, want(2, name, "eu"))
    store.register([job(f"new-{name}", renamed=name) for name in names[:10]], [], t(3))
    store.note(Decision(name, "eu", t(4), "held", "no room") for name in names)
    command = [sys.executable, "-c", REPLAY, str(place)]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout.splitlines(keepends=True) == replica_of(store)


def test_what_would_change_nothing_leaves_no_record(store: DirectoryStore, leased: Session) -> None:
    """Refusals, repetitions, reads, beats: answered by the replica."""
    run = ran(store, leased, want(1))
    before = sorted((store._place.log).rglob("*"))
    store.claim(leased, [want(1)])
    store.finish([finish(run), finish(run, Outcome.FAILED)])
    store.register([job("a"), job("b")], [], t(9))
    store.beat(leased, profile=Profile())
    store.attach("a", "", run.token, "1f", t(9))
    store.open_session("one", "boot-1", leased.id, ttl=TTL)
    assert sorted((store._place.log).rglob("*")) == before


def test_a_lost_reply_is_one_claim(
    store: DirectoryStore, leased: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is told to have failed; the call knows its record."""
    real = os.link

    def link(source: Path, name: Path) -> None:
        real(source, name)
        raise FileExistsError(17, "exists")

    monkeypatch.setattr(os, "link", link)
    run = claimed(store, leased, want(1))
    monkeypatch.undo()
    assert store.held(leased.id) == [run]
    assert cursor(store).token == 1


def test_a_call_in_doubt_is_settled_by_reading(
    store: DirectoryStore, leased: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reply, and no record to be seen: unavailable; nothing of it comes true later."""

    def link(source: Path, name: Path) -> None:
        raise TimeoutError(110, "timed out")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreUnavailable):
        store.claim(leased, [want(1)])
    monkeypatch.undo()
    assert store.held(leased.id) == []
    assert claimed(store, leased, want(1)).token == 1


def test_who_loses_every_race_is_told(
    store: DirectoryStore, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience of a call is bounded."""
    with closing(DirectoryStore(place)) as other:
        real = DirectoryStore.prune
        turns = count(1)

        def link(source: Path, name: Path) -> None:
            monkeypatch.undo()
            real(other, t(next(turns)))
            monkeypatch.setattr(os, "link", link)
            raise FileExistsError(17, "exists")

        monkeypatch.setattr(history, "_BUSY_S", 0.05)
        monkeypatch.setattr(os, "link", link)
        with pytest.raises(StoreUnavailable, match="faster"):
            store.prune(t(100_000))


# Snapshots, and what they make needless


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept for its age."""
    monkeypatch.setattr(history, "KEPT_AGE", timedelta(0))


def settle(store: DirectoryStore) -> None:
    """Wait for a snapshot that is being written."""
    if store._history._keeper is not None:
        store._history._keeper.join()


@pytest.mark.usefixtures("short")
def test_a_reader_that_lags_behind_goes_on_from_a_snapshot(
    store: DirectoryStore, leased: Session, place: Path
) -> None:
    """It comes to the same rows as who saw every record; so does who opens later."""
    with closing(DirectoryStore(place)) as lagging:
        assert lagging.runs(RunFilter()) == []
        for start in range(1, 5 * SHARD // 2, SHARD // 2):
            work(store, leased, start, SHARD // 2)
            settle(store)
        assert len(numbers_of(place)) == snapshots.KEPT
        assert min(store._history._log.shards()) > 1
        assert replica_of(lagging) == replica_of(store)
        ran(lagging, leased, want(10_000))
    with closing(DirectoryStore(place, read_only=True)) as later:
        assert replica_of(later) == replica_of(store)
        assert len(later.runs(RunFilter())) == 5 * SHARD // 2 + 1


def test_the_log_of_a_day_is_kept(store: DirectoryStore, leased: Session) -> None:
    """However long it is."""
    for start in range(1, 2 * SHARD, SHARD // 2):
        work(store, leased, start, SHARD // 2)
        settle(store)
    assert store._history._log.shards() == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("short")
def test_sessions_that_are_over_leave_no_directory(store: DirectoryStore, place: Path) -> None:
    """Nor do those that were killed while they opened; those that are live or hold claims do."""
    held = store.open_session("held", "boot-1", ttl=NONE)
    store.beat(held, ttl=TTL)
    claimed(store, held, want(1))
    store.close_session(held)
    over = store.open_session("one", "boot-1")
    live = store.open_session("one", "boot-1")
    Sessions(place / "sessions").begin("0" * 32, TTL)
    assert len(Sessions(place / "sessions").all()) == 4
    store._history.read(lambda replica: history.shorten(store._place, replica))
    assert {*Sessions(place / "sessions").all()} == {held.id, live.id}
    assert store.beat(over) == Over()


def test_a_snapshot_is_due_by_its_size(
    store: DirectoryStore, leased: Session, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large ledger is not written anew every few minutes."""
    monkeypatch.setattr(Replica, "size", lambda _: (SHARD + 1) * history._BYTES_A_RECORD)
    work(store, leased, 1, SHARD // 2)
    settle(store)
    assert numbers_of(place) == []
    work(store, leased, 1000, SHARD // 2)
    settle(store)
    assert numbers_of(place) == [2 * SHARD]


@pytest.mark.usefixtures("short")
def test_what_a_killed_writer_left_is_removed(store: DirectoryStore, place: Path) -> None:
    """Private files, once nobody can need them."""

    def die(output: int) -> None:
        for directory in (place, place / "snapshots"):
            Draft(directory).fill([bytes(1000)])
        os.write(output, b".")

    with forked(die) as (_, output):
        all_of(output)
    left = [*place.rglob(".t*")]
    assert len(left) == 2
    store._history.read(lambda replica: history.shorten(store._place, replica))
    assert [*place.rglob(".t*")] == []


def test_equal_values_are_written_in_one_way(store: DirectoryStore, leased: Session) -> None:
    """A 1 for a 1.0, a list for a tuple: what a caller is careless with, others can read."""
    run = claimed(store, leased, want(1))
    odd = replace(finish(run).end, usage=Usage(cpu_s=1))
    store.finish([replace(finish(run), end=odd)])
    store.register([replace(job("a"), scopes=["", "x"]), job("b")], [], t(9))  # type: ignore[arg-type]
    with closing(DirectoryStore(store._place.root)) as other:
        assert replica_of(other) == replica_of(store)


# Sessions


def test_a_revocation_that_was_not_recorded_is_finished_by_the_next(
    store: DirectoryStore, place: Path
) -> None:
    """The revoker was killed between its two steps: the session is over for everybody already."""
    session = store.open_session("two", "boot-1", ttl=TTL)
    assert Sessions(place / "sessions").revoke(session.id, 0)
    (seen,) = store.sessions()
    assert not seen.is_live
    assert store.beat(session, ttl=TTL) == Over()
    assert store.claim(session, [want(1)]) == [Refused(Refusal.SESSION)]
    assert store.revoke(session.id, 0)
    assert store.sessions() == []
    assert store.open_session("two", "boot-1", session.id) != session


def test_a_session_whose_directory_is_gone_is_over(store: DirectoryStore, place: Path) -> None:
    """Somebody took it away: it can beat no more, and may be revoked."""
    session = store.open_session("two", "boot-1", ttl=TTL)
    shutil.rmtree(place / "sessions" / session.id)
    assert [seen.has_expired for seen in store.sessions()] == [True]
    assert store.beat(session) == Over()
    assert store.claim(session, [want(1)]) == [Refused(Refusal.SESSION)]
    assert store.revoke(session.id, 0)
    assert store.sessions() == []


@pytest.mark.parametrize("turn", range(20))
def test_of_a_beat_and_a_revocation_one_is_heard(
    store: DirectoryStore, place: Path, turn: int
) -> None:
    """A revoked session neither beats nor claims; one that has beaten was not revoked."""
    session = store.open_session("two", "boot-1", ttl=NONE)
    ready, go = os.pipe()

    def beat(output: int) -> None:
        os.close(go)
        mine = DirectoryStore(place)
        os.read(ready, 1)
        answer = mine.beat(session, ttl=TTL)
        os.write(output, b"over" if answer == Over() else b"renewed")

    def revoke(output: int) -> None:
        os.close(go)
        mine = DirectoryStore(place)
        os.read(ready, 1)
        os.write(output, b"revoked" if mine.revoke(session.id, 0) else b"no")

    with forked(beat) as (_, beats), forked(revoke) as (_, revokes):
        os.close(ready)
        os.close(go)
        told = all_of(beats), all_of(revokes)
    assert told in {("over", "revoked"), ("renewed", "no")}
    may = isinstance(store.claim(session, [want(1)])[0], Claimed)
    assert may == isinstance(store.beat(session), Renewed) == (told[0] == "renewed")


# A full volume


def run_until_refused(store: DirectoryStore, session: Session, start: int, told: list[str]) -> None:
    """What was acknowledged is added to ``told``."""
    for n in count(start + 1):
        told.append(ran(store, session, want(n)).run_id)  # noqa: PERF401 -- it never ends well


@needs_root
def test_a_full_volume_stops_claims_but_no_beats(volume: Path) -> None:
    """What was acknowledged stays; with room again the same store goes on."""
    filler = volume / "filler"
    with closing(DirectoryStore(volume)) as store:
        store.register([job("a")], [], T0)
        session = store.open_session("one", "boot-1", ttl=TTL)
        for turn in range(3):
            fill(filler)
            told: list[str] = []
            with pytest.raises(StoreUnavailable):
                run_until_refused(store, session, turn * 1000, told)
            before = store.now()
            answer = store.beat(session)
            assert isinstance(answer, Renewed)
            assert answer.now > before
            with closing(DirectoryStore(volume, read_only=True)) as reader:
                assert {row.run_id for row in reader.runs(RunFilter())} >= set(told)
            filler.unlink()
            for run in store.held(session.id):
                store.finish([finish(run)])


# Who may read and write


def test_reading_writes_nothing(store: DirectoryStore, leased: Session, place: Path) -> None:
    """Not even a file to ask for the time; what would write says no."""
    claimed(store, leased, want(1))
    before = tree(place)
    with closing(DirectoryStore(place, read_only=True)) as reader:
        assert len(reader.cursors()) == 2
        assert [seen.claims for seen in reader.sessions()] == [1]
        reader.now()
        for call in (
            lambda: reader.claim(leased, [want(2)]),
            lambda: reader.open_session("two", "boot-1"),
            lambda: reader.beat(leased),
            lambda: reader.revoke(leased.id, 0),
            lambda: reader.prune(t(9)),
        ):
            with pytest.raises(StoreError, match="read only"):
                call()
    assert tree(place) == before


def test_reading_what_is_not_there_yet(place: Path) -> None:
    """The error says what to do; nothing is made."""
    with pytest.raises(StoreError) as raised:
        DirectoryStore(place, read_only=True)
    assert raised.value.hint == "mount it, or run: hostagent apply"
    assert list(place.iterdir()) == []


def test_a_directory_that_is_not_there_may_come(place: Path) -> None:
    """It is never made: where it is mounted later, two stores would come of it."""
    with pytest.raises(StoreUnavailable):
        DirectoryStore(place / "unmounted")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("url", ["dir://host/x", "dir:x", "dir://"])
def test_a_url_that_names_no_directory_is_bad_input(url: str) -> None:
    """An absolute path, and no host."""
    with pytest.raises(InputError) as raised:
        open_store(url)
    assert raised.value.hint


def test_the_files_are_for_root_and_the_group(store: DirectoryStore, place: Path) -> None:
    """0640, and 0750 for directories."""
    store.open_session("one", "boot-1")
    modes = {path.stat().st_mode & 0o7777 for path in place.rglob("*") if path.is_file()}
    assert modes == {0o640}
    assert {path.stat().st_mode & 0o7777 for path in place.rglob("*") if path.is_dir()} == {0o750}


def _world_writable(place: Path) -> None:
    place.chmod(0o777)


def _another_s(place: Path) -> None:
    os.chown(place, 12345, 12345)


def _another_s_log(place: Path) -> None:
    (place / "log").mkdir()
    os.chown(place / "log", 12345, 12345)


def _log_elsewhere(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "log").symlink_to(place / "elsewhere")


def _file(place: Path) -> None:
    place.rmdir()
    place.touch()


@needs_root
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    "lay", [_world_writable, _another_s, _another_s_log, _log_elsewhere, _file]
)
def test_what_others_could_have_laid_out_is_refused(
    place: Path, lay: Callable[[Path], None], read_only: bool
) -> None:
    """Before anything in it is read."""
    root = place / "root"
    root.mkdir()
    lay(root)
    with pytest.raises(StoreError) as raised:
        DirectoryStore(root, read_only=read_only)
    assert not isinstance(raised.value, StoreUnavailable)


@pytest.mark.parametrize("number", [1, 95, 38])  # EPERM, EOPNOTSUPP, ENOSYS
def test_no_hard_links_no_store(place: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many SMB, FUSE and object-store mounts have none."""

    def link(source: Path, name: Path) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match="no hard links") as raised:
        DirectoryStore(place)
    assert not isinstance(raised.value, StoreUnavailable)


# What others wrote


def last_record(place: Path) -> tuple[int, dict[str, object]]:
    """The number of the last record and what it says."""
    *_, path = sorted((place / "log").rglob("?" * 12))
    value: dict[str, object] = json.loads(path.read_bytes())["value"]
    return int(path.name), value


def forged(place: Path, call: dict[str, object], **envelope: object) -> bytes:
    """The next record, of this call."""
    seq, before = last_record(place)
    value = {
        "seq": seq + 1,
        "after": before["nonce"],
        "nonce": "f" * 32,
        "at": "2025-03-01T00:00:00Z",
        "by": "x",
    }
    text = {"format": 1, "value": {**value, **call, **envelope}}
    return json.dumps(text, sort_keys=True, separators=(",", ":")).encode()


def planted(place: Path, text: bytes) -> None:
    """Lay it down as the next record."""
    seq, _ = last_record(place)
    (place / "log" / "000000000" / f"{seq + 1:012d}").write_bytes(text)


PRUNE: dict[str, object] = {"prune": {"before": "2025-03-01T00:00:00Z"}}
SESSION = {"id": "0" * 32, "host": "one", "boot_id": "b"}
HOSTILE: dict[str, dict[str, object]] = {
    "no call": {},
    "two calls": {**PRUNE, "resume": {"target": "job", "of": "a"}},
    "an unknown call": {"execute": {"sql": "DROP TABLE run"}},
    "a method that is no call": {"close": {}},
    "an unknown argument": {"prune": {"before": "2025-03-01T00:00:00Z", "sql": "x"}},
    "a missing argument": {"prune": {}},
    "a wrong type": {"prune": {"before": 7}},
    "a number for a text": {"reinstate": {"job": 7, "scope": ""}},
    "a text for a list": {"settle": {"settlements": "abc"}},
    "a list for a call": {"prune": ["2025-03-01T00:00:00Z"]},
    "a time without a zone": {"prune": {"before": "2025-03-01T00:00:00"}},
    "a time said in another way": {"prune": {"before": "2025-03-01T01:00:00+01:00"}},
    "an unknown word": {"resume": {"target": "planet", "of": "earth"}},
    "a number beyond 64 bits": {
        "attach": {
            "job": "a",
            "scope": "",
            "token": 2**70,
            "invocation_id": "",
            "at": "2025-03-01T00:00:00Z",
        }
    },
    "half a surrogate": {"reinstate": {"job": "\ud800", "scope": ""}},
    "a session id that is a path": {"open_session": {**SESSION, "id": "../../x", "profile": {}}},
    "a session id twice": {"open_session": {**SESSION, "profile": {}}},
}


@pytest.mark.parametrize("call", HOSTILE.values(), ids=HOSTILE)
def test_a_record_that_none_of_us_wrote_is_refused(
    store: DirectoryStore, place: Path, call: dict[str, object]
) -> None:
    """One sentence, no traceback; nothing of it is done, and it is not passed over."""
    planted(place, forged(place, call))
    if call is HOSTILE["a session id twice"]:
        planted(place, forged(place, call))
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            store.cursors()
        assert str(place) in str(raised.value)
    with pytest.raises(StoreError):
        store.prune(t(9))
    with suppress(StoreError), closing(DirectoryStore(place)) as other:
        other.cursors()


TEXTS = {
    "nothing": b"",
    "no JSON": b"\x80\x04K\x01.",
    "no object": b"[]",
    "a number": b"7",
    "deep": b"[" * 100_000,
    "deep in a record": b'{"format":1,"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not a number": b'{"format":1,"value":{"seq":NaN}}',
    "a huge number": b'{"format":1,"value":{"seq":' + b"9" * 5000 + b"}}",
    "no format": b'{"value":{}}',
    "an odd format": b'{"format":"1","value":{}}',
    "no value": b'{"format":1}',
    "the null of all": b'{"format":1,"value":null}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_no_record_is_refused(
    store: DirectoryStore, place: Path, text: bytes
) -> None:
    """Whatever it is, for a record, a beat and a snapshot alike."""
    session = store.open_session("one", "boot-1", ttl=TTL)
    (place / "sessions" / session.id / "000000000001").write_bytes(text)
    with pytest.raises(StoreError):
        store.sessions()
    planted(place, text)
    with pytest.raises(StoreError):
        store.cursors()
    (place / "snapshots" / "000000000001").write_bytes(text)
    with pytest.raises(StoreError):
        DirectoryStore(place)


def test_a_file_may_not_lead_elsewhere(store: DirectoryStore, place: Path) -> None:
    """A link, a pipe, a directory: none is followed, none makes a reader wait."""
    name = place / "log" / "000000000" / "000000000002"
    elsewhere = place / "elsewhere"
    elsewhere.write_bytes(forged(place, PRUNE))
    lays: list[Callable[[], object]] = [
        lambda: name.symlink_to(elsewhere),
        lambda: os.mkfifo(name),
        name.mkdir,
    ]
    for lay in lays:
        lay()
        with pytest.raises(StoreError):
            store.cursors()
        name.rmdir() if name.is_dir() else name.unlink()
    assert len(store.cursors()) == 2


def test_a_record_of_a_newer_hostagent_says_so(store: DirectoryStore, place: Path) -> None:
    """An agent that does not know what it means must not go past it."""
    planted(place, forged(place, PRUNE).replace(b'"format":1', b'"format":9'))
    with pytest.raises(StoreError) as raised:
        store.cursors()
    assert (raised.value.hint or "").startswith("upgrade hostagent on this host")


def test_a_record_stands_in_one_history(store: DirectoryStore, place: Path) -> None:
    """One of another place, or of a log that was begun anew, does not follow."""
    for wrong in ({"after": "e" * 32}, {"seq": 7}):
        text = forged(place, PRUNE, **wrong)
        planted(place, text)
        with pytest.raises(StoreError, match="does not follow"):
            store.cursors()
        (place / "log" / "000000000" / "000000000002").unlink()
    shutil.rmtree(place / "log")
    with closing(DirectoryStore(place)) as other:
        other.register([job("c")], [], T0)
        other.register([job("d")], [], T0)
    with pytest.raises(StoreError, match="does not follow"):
        store.cursors()


def test_a_snapshot_with_rows_of_its_own_kind_is_refused(
    store: DirectoryStore, leased: Session, place: Path
) -> None:
    """Wrong types, other tables, missing rows: the log is what counts, if it is whole."""
    claimed(store, leased, want(1))
    store._history.read(lambda replica: history.shorten(store._place, replica))
    (name,) = (place / "snapshots").iterdir()
    sound = name.read_bytes()
    forgeries = [
        sound.replace(b'"table":"cursor"', b'"table":"sqlite_master"'),
        sound.replace(f'"{HASH}"'.encode(), b"7"),
        sound.replace(f'"{HASH}"'.encode(), b"1e999"),
        sound.replace(b'{"lines":', b'{"lines":1'),
        sound[: len(sound) // 2],
        sound.replace(b'"seq":', b'"seq":1'),
        b"\n".join(sorted(sound.splitlines())),
    ]
    shutil.rmtree(place / "log" / "000000000")
    (place / "log").joinpath("000000001").mkdir()
    for text in forgeries:
        assert text != sound
        name.write_bytes(text)
        with pytest.raises(StoreError):
            DirectoryStore(place)
    name.write_bytes(sound)
    with closing(DirectoryStore(place, read_only=True)) as other:
        assert list(snapshots._lines(other._history._replica)) == sound.splitlines(keepends=True)


def test_values_that_no_engine_would_write_are_an_error(store: DirectoryStore, place: Path) -> None:
    """Of the right types, in a snapshot, but no run: reading says so."""
    session = store.open_session("one", "boot-1")
    claimed(store, session, want(1))
    store._history.read(lambda replica: history.shorten(store._place, replica))
    (name,) = (place / "snapshots").iterdir()
    name.write_bytes(name.read_bytes().replace(b'"scheduled"', b'"hourly"'))
    with closing(DirectoryStore(place)) as other, pytest.raises(StoreError, match="does not write"):
        other.runs(RunFilter())


def test_the_clock_is_the_file_server_s(place: Path) -> None:
    """By a file just created, later for each who asks; where it is set back, ours goes with it."""
    store = DirectoryStore(place)
    times = [store.now() for _ in range(200)]
    assert times == sorted(set(times))
    clock = store._clock
    now = Place(place).now()
    assert clock.at(now + timedelta(hours=1)) == now + timedelta(hours=1)
    assert clock.at(now) == now
    assert clock.at(now) > now
    store.close()


def test_a_run_and_its_retry_are_seen_by_another_process(
    store: DirectoryStore, leased: Session, place: Path
) -> None:
    """At the next call: nothing is polled, nothing is remembered."""
    with closing(DirectoryStore(place)) as other:
        run = claimed(store, leased, want(1))
        assert other.held(leased.id) == [run]
        two = other.open_session("two", "boot-2", ttl=TTL)
        assert other.claim(two, [want(2)]) == [Refused(Refusal.ACTIVE, run)]
        store.finish([finish(run, Outcome.FAILED, retry=2)])
        again = claimed(other, two, want(1, attempt=2))
        assert again == replace(again, token=run.token + 1)
        assert store.held(two.id) == [again]
