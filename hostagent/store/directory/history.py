"""The log and what comes of it: catching up, appending, loading and making snapshots."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from hostagent.errors import HostagentError, StoreError, StoreUnavailable
from hostagent.store.directory.calls import Call, Record, record
from hostagent.store.directory.clock import Clock
from hostagent.store.directory.log import SHARD, Log, Pruned
from hostagent.store.directory.place import Place, errors, sweep
from hostagent.store.directory.replica import UNSOUND, Replica
from hostagent.store.directory.sessions import Sessions
from hostagent.store.directory.snapshots import Snapshots
from hostagent.store.directory.strict import plain, text_of, value_of
from hostagent.store.port import DEFAULT_BUSY

R = TypeVar("R")

KEPT_RECORDS = 200
KEPT_AGE = timedelta(hours=24)
"""What is younger, or among so many last records, is never pruned."""

_BYTES_A_RECORD = 64 * 1024
"""A snapshot is due after one record for each so many of its bytes: it costs no more than that."""

_BUSY_S = DEFAULT_BUSY.total_seconds()


class History:
    """One process's view of the log: ``by`` is the host's name, for people who look into it.

    Raises:
        StoreError: what is in the directory is none of ours, or of a newer hostagent.
    """

    def __init__(self, place: Place, clock: Clock, by: str, *, read_only: bool) -> None:
        self._place, self._clock, self._by, self._read_only = place, clock, by, read_only
        self._log, self._snapshots = Log(place.log), Snapshots(place.snapshots)
        self._keeper: threading.Thread | None = None
        with errors(place.root):
            self._replica = self._snapshots.load() or Replica()

    def close(self) -> None:
        """Wait for a snapshot that is being written; drop the replica. Idempotent."""
        if self._keeper is not None:
            self._keeper.join()
        self._replica.close()

    def read(self, question: Callable[[Replica], R]) -> R:
        """What the replica answers, as the log is now."""
        with errors(self._place.root), self._sound():
            self._catch_up()
            return question(self._replica)

    def write(
        self,
        call: Call[R],
        refuse: Callable[[datetime], R | None] = lambda _: None,
        *,
        number: int = 0,
    ) -> R:
        """Make the call, in its place among those of all hosts.

        ``refuse`` is asked first, at the time of the call, for an answer that makes it
        needless. A call that would change nothing leaves no record. It is said in version
        ``number``, and so is all that follows, unless others were at a later one already.

        Raises:
            StoreUnavailable: the others were faster all the time, or there is no room, or whether
                it was made is not known.
        """
        self.require_writing()
        call, patience = plain(call), time.monotonic() + _BUSY_S
        with errors(self._place.root), self._sound():
            while time.monotonic() < patience:
                self._catch_up()
                replica, seq = self._replica, self._replica.seq + 1
                with self._log.draft(seq) as draft, replica.trying() as trial:
                    at = self._clock.at(draft.at)
                    if (refusal := refuse(at)) is not None:
                        return refusal
                    answer = trial.make(call, at)
                    if not trial.changed:
                        return answer
                    told = record(seq, replica.nonce, draft.nonce, at, self._by, call)
                    said_in = max(number, replica.format)
                    if self._log.publish(draft, seq, text_of(told, said_in)):
                        trial.keep(draft.nonce, said_in)
                        break
                self._apply(seq)  # by its name: a listing may be older than the lost race
            else:
                raise StoreUnavailable(f"{self._log.root}: others were faster all the time")
        self._keep(seq)
        return answer

    def require_writing(self) -> None:
        """What follows writes.

        Raises:
            StoreError: the store was opened to read only.
        """
        if self._read_only:
            raise StoreError(f"{self._place.root} is open to read only")

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        """What the engine trips over, deep inside, is data that none of us wrote."""
        try:
            yield
        except UNSOUND as error:
            raise StoreError(
                f"{self._place.root} holds what hostagent does not write ({type(error).__name__})",
                "look who can write there",
            ) from error

    def _catch_up(self) -> None:
        while True:
            try:
                found = self._log.following(self._replica.seq)
                for seq in found:
                    self._apply(seq)
            except Pruned:
                self._load()
            else:
                if not found or found[-1] % SHARD:
                    return

    def _apply(self, seq: int) -> None:
        path = self._log.name(seq)
        self._replica.apply(*value_of(Record, self._log.read(seq), path), path)

    def _load(self) -> None:
        """Go on from a snapshot: the records that follow ours are gone."""
        newer = self._snapshots.load()
        if newer is None or newer.seq <= self._replica.seq:
            raise StoreError(f"{self._log.root}: records after {self._replica.seq} are missing")
        self._replica.close()
        self._replica = newer

    # What makes the log short

    def _keep(self, seq: int) -> None:
        """Who wrote a directory's last record sees whether a snapshot is due.

        It is written beside what goes on, from a copy. Nothing depends on it: if it fails, the
        log is longer until the next one.
        """
        if seq % SHARD or (self._keeper is not None and self._keeper.is_alive()):
            return
        last = max(self._snapshots.all(), default=0)
        if seq - last < max(SHARD, self._replica.size() // _BYTES_A_RECORD):
            return
        copy = self._replica.copy()
        self._keeper = threading.Thread(target=self._shorten, args=[copy], name="snapshot")
        self._keeper.start()

    def _shorten(self, replica: Replica) -> None:
        with contextlib.suppress(HostagentError, OSError, sqlite3.Error, *UNSOUND):
            shorten(self._place, replica)
        replica.close()


def shorten(place: Place, replica: Replica) -> None:
    """Write a snapshot of ``replica``, and drop the records and sessions it makes needless.

    Raises:
        OSError: there was no room, or somebody else drops the same.
    """
    log, snapshots = Log(place.log), Snapshots(place.snapshots)
    snapshots.write(replica)
    now = place.now()
    first, *_ = snapshots.all()
    covered = min(first, replica.seq - KEPT_RECORDS)
    for shard in log.shards():
        last = (shard + 1) * SHARD
        if last > covered or not _is_old(log, last, now):
            break
        log.drop(shard)
    for directory in (place.root, place.sessions, place.snapshots):
        sweep(directory, now - KEPT_AGE)
    known = {presence.session.id for presence in replica.sessions()}
    sessions = Sessions(place.sessions)
    for session_id in sessions.all():
        beat = sessions.last(session_id)
        if session_id not in known and (beat is None or beat.at < now - KEPT_AGE):
            sessions.drop(session_id)


def _is_old(log: Log, seq: int, now: datetime) -> bool:
    try:
        told, _ = value_of(Record, log.read(seq), log.name(seq))
    except Pruned:
        return True  # the rest of a directory that somebody began to drop
    return told.at < now - KEPT_AGE
