"""Waits until jobs of PID 1 (starts and stops that were ordered) have ended."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from hostagent.systemd.bus import MANAGER, Bus, refusals
from hostagent.systemd.watch import arrived, subscriber

_JOB_REMOVED = (
    b"type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',"
    b"interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
)
_LOOK_AGAIN_S = 5.0


class Jobs:
    """Enter before the jobs are queued, so that no end is missed."""

    def __init__(self, user: bool) -> None:
        self._bus = Bus(user, on_open=subscriber(_JOB_REMOVED))

    def __enter__(self) -> Self:
        self._bus.raw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus.close()

    def wait(
        self, queued: Mapping[str, str], pending: Callable[[], set[str]], at_most_s: float
    ) -> dict[str, str]:
        """The result of each unit's job, ``unknown`` for those that take longer.

        ``queued`` gives the unit of each job's path. ``pending`` lists the paths of all jobs; it
        is asked after 5 s without a signal, in case one was lost (``done`` is then assumed).
        """
        waiting, results = dict(queued), dict.fromkeys(queued.values(), "unknown")
        raw = self._bus.raw()
        readable = select.poll()
        readable.register(raw.get_fd(), select.POLLIN)
        give_up_at = time.monotonic() + at_most_s
        while waiting and (left := give_up_at - time.monotonic()) > 0:
            if not readable.poll(min(left, _LOOK_AGAIN_S) * 1000):
                alive = pending()
                results |= {unit: "done" for job, unit in waiting.items() if job not in alive}
                waiting = {job: unit for job, unit in waiting.items() if job in alive}
            with refusals("wait for jobs"):
                for message in arrived(raw):
                    if message.is_signal(MANAGER, b"JobRemoved"):
                        message.process_reply(False)
                        _, job, _, result = message.body
                        if unit := waiting.pop(job.decode(), None):
                            results[unit] = result.decode()
        return results
