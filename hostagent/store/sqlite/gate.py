"""The gate: writers of one file queue up in the kernel, where SQLite's own waiting would starve.

SQLite's busy handler sleeps up to 100 ms and takes no turns: beside seven busy writers one waited
for 2 s, at this gate for 0.14 s (docs/decisions/0301-the-gate.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from hostagent.errors import StoreUnavailable


class Gate:
    """An flock(2) on a file beside the database. Whoever dies inside has left it.

    flock(2) knows no timeout, so a thread stands in the kernel's queue for a caller that must
    wait. A caller that gives up leaves it there for the next one: at most one thread stands,
    however often callers give up. While it stands nobody else asks for the lock on this file,
    for the kernel gives it to the file, not to a thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._change = threading.Condition()  # guards what follows
        self._is_standing = self._is_wanted = self._is_given = False

    def close(self) -> None:
        """Idempotent. A thread that stands in the queue closes the file when it gets its turn."""
        with self._change:
            if self._file >= 0 and not self._is_standing:
                os.close(self._file)
            self._file = -1

    @contextlib.contextmanager
    def passed(self, patience_s: float) -> Iterator[None]:
        """Alone inside the block.

        Raises:
            StoreUnavailable: others were inside for all of ``patience_s`` seconds.
        """
        with self._change:
            if not self._got_at_once() and not self._waited(patience_s):
                raise StoreUnavailable(
                    f"{self._path}: another writer has been at work all the time"
                )
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _got_at_once(self) -> bool:
        if self._is_standing:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _waited(self, patience_s: float) -> bool:
        """Whether the turn came in time."""
        if not self._is_standing:
            threading.Thread(
                target=self._stand, args=[self._file], name="gate", daemon=True
            ).start()
            self._is_standing = True
        self._is_wanted, self._is_given = True, False
        try:
            return self._change.wait_for(lambda: self._is_given, patience_s)
        finally:
            self._is_wanted = False

    def _stand(self, file: int) -> None:
        """Wait for the lock; leave it to who waits for it, or give it back at once."""
        fcntl.flock(file, fcntl.LOCK_EX)
        with self._change:
            self._is_standing = False
            if self._file != file:
                os.close(file)
            elif self._is_wanted:
                self._is_given = True
                self._change.notify()
            else:
                fcntl.flock(file, fcntl.LOCK_UN)
