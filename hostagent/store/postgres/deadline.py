"""An end to calls that nobody answers: a server that is frozen holds the connection for ever.

libpq waits for an answer without a limit, statement_timeout needs a server that runs, and TCP's
timeouts one that is gone. So a thread shuts the socket down under a call that takes too long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from time import monotonic


class Deadline:
    """For one connection, whose socket it shares. One call at a time."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._change = threading.Condition()  # guards what follows
        self._until: float | None = None
        self._looks_at = 0.0
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def close(self) -> None:
        """Idempotent; within the block, too."""
        with self._change:
            if not self._is_closed:
                self._is_closed = True
                self._socket.close()
                self._change.notify()

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """The connection is lost when the block takes longer."""
        with self._change:
            self._until = monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
                self._thread.start()
            elif self._until < self._looks_at:
                self._change.notify()
        try:
            yield
        finally:
            with self._change:
                self._until = None

    def _watch(self) -> None:
        with self._change:
            while not self._is_closed:
                left = 1e6 if self._until is None else self._until - monotonic()
                if left <= 0:
                    self._until = None
                    with contextlib.suppress(OSError):
                        self._socket.shutdown(socket.SHUT_RDWR)
                    continue
                self._looks_at = monotonic() + left
                self._change.wait(left)
