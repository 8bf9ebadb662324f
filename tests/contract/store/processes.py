"""Other processes, for races and crashes: forked, so that a hundred of them cost little."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def forked(work: Callable[[int], None]) -> Iterator[tuple[int, int]]:
    """``work(output)`` in a process of its own; (its id, what it writes). Killed at the end."""
    output, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(output)
            work(into)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(into)
    try:
        yield child, output
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(output)


def all_of(output: int) -> str:
    """Everything until the writer's end."""
    parts = []
    while part := os.read(output, 65536):
        parts.append(part)
    return b"".join(parts).decode()
