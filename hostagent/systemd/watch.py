"""Hints from PID 1: which units may have changed.

Signals are hints, state is truth: nothing is read out of a signal but a name. The matches are few
on purpose. ``PropertiesChanged`` of the Unit interface comes for every step of a unit's life, the
last one before PID 1 forgets it. ``UnitRemoved`` is left out: a daemon-reload sends one for every
unit there is; that it is reloading, it says by itself. After a re-exec of PID 1 and after a restart
of the bus everything is reported once.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hostagent.errors import SystemdError
from hostagent.systemd.bus import (
    MANAGER,
    OBJECT,
    SYSTEMD,
    Bus,
    BusError,
    arguments,
    unit_name,
    unit_path,
)

_PROPERTIES = b"org.freedesktop.DBus.Properties"
_DRIVER = b"org.freedesktop.DBus"

_UNIT_CHANGED = (
    b"type='signal',sender='org.freedesktop.systemd1',path_namespace='/org/freedesktop/systemd1/unit',"
    b"interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
    b"arg0='org.freedesktop.systemd1.Unit'"
)
_OWNER_CHANGED = (
    b"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
    b"member='NameOwnerChanged',arg0='org.freedesktop.systemd1'"
)
_RELOADING = (
    b"type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',"
    b"interface='org.freedesktop.systemd1.Manager',member='Reloading'"
)
_BUS_AWAY_S = 0.1


def subscriber(*rules: bytes) -> Callable[[Any], None]:
    """Asks the bus for signals by raw match rules: pystemd's own cannot say ``path_namespace``."""

    def subscribe(raw: Any) -> None:
        for rule in rules:
            raw.call_method(
                _DRIVER, b"/org/freedesktop/DBus", _DRIVER, b"AddMatch", arguments(b"s", [rule])
            )
        raw.call_method(SYSTEMD, OBJECT, MANAGER, b"Subscribe", [])

    return subscribe


def arrived(raw: Any) -> Iterator[Any]:
    """The signals that have arrived; ends with the first thing that is none of ours.

    ``process`` hands back an empty message when there was nothing, or something that sd-bus
    handled itself; in that case the descriptor is still readable and we are called again.
    """
    while not (message := raw.process()).is_empty():
        yield message


class Watch:
    """Calls back with the names of units that may have changed; ``reloaded``, at a daemon-reload.

    The descriptor is an epoll of its own, so it stays the same when the connection does not.
    """

    def __init__(
        self,
        user: bool,
        prefix: str,
        callback: Callable[[str], None],
        everything: Callable[[], Iterable[str]],
        reloaded: Callable[[], None],
    ) -> None:
        self._bus = Bus(user, on_open=subscriber(_UNIT_CHANGED, _OWNER_CHANGED, _RELOADING))
        self._path = unit_path(prefix)
        self._callback = callback
        self._everything = everything
        self._reloaded = reloaded
        self._has_reloaded = False
        self._names: dict[str, None] = {}
        self._report_all = False
        self._connection: Any = None
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Readable when ``dispatch`` has something to do."""
        return self._epoll.fileno()

    def dispatch(self) -> None:
        """Take what arrived, mend the connection if it broke, call back.

        While the bus is away this waits 0.1 s and the descriptor stays readable. An exception of
        the callback passes through; the names behind it are reported by the next call.
        """
        self._quiet()
        try:
            self._collect()
            if self._report_all:
                self._names |= dict.fromkeys(self._everything())
                self._report_all = False
        except SystemdError:
            self._again()
            time.sleep(_BUS_AWAY_S)
        if self._has_reloaded:
            self._has_reloaded = False
            self._reloaded()
        try:
            while self._names:
                name = next(iter(self._names))
                del self._names[name]
                self._callback(name)
        finally:
            if self._names:
                self._again()

    def close(self) -> None:
        """Close everything. Idempotent."""
        self._disconnect()
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._wake)

    def _collect(self) -> None:
        if self._connection is None:
            self._connect()
        try:
            for message in arrived(self._connection):
                if message.is_signal(_PROPERTIES, b"PropertiesChanged"):
                    path = message.get_path()
                    if path.startswith(self._path):
                        self._names[unit_name(path)] = None
                elif message.is_signal(MANAGER, b"Reloading"):
                    self._has_reloaded = True
                elif message.is_signal(_DRIVER, b"NameOwnerChanged"):
                    self._report_all = True
            broken = self._connection.get_fd() < 0
        except BusError:
            broken = True
        if broken or self._report_all:
            # Also for another PID 1 on the same bus: it need not know our subscription.
            self._report_all = True
            self._disconnect()
            self._connect()

    def _connect(self) -> None:
        self._connection = self._bus.raw()
        self._epoll.register(self._connection.get_fd(), select.EPOLLIN)
        self._again()  # what came while we subscribed lies inside sd-bus, not in the socket

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            fd = connection.get_fd()
            if fd >= 0:
                self._epoll.unregister(fd)
        self._bus.close()

    def _again(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _quiet(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
