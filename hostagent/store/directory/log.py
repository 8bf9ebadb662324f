"""The log: numbered records without a gap, each written by one of those who tried.

A record's name is a hard link, the one operation that is a compare-and-swap on every NFS. Its
content is told whole or not at all, so whoever is killed leaves a log that can be read. Names lie
256 to a directory: a listing stays one request however long the log is. A name is opened only
after a listing, or a failed link, has shown it: a client may remember for half a minute that a
name it once looked up does not exist (docs/decisions/0305).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.directory.place import Draft, drafted, linked, numbers, opened, read

SHARD = 256
"""Names in one directory."""


class Pruned(Exception):  # noqa: N818 -- what happened to the records that were asked for
    """What follows is gone: a snapshot holds its result."""


class Log:
    """Numbers begin at 1. One thread at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def following(self, seq: int) -> list[int]:
        """The numbers that follow ``seq`` without a gap, of its directory or the next.

        Empty: ``seq`` is the last. 0 stands for what is before the first.

        Raises:
            Pruned: later ones exist, but not the next one.
            StoreError: ``seq`` itself is gone, and nothing is later: the log went back.
        """
        for _ in range(2):  # a listing may miss what came while it was read, and show what is later
            found = self._following(seq)
            if found is not None:
                return found
        raise Pruned

    def _following(self, seq: int) -> list[int] | None:
        """None: the next one is missing although later ones exist."""
        if seq % SHARD == 0 and seq // SHARD not in self.shards():
            return self._end_at(seq)
        here = set(numbers(_shard(self.root, seq + 1), 12))
        found: list[int] = []
        while seq + len(found) + 1 in here:
            found.append(seq + len(found) + 1)
        if found:
            return found
        if any(number > seq for number in here):
            return None
        return [] if seq in here else self._end_at(seq)

    def _end_at(self, seq: int) -> list[int] | None:
        """The next directory is not there, or empty."""
        if any(shard > seq // SHARD for shard in self.shards()):
            return None
        if seq and not self._is_there(seq):
            raise StoreError(
                f"{self.root} has lost records: {seq} was read before, and is gone",
                "was a backup restored, or is the export not sync? Then restart hostagent.service",
            )
        return []

    def read(self, seq: int) -> bytes:
        """One record that is known to exist.

        Raises:
            Pruned: it has gone meanwhile.
        """
        try:
            return read(self.name(seq)).data
        except FileNotFoundError:
            raise Pruned from None

    @contextlib.contextmanager
    def draft(self, seq: int) -> Iterator[Draft]:
        """A private file for what may become record ``seq``."""
        shard = _shard(self.root, seq)
        if seq % SHARD == 1:  # the first of its directory
            shard.mkdir(mode=0o750, exist_ok=True)
        with drafted(shard) as draft:
            yield draft

    def publish(self, draft: Draft, seq: int, data: bytes) -> bool:
        """Make ``data``, which holds the draft's nonce, record ``seq``; False: another is.

        Raises:
            StoreUnavailable: whether it was written must be settled by reading.
        """
        draft.fill([data])
        name = self.name(seq)
        if not linked(draft.path, name):
            try:
                if read(name).data != data:
                    return False
            except FileNotFoundError:
                raise StoreUnavailable(f"{name} could not be made") from None
        self._refuse_late(seq)
        return True

    def _refuse_late(self, seq: int) -> None:
        """A writer that was frozen for a day may make a name anew that was pruned.

        Pruning goes upwards: while the one before is there, the name had never been taken away.
        """
        is_alone = seq == 1 and self.shards() == [0]
        if not is_alone and not self._is_there(seq - 1):
            raise StoreUnavailable(f"{self.name(seq)} was written too late to be heard")

    def _is_there(self, seq: int) -> bool:
        """Asks the file server, where a listing may be what the client remembers."""
        try:
            opened(self.name(seq)).close()
        except FileNotFoundError:
            return False
        return True

    def shards(self) -> list[int]:
        """The directories, oldest first: number n holds the 256 records after n * 256."""
        return numbers(self.root, 9)

    def drop(self, shard: int) -> None:
        """Remove a directory's records, oldest first, then the directory."""
        directory = _shard(self.root, shard * SHARD + 1)
        for seq in numbers(directory, 12):
            self.name(seq).unlink(missing_ok=True)
        for left in directory.iterdir():  # private files of processes that were killed
            left.unlink(missing_ok=True)
        directory.rmdir()

    def name(self, seq: int) -> Path:
        """Where record ``seq`` is."""
        return _shard(self.root, seq) / f"{seq:012d}"


def _shard(root: Path, seq: int) -> Path:
    return root / f"{(seq - 1) // SHARD:09d}"
