"""PID 1, or a user's manager, over D-Bus: the one implementation of ``port.Systemd``.

It asks and orders; it decides nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.errors import SystemdError
from hostagent.model import Usage
from hostagent.systemd import fence, read
from hostagent.systemd.bus import (
    MANAGER,
    OBJECT,
    SYSTEMD,
    UNIT,
    AnswerLost,
    Bus,
    BusError,
    arguments,
    error_name,
    is_no_such_unit,
    refusals,
    sentence,
    settings,
    unit_path,
)
from hostagent.systemd.jobs import Jobs
from hostagent.systemd.port import ServiceState, TimerState
from hostagent.systemd.watch import Watch

RELOAD_S = 120
WAIT_S = 120.0
"""How long ``start`` and ``stop`` wait for units that do not end by themselves earlier."""

_ENDED_WELL = {"done", "skipped"}
_RESULTS = {
    "failed": "it failed",
    "timeout": "it took too long",
    "canceled": "it was cancelled by another job",
    "dependency": "a unit that it depends on failed",
    "unknown": f"it has not ended within {WAIT_S:.0f} s",
}


class Manager:
    """See ``port.Systemd`` for what each method promises. One thread only."""

    def __init__(self, user: bool = False) -> None:
        self._user = user
        self._bus = Bus(user, on_open=self._take_references)
        self._refs: dict[str, None] = {}
        self._watch: Watch | None = None
        self._version = 0

    def version(self) -> int:
        """The major version, such as 252."""
        if not self._version:
            with refusals("version"):
                text = self._bus.get(OBJECT, MANAGER, b"Version", b"s").decode()
            found = re.search(r"\d+", text)
            self._version = int(found[0]) if found else 0
        return self._version

    def is_stopping(self) -> bool:
        """See the port."""
        with refusals("state of the system"):
            state: bytes = self._bus.get(OBJECT, MANAGER, b"SystemState", b"s")
        return state == b"stopping"

    def booted_at(self) -> datetime:
        """See the port; a time set since boot does not change it."""
        with refusals("time of boot"):
            microseconds = self._bus.get(OBJECT, MANAGER, b"UserspaceTimestamp", b"t")
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)

    def reload(self) -> None:
        """daemon-reload; returns when it is done (bounded at 120 s)."""
        with _answer_within(RELOAD_S), closing(Bus(self._user)) as bus, refusals("daemon-reload"):
            bus.call("daemon-reload", OBJECT, MANAGER, b"Reload", again=True)

    def start(self, units: Sequence[str], *, no_block: bool = True) -> None:
        """Queue starts one after the other (0.15 ms each); see the port."""
        self._order(b"StartUnit", "start", units, no_block)

    def stop(self, units: Sequence[str], *, no_block: bool = False) -> None:
        """Stop units; unknown ones are skipped."""
        self._order(b"StopUnit", "stop", units, no_block)

    def reset_failed(self, units: Sequence[str]) -> None:
        """Forget failures of units; unknown ones are skipped."""
        for unit in units:
            with refusals(f"reset of {unit}", skip=is_no_such_unit):
                self._manager(b"ResetFailedUnit", b"s", unit)

    def service(self, unit: str) -> ServiceState:
        """The state of a service, all of it about one start."""
        with refusals(f"state of {unit}"):
            return read.service(self._bus, unit, has_memory_peak=self.version() >= 255)

    def timer(self, unit: str) -> TimerState:
        """The state of a timer; elapses of monotonic timers are given in wall time."""
        with refusals(f"state of {unit}"):
            return read.timer(self._bus, unit)

    def loaded(self, pattern: str) -> dict[str, str]:
        """Loaded units matching a glob, with their active state."""
        with refusals(f"list of {pattern}"):
            rows = self._manager(b"ListUnitsByPatterns", b"asas", [], [pattern])
        return {row[0].decode(): row[3].decode() for row in rows or []}

    def memory(self, unit: str) -> int | None:
        """See the port."""
        with refusals(f"memory of {unit}"):
            return read.memory(self._bus, unit)

    def usage(self, unit: str) -> Usage:
        """See the port."""
        with refusals(f"usage of {unit}"):
            return read.usage(self._bus, unit)

    def set_properties(
        self, unit: str, properties: Mapping[str, int], *, runtime: bool = True
    ) -> None:
        """Set uint64 properties of a loaded unit, such as CPUWeight."""
        args = arguments(b"sb", [unit, runtime])
        args += settings((name, b"t", value) for name, value in properties.items())
        with refusals(f"set properties of {unit}"):
            self._bus.call(unit, OBJECT, MANAGER, b"SetUnitProperties", args, again=True)

    def arm_fence(self, deadline_s: float) -> None:
        """See the port; some 8 ms, 2 of them PID 1's."""
        fence.arm(self._bus, deadline_s)

    def disarm_fence(self) -> None:
        """See the port."""
        fence.disarm(self._bus)

    def fence_deadline_s(self) -> float | None:
        """See the port."""
        return fence.deadline_s(self._bus)

    def ref(self, unit: str) -> None:
        """Keep PID 1 from forgetting the unit's last run; twice is once."""
        if unit in self._refs:
            return
        with refusals(f"reference to {unit}"):
            # On the unit, not Manager.RefUnit: this one loads a unit that is not loaded yet.
            self._bus.call(f"reference to {unit}", unit_path(unit), UNIT, b"Ref", again=True)
        self._refs[unit] = None

    def unref(self, unit: str) -> None:
        """Give back a reference; without one, nothing happens."""
        if unit not in self._refs:
            return
        del self._refs[unit]
        with refusals(f"reference to {unit}", skip=_has_no_reference):
            self._bus.call(f"reference to {unit}", unit_path(unit), UNIT, b"Unref", again=True)

    def watch(
        self,
        prefix: str,
        callback: Callable[[str], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> int:
        """See the port; one watch for each Manager, a new one replaces it."""
        if self._watch:
            self._watch.close()

        def everything() -> list[str]:
            return [*self._refs, *self.loaded(f"{prefix}*")]

        self._watch = Watch(self._user, prefix, callback, everything, reloaded)
        return self._watch.fileno()

    def dispatch(self) -> None:
        """Handle what has arrived on the descriptor of ``watch``; calls its callbacks."""
        if self._watch:
            self._watch.dispatch()

    def close(self) -> None:
        """Close the connections, and with them give back all references. Idempotent."""
        if self._watch:
            self._watch.close()
            self._watch = None
        self._refs.clear()
        self._bus.close()

    def _manager(self, method: bytes, signature: bytes, *values: Any) -> Any:
        args = arguments(signature, list(values))
        return self._bus.call(method.decode(), OBJECT, MANAGER, method, args, again=True)

    def _order(self, method: bytes, verb: str, units: Sequence[str], no_block: bool) -> None:
        if no_block:
            _, refused = self._queue(method, verb, units)
        else:
            with Jobs(self._user) as jobs:
                queued, refused = self._queue(method, verb, units)
                results = jobs.wait(queued, self._pending_jobs, WAIT_S)
            refused += [
                f"{verb} of {unit}: " + _RESULTS.get(result, f"the job ended with {result!r}")
                for unit, result in results.items()
                if result not in _ENDED_WELL
            ]
        if refused:
            more = f"; and {len(refused) - 5} more" if len(refused) > 5 else ""
            raise SystemdError("; ".join(refused[:5]) + more)

    def _queue(
        self, method: bytes, verb: str, units: Iterable[str]
    ) -> tuple[dict[str, str], list[str]]:
        """The unit of each queued job's path, and a sentence for each refusal."""
        queued: dict[str, str] = {}
        refused: list[str] = []
        for unit in units:
            try:
                queued[self._queue_one(method, verb, unit)] = unit
            except BusError as error:
                if not (verb == "stop" and is_no_such_unit(error)):
                    refused.append(sentence(f"{verb} of {unit}", error))
        return queued, refused

    def _queue_one(self, method: bytes, verb: str, unit: str) -> str:
        def call(again: bool) -> str:
            args = arguments(b"ss", [unit, "replace"])
            path: bytes = self._bus.call(
                f"{verb} of {unit}", OBJECT, MANAGER, method, args, again=again
            )
            return path.decode()

        if verb != "start":
            return call(again=True)
        try:
            return call(again=False)
        except AnswerLost:
            # Settled by reading: a start that did arrive must not be ordered twice.
            if read.row(self._bus, unit).is_under_way:
                return f"unknown job of {unit}"
            return call(again=False)

    def _pending_jobs(self) -> set[str]:
        return {row[4].decode() for row in self._manager(b"ListJobs", b"") or []}

    def _take_references(self, raw: Any) -> None:
        """A new connection holds none of the old one's references."""
        for unit in self._refs:
            raw.call_method(SYSTEMD, unit_path(unit), UNIT, b"Ref", [])


@contextmanager
def _answer_within(seconds: int) -> Generator[None]:
    """Let connections opened inside wait so long for answers; sd-bus reads it only from here."""
    before = os.environ.get("SYSTEMD_BUS_TIMEOUT")
    os.environ["SYSTEMD_BUS_TIMEOUT"] = f"{seconds}s"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SYSTEMD_BUS_TIMEOUT"]
        else:
            os.environ["SYSTEMD_BUS_TIMEOUT"] = before


def _has_no_reference(error: Exception) -> bool:
    return error_name(error) == "org.freedesktop.systemd1.NotReferenced"
