"""The log of hard links by itself: one winner for each number, whatever happens to the writers."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.directory import place as place_module
from hostagent.store.directory.log import SHARD, Log, Pruned
from tests.contract.store.processes import all_of, forked

RACERS = 6
RECORDS = 300  # of each racer: the log spans several directories
KILLS = 40


@pytest.fixture
def log(place: Path) -> Log:
    """An empty log."""
    return Log(place)


def write(log: Log, seq: int, text: str) -> bool:
    """Whether ``text`` became the next record."""
    with log.draft(seq) as draft:
        return log.publish(draft, seq, f"{draft.nonce} {text}".encode())


def grow(log: Log, to: int) -> None:
    """Records up to ``to``."""
    for seq in range(1, to + 1):
        assert write(log, seq, str(seq))


def read_all(log: Log, head: int = 0) -> list[str]:
    """What the records after ``head`` say, in order."""
    texts: list[str] = []
    while found := log.following(head + len(texts)):
        texts += [log.read(seq).decode().partition(" ")[2] for seq in found]
    return texts


def test_a_number_is_given_once(log: Log) -> None:
    """The second who tries it is told so, and nothing of its try is left."""
    assert write(log, 1, "first")
    assert not write(log, 1, "second")
    assert read_all(log) == ["first"]
    assert [path.name for path in log.root.rglob("*") if path.is_file()] == ["000000000001"]


def test_racers_lose_nothing(log: Log) -> None:
    """All that was acknowledged is there once, in the order of each writer; no number is empty."""
    ready, go = os.pipe()

    def race(output: int) -> None:
        os.close(go)
        head = 0
        os.read(ready, 1)
        for n in range(RECORDS):
            while not write(log, head + 1, f"{os.getpid()} {n}"):
                head += len(log.following(head))
            head += 1
            os.write(output, f"{head} {os.getpid()} {n}\n".encode())

    with ExitStack() as racers:
        outputs = [racers.enter_context(forked(race))[1] for _ in range(RACERS)]
        os.close(ready)
        os.close(go)
        won = [line for output in outputs for line in all_of(output).splitlines()]
    told = {int(seq): text for seq, _, text in (line.partition(" ") for line in won)}
    assert read_all(log) == [told[seq] for seq in sorted(told)]
    assert sorted(told) == list(range(1, RACERS * RECORDS + 1))


def test_a_killed_writer_leaves_whole_records(log: Log) -> None:
    """SIGKILL at a random instant: what was acknowledged is there, and the next goes on at once."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    body = "x" * 20_000
    head = 0
    for _ in range(KILLS):

        def work(output: int, head: int = head) -> None:
            os.write(output, b".")
            for seq in range(head + 1, head + 1000):
                assert write(log, seq, body)
                os.write(output, b".")

        with forked(work) as (child, output):
            os.read(output, 1)
            threading.Event().wait(chance.uniform(0, 0.004))
            os.kill(child, signal.SIGKILL)
            acknowledged = len(all_of(output))
        texts = read_all(log, head)
        assert acknowledged <= len(texts) <= acknowledged + 1, f"seed {seed}"
        assert set(texts) <= {body}, f"seed {seed}"
        head += len(texts)
    assert head > KILLS


def test_a_lost_reply_is_no_loss(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that was made although an error came back is known by its content."""
    real = os.link

    def link(source: Path, name: Path) -> None:
        real(source, name)
        real(source, name)  # EEXIST, as the file server answers the repeated request

    monkeypatch.setattr(os, "link", link)
    assert write(log, 1, "mine")
    monkeypatch.undo()
    assert read_all(log) == ["mine"]


def test_an_error_without_a_link_is_in_doubt(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller must settle by reading; the private file is gone, so it cannot come true later."""

    def link(source: Path, name: Path) -> None:
        raise TimeoutError(110, "timed out")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreUnavailable):
        write(log, 1, "mine")
    assert [path for path in log.root.rglob("*") if path.is_file()] == []


def test_directories_of_256_hide_nothing(log: Log) -> None:
    """A reader goes from one to the next, wherever it stands."""
    grow(log, 2 * SHARD + 1)
    assert log.shards() == [0, 1, 2]
    assert read_all(log) == [str(n) for n in range(1, 2 * SHARD + 2)]
    assert log.following(SHARD - 1) == [SHARD]
    assert log.following(SHARD) == list(range(SHARD + 1, 2 * SHARD + 1))
    assert log.following(2 * SHARD + 1) == []


def test_a_directory_made_for_a_record_that_never_came_is_the_end(log: Log) -> None:
    """Its maker was killed."""
    grow(log, SHARD)
    with log.draft(SHARD + 1):
        assert log.following(SHARD) == []
    assert write(log, SHARD + 1, "later")


def test_a_reader_behind_the_pruned_is_told(log: Log) -> None:
    """One within what is left is not."""
    grow(log, 2 * SHARD + 1)
    log.drop(0)
    for seq in (0, 1, SHARD - 1):
        with pytest.raises(Pruned):
            log.following(seq)
    assert len(log.following(SHARD)) == SHARD
    log.drop(1)
    with pytest.raises(Pruned):
        log.following(SHARD)


def test_a_name_of_the_pruned_is_not_won(log: Log) -> None:
    """A writer that was frozen all the while is refused, though its link succeeds."""
    grow(log, 2 * SHARD + 1)
    log.drop(0)
    for seq in (1, 7):
        with pytest.raises((StoreUnavailable, StoreError)):
            write(log, seq, "late")
    assert log.following(SHARD) == list(range(SHARD + 1, 2 * SHARD + 1))


def test_a_log_that_went_back_is_an_error(log: Log) -> None:
    """The file server forgot what it had acknowledged."""
    grow(log, 3)
    (log.root / "000000000" / "000000000003").unlink()
    with pytest.raises(StoreError, match="lost records"):
        log.following(3)


def test_a_listing_that_misses_a_name_is_read_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that come while a directory is read may be shown or not, in any order."""
    grow(log, 3)
    real, calls = place_module.names, Counter[str]()

    def torn(directory: Path) -> list[str]:
        calls["all"] += 1
        return [name for name in real(directory) if calls["all"] > 1 or name != "000000000002"]

    monkeypatch.setattr(place_module, "names", torn)
    assert log.following(1) == [2, 3]
