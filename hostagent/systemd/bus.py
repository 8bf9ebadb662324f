"""One connection to PID 1 (or a user's manager) over D-Bus, by pystemd's low-level class.

It mends itself: reads that lose their answer (PID 1 re-executed itself, the bus was restarted)
are asked again; everything else that fails is a ``SystemdError`` with a sentence. pystemd's object
layer is not used, nor even imported: it introspects every object through lxml, and importing it
costs 4 MB and 20 ms (measured).
"""

from __future__ import annotations

import errno
import importlib
import importlib.machinery
import sys
import time
import types
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from hostagent.errors import SystemdError

SYSTEMD = b"org.freedesktop.systemd1"
OBJECT = b"/org/freedesktop/systemd1"
UNITS = b"/org/freedesktop/systemd1/unit/"
MANAGER = b"org.freedesktop.systemd1.Manager"
UNIT = b"org.freedesktop.systemd1.Unit"
SERVICE = b"org.freedesktop.systemd1.Service"
TIMER = b"org.freedesktop.systemd1.Timer"

REOPEN_S = 5.0
"""How long PID 1 or the bus may be away (a re-exec takes 0.2 s) before a call fails."""

_PAUSE_S = 0.05


def _import_low_level() -> tuple[types.ModuleType, types.ModuleType]:
    """``pystemd.dbuslib`` and ``.dbusexc`` without running ``pystemd/__init__.py`` (see above)."""
    if "pystemd" not in sys.modules:
        found = importlib.machinery.PathFinder.find_spec("pystemd")
        if found is None or found.submodule_search_locations is None:
            raise ImportError("pystemd is not installed", name="pystemd")
        bare = types.ModuleType("pystemd")
        bare.__path__ = list(found.submodule_search_locations)
        sys.modules["pystemd"] = bare
        try:
            return _import_low_level()
        finally:
            del sys.modules["pystemd"]  # whoever imports pystemd itself gets all of it
    return (
        importlib.import_module("pystemd.dbuslib"),
        importlib.import_module("pystemd.dbusexc"),
    )


_dbuslib, _dbusexc = _import_low_level()

connection_class: Callable[[bool], Any] = _dbuslib.DBus
"""``DBus(user_mode)``, with ``open``, ``close``, ``call_method``, ``get_property``, ``process``."""
BusError: type[Exception] = _dbusexc.DBusBaseError
arguments: Callable[[bytes, list[Any]], list[Any]] = _dbuslib.apply_signature
_END = (-1, None)  # pystemd's mark for the end of a container

# The call did not reach PID 1, or nobody will ever answer it.
_GONE = (
    _dbusexc.DBusNoReplyError,
    _dbusexc.DBusDisconnectedError,
    _dbusexc.DBusServiceUnknownError,
    _dbusexc.DBusNameHasNoOwnerError,
)
_GONE_ERRNOS = {-errno.ENOTCONN, -errno.ECONNRESET, -errno.EPIPE, -errno.ESHUTDOWN, -errno.EBADF}


class AnswerLost(SystemdError):  # noqa: N818 -- reads as what happened
    """PID 1 or the bus went away during the call: done or not done, nobody knows."""


def is_gone(error: Exception) -> bool:
    """Whether the peer went away, as opposed to answering no."""
    if isinstance(error, _dbusexc.DBusNoReplyError):
        # A time-out has the same name; only a peer that left will never answer.
        return "disconnected" in _text(getattr(error, "err_message", ""))
    return isinstance(error, _GONE) or getattr(error, "errno", 0) in _GONE_ERRNOS


def is_no_such_unit(error: Exception) -> bool:
    """Whether systemd knows no unit of that name."""
    return isinstance(error, _dbusexc.DBusNoSuchUnitError)


def error_name(error: Exception) -> str:
    """The D-Bus name of an error that has no class of its own in pystemd, else empty."""
    return _text(getattr(error, "err_name", ""))


def sentence(what: str, error: Exception) -> str:
    """``start of x.service: Unit x.service is masked.``"""
    return f"{what}: {_text(getattr(error, 'err_message', '')) or error}"


@contextmanager
def refusals(
    what: str, *, skip: Callable[[Exception], bool] = lambda _: False
) -> Generator[None, None, None]:
    """Turn systemd's no into a ``SystemdError``, unless it is one to skip."""
    try:
        yield
    except BusError as error:
        if not skip(error):
            raise SystemdError(sentence(what, error)) from error


def settings(properties: Iterable[tuple[str, bytes, Any]]) -> list[Any]:
    """Properties, each with its type, as the argument ``a(sv)`` of a call."""
    args: list[Any] = [(ord("a"), b"(sv)")]
    for name, kind, value in properties:
        args += [(ord("r"), b"sv"), (ord("s"), name), (ord("v"), kind)]
        args += [*arguments(kind, [value]), _END, _END]
    return [*args, _END]


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def unit_path(unit: str) -> bytes:
    """The object path of a unit: all but letters and digits (a first digit too) as ``_xx``."""
    out = bytearray(UNITS)
    for index, byte in enumerate(unit.encode()):
        plain = (
            chr(byte).isascii() and chr(byte).isalnum() and not (index == 0 and 48 <= byte <= 57)
        )
        out += bytes([byte]) if plain else b"_%02x" % byte
    return bytes(out)


def unit_name(path: bytes) -> str:
    """The inverse of ``unit_path``."""
    first, *rest = path.removeprefix(UNITS).split(b"_")
    return (first + b"".join(bytes([int(p[:2], 16)]) + p[2:] for p in rest)).decode()


class Bus:
    """A connection that is opened on first use and again when it broke. One thread only.

    ``on_open`` is called with the raw connection after each opening, for what hangs on a
    connection: references, subscriptions.
    """

    def __init__(self, user: bool, on_open: Callable[[Any], None] = lambda _: None) -> None:
        self._user = user
        self._on_open = on_open
        self._raw: Any = None
        self._was_open = False

    def raw(self) -> Any:
        """The open connection.

        Raises:
            AnswerLost: the bus was there and cannot be reached now.
            SystemdError: there is no bus, or it refuses us.
        """
        if self._raw is None:
            raw = connection_class(self._user)
            try:
                raw.open()
            except BusError as error:
                # Not opened, so there is nothing to close: pystemd would unref a null bus.
                message = sentence("cannot reach systemd", error)
                raise (AnswerLost if self._was_open else SystemdError)(message) from error
            self._raw, self._was_open = raw, True
            try:
                self._on_open(raw)
            except BusError as error:
                self.close()
                message = sentence("cannot talk to systemd", error)
                raise (AnswerLost if is_gone(error) else SystemdError)(message) from error
        return self._raw

    def call(
        self,
        what: str,
        path: bytes,
        interface: bytes,
        method: bytes,
        args: list[Any] | None = None,
        *,
        again: bool = False,
    ) -> Any:
        """Call a method of systemd's; ``args`` come from ``arguments``.

        ``again`` marks a call that may be repeated: it is, for up to ``REOPEN_S``, when its
        answer is lost.

        Raises:
            AnswerLost: the answer is lost (with ``again``: for all of that time).
            BusError: systemd says no; callers turn it into a sentence or take it as an answer.
        """
        return self._try(
            what, lambda raw: raw.call_method(SYSTEMD, path, interface, method, args).body, again
        )

    def get(self, path: bytes, interface: bytes, name: bytes, kind: bytes) -> Any:
        """A property. Raises as ``call`` does."""
        return self._try(
            name.decode(), lambda raw: raw.get_property(SYSTEMD, path, interface, name, kind), True
        )

    def _try(self, what: str, action: Callable[[Any], Any], again: bool) -> Any:
        give_up_at: float | None = None
        while True:
            try:
                return self._once(what, action)
            except AnswerLost:
                now = time.monotonic()
                give_up_at = give_up_at or now + REOPEN_S
                if not again or now >= give_up_at:
                    raise
            time.sleep(_PAUSE_S)

    def _once(self, what: str, action: Callable[[Any], Any]) -> Any:
        try:
            return action(self.raw())
        except BusError as error:
            if not is_gone(error):
                raise
            if getattr(error, "errno", 0) in _GONE_ERRNOS:
                self.close()  # it is our connection that broke, not PID 1's
            raise AnswerLost(sentence(what, error)) from error

    def close(self) -> None:
        """Close the connection; the next call opens another. Idempotent."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()
