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
    """An flock(2) on a file beside the database. Whoever dies inside has left it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()

    def close(self) -> None:
        """Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextlib.contextmanager
    def passed(self, patience_s: float) -> Iterator[None]:
        """Alone inside the block.

        Raises:
            StoreUnavailable: others were inside for all of ``patience_s`` seconds.
        """
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._queue_up(patience_s)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _queue_up(self, patience_s: float) -> None:
        """Wait in the kernel's queue. flock(2) knows no timeout, so a thread stands in it.

        A place in the queue that is given up becomes a lock one day: then its file is closed.
        """
        file, decided, ours = self._file, threading.Lock(), threading.Event()
        given_up = False

        def stand() -> None:
            fcntl.flock(file, fcntl.LOCK_EX)
            with decided:
                if given_up:
                    os.close(file)
                ours.set()

        threading.Thread(target=stand, name="gate", daemon=True).start()
        ours.wait(patience_s)
        with decided:
            given_up = not ours.is_set()
        if given_up:
            self._file = self._open()
            raise StoreUnavailable(f"{self._path}: another writer has been at work all the time")

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
