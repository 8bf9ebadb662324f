"""What we ask of PID 1, and the frozen answers. The one implementation is ``manager.py``.

Callers depend on these types only; ``pystemd`` does not leak past this package. Names are full
unit names. All calls are synchronous, take a few hundred microseconds, and raise
``SystemdError`` when PID 1 refuses or cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from hostagent.model import Usage


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service as PID 1 sees it now, or remembers its last start.

    ``invocation_id`` is that of the last start that got as far as ``ExecCondition=`` (32
    hexadecimal digits, None when PID 1 remembers none). ``started_at`` is when the main process
    was executed, None when it was not (``result`` is then ``exec-condition``, or the start failed
    before it). ``exit_code`` and ``signal`` describe the main process's end.
    """

    name: str
    load_state: str
    active_state: str
    sub_state: str
    result: str
    invocation_id: str | None
    exit_code: int | None
    signal: str | None
    started_at: datetime | None
    ended_at: datetime | None
    condition_result: bool
    job_pending: bool
    usage: Usage

    @property
    def is_running(self) -> bool:
        """The start is under way, the unit is up, or it is being stopped: not yet ended."""
        return self.active_state in {"active", "activating", "deactivating", "reloading"}


@dataclass(frozen=True, slots=True)
class TimerState:
    """A timer. ``sub_state`` is ``running`` exactly while it is starting its service."""

    name: str
    load_state: str
    active_state: str
    sub_state: str
    next_elapse: datetime | None
    last_trigger: datetime | None


class Systemd(Protocol):
    """PID 1, or a user's manager."""

    def version(self) -> int:
        """The major version, such as 252."""

    def booted_at(self) -> datetime:
        """When this PID 1 (or this user's manager) began; the same for as long as it lives."""

    def is_stopping(self) -> bool:
        """Whether the machine (or the user's session) is going down: PID 1 stops everything."""

    def reload(self) -> None:
        """daemon-reload; returns when it is done (bounded at 120 s)."""

    def start(self, units: Sequence[str], *, no_block: bool = True) -> None:
        """Start units; with ``no_block`` return once the jobs are queued, else when they ended.

        All units are tried; what was refused, and without ``no_block`` what failed or has not
        ended within 120 s, is named in one ``SystemdError``. A lost answer is settled by reading
        the unit's state, so a start is not ordered twice.
        """

    def stop(self, units: Sequence[str], *, no_block: bool = False) -> None:
        """Stop units; unknown ones are skipped."""

    def reset_failed(self, units: Sequence[str]) -> None:
        """Forget failures of units; unknown ones are skipped."""

    def service(self, unit: str) -> ServiceState:
        """The state of a service; ``load_state`` is ``not-found`` when there is no such unit."""

    def timer(self, unit: str) -> TimerState:
        """The state of a timer; ``load_state`` is ``not-found`` when there is no such unit."""

    def loaded(self, pattern: str) -> dict[str, str]:
        """Loaded units matching a glob, with their active state."""

    def memory(self, unit: str) -> int | None:
        """Bytes that the unit's processes hold now (MemoryCurrent); None: nobody counts them.

        That is so for a unit that is not up, and where PID 1 has no memory controller.
        """

    def usage(self, unit: str) -> Usage:
        """What the processes of a unit that is up have used since its start; no peak of memory.

        None of what nobody counts: bytes read and written, where PID 1 has no io controller. Of a
        unit that is not up: what it used last, or None.
        """

    def set_properties(
        self, unit: str, properties: Mapping[str, int], *, runtime: bool = True
    ) -> None:
        """Set numeric (uint64) properties of a loaded unit; 2**64 - 1 gives back the default.

        With ``runtime`` until the next boot, such as CPUWeight for a catch-up run.
        """

    def arm_fence(self, deadline_s: float) -> None:
        """Have PID 1 stop all run_on = "one" jobs of this host at ``deadline_s``.

        2 s later it kills what is left of them. It needs nobody for that: not the caller, no
        agent, no bus; and a daemon-reload or daemon-reexec moves nothing. ``deadline_s`` is a time
        of CLOCK_MONOTONIC, which stands still while the host is suspended, as PID 1's timer does:
        whoever counts in CLOCK_BOOTTIME must look at that clock first after a resume, and arm a
        deadline that has passed. Such a one fires at once.

        A fence that stands is moved: the new one stands before the old one is dropped, and where
        the call fails, the old one still does. Idempotent, across processes too. The order of two
        callers at once is not defined. A fence that has fired already is not called off, and arming
        does not wait for it: ``hostagentd-fence@a.service`` (or ``b``, ``c``) is up until the last
        of those jobs is gone. Not for a user's manager, which has no such unit.
        """

    def disarm_fence(self) -> None:
        """Drop every fence that stands; returns when it is gone. Idempotent."""

    def fence_deadline_s(self) -> float | None:
        """When the fence that stands will fire (CLOCK_MONOTONIC), None when none does.

        Whoever armed it: this process or one before it.
        """

    def ref(self, unit: str) -> None:
        """Keep PID 1 from forgetting the unit's last run; lasts as long as this connection."""

    def unref(self, unit: str) -> None:
        """Give back a reference; without one, nothing happens."""

    def watch(
        self,
        prefix: str,
        callback: Callable[[str], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> int:
        """Call back with a unit's name whenever it may have changed; returns a file descriptor.

        ``reloaded`` is called when PID 1 reads all unit files anew: before, after, or both.
        When the descriptor is readable, ``dispatch`` must be called. Signals are hints, state is
        truth: a callback can come late, twice, or (after a reconnect) for nothing.
        """

    def dispatch(self) -> None:
        """Handle what has arrived on the descriptor of ``watch``; calls its callbacks."""

    def close(self) -> None:
        """Close the connections. Idempotent."""
