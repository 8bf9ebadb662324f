"""The fence: a timer of PID 1 that fires unless it is moved in time.

It starts ``hostagentd-fence@NAME.service``, which stops the jobs of run_on = "one"
(docs/decisions/0407-the-fence.md). The timers are transient; ``OnStartupSec=`` makes the deadline
an absolute one, which a reload does not move. All that is known about them is read from PID 1, so
any process can go on where another one was killed. When to arm is decided elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from hostagent.errors import SystemdError
from hostagent.systemd import read
from hostagent.systemd.bus import (
    MANAGER,
    OBJECT,
    TIMER,
    AnswerLost,
    Bus,
    BusError,
    arguments,
    error_name,
    is_no_such_unit,
    refusals,
    settings,
    unit_path,
)

_NAMES = ("a", "b", "c")
"""Two take turns; the third is for a fence that stands while another one is still at work."""

_MILLISECOND = 1000
_NEVER = 2**64 - 1
_WAIT_S = 5.0
_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class _Unit:
    active_state: str
    sub_state: str
    job_pending: bool

    @property
    def is_dead(self) -> bool:
        return self.active_state in {"inactive", "failed"} and not self.job_pending


def arm(bus: Bus, deadline_s: float) -> None:
    """See ``port.Systemd.arm_fence``."""
    with refusals("arm the fence"):
        kept = _raise(bus, deadline_s)
        _drop(bus, except_for=kept)


def disarm(bus: Bus) -> None:
    """See ``port.Systemd.disarm_fence``."""
    with refusals("disarm the fence"):
        _drop(bus)


def deadline_s(bus: Bus) -> float | None:
    """See ``port.Systemd.fence_deadline_s``."""
    with refusals("deadline of the fence"):
        standing = _standing(bus, _units(bus))
    return min(standing.values()) / 1e6 if standing else None


def _raise(bus: Bus, deadline_s: float) -> str:
    """Make a timer with that deadline stand, unless one does; returns its name."""
    since = bus.get(OBJECT, MANAGER, b"UserspaceTimestampMonotonic", b"t")
    # PID 1 notes down whole milliseconds for its next reload.
    after = max(int(deadline_s * 1e6) - since, 0) // _MILLISECOND * _MILLISECOND
    for _ in _attempts("arm the fence"):
        units = _units(bus)
        standing = _standing(bus, units)
        for name, at in standing.items():
            if at == since + after:
                return name
        free = [name for name in _NAMES if _is_free(name, units)]
        if free and _start(bus, free[0], after):
            return free[0]
        if not free and len(standing) > 1:
            # Left by callers that were killed. The host is never without the earliest.
            _stop(bus, max(standing, key=lambda name: standing[name]))
    raise AssertionError  # not reached: the attempts end in an error


def _start(bus: Bus, name: str, after: int) -> bool:
    """Whether the timer stands (or has fired already); if not, it may be tried again."""
    unit = _timer(name)
    args = arguments(b"ss", [unit, "replace"])
    args += settings(
        [
            ("Description", b"s", "hostagent, the lease runs out"),
            ("DefaultDependencies", b"b", False),  # it stands while the host shuts down, too
            ("IgnoreOnIsolate", b"b", True),
            ("TimersMonotonic", b"a(st)", [("OnStartupSec", after)]),
            ("AccuracyUSec", b"t", 1),
            ("RemainAfterElapse", b"b", False),
        ]
    )
    args += arguments(b"a(sa(sv))", [[]])
    try:
        bus.call(f"start of {unit}", OBJECT, MANAGER, b"StartTransientUnit", args)
    except AnswerLost:
        return False  # what came of it will be seen
    except BusError as error:
        if error_name(error) == "org.freedesktop.systemd1.UnitExists":
            return False  # PID 1 is about to forget the last one of that name
        raise
    for _ in _attempts(f"start of {unit}"):
        row = _units(bus).get(unit)
        if row is None or row.is_dead:
            service = read.row(bus, _service(name))
            raise SystemdError(
                f"start of {unit}: it did not stand; {_service(name)} is {service.load_state}",
                "hostagent agent install writes the fence's units",
            )
        if row.active_state == "active" and not row.job_pending:
            return True
    raise AssertionError  # not reached: the attempts end in an error


def _drop(bus: Bus, *, except_for: str = "") -> None:
    """Stop all other timers, and wait until they are gone."""
    for _ in _attempts("drop the fence"):
        units = _units(bus)
        up = [name for name in _NAMES if _timer(name) in units and not units[_timer(name)].is_dead]
        if not (others := set(up) - {except_for}):
            return
        for name in others:
            _stop(bus, name)


def _stop(bus: Bus, name: str) -> None:
    args = arguments(b"ss", [_timer(name), "replace"])
    with refusals(f"stop of {_timer(name)}", skip=is_no_such_unit):
        bus.call(f"stop of {_timer(name)}", OBJECT, MANAGER, b"StopUnit", args, again=True)


def _units(bus: Bus) -> dict[str, _Unit]:
    """The fences' timers and services that PID 1 has loaded."""
    args = arguments(b"asas", [[], ["hostagentd-fence@*"]])
    rows = bus.call("list of fences", OBJECT, MANAGER, b"ListUnitsByPatterns", args, again=True)
    return {row[0].decode(): _Unit(row[3].decode(), row[4].decode(), row[7] != 0) for row in rows}


def _standing(bus: Bus, units: dict[str, _Unit]) -> dict[str, int]:
    """When each of the timers that wait will fire, in microseconds."""
    waiting = [n for n in _NAMES if _timer(n) in units and units[_timer(n)].sub_state == "waiting"]
    elapses = {
        name: bus.get(unit_path(_timer(name)), TIMER, b"NextElapseUSecMonotonic", b"t")
        for name in waiting
    }
    return {name: at for name, at in elapses.items() if at != _NEVER}  # fired since it was listed


def _is_free(name: str, units: dict[str, _Unit]) -> bool:
    """Neither its timer is there, nor is its service at work: a second start would be lost."""
    service = units.get(_service(name))
    return _timer(name) not in units and (service is None or service.is_dead)


def _attempts(what: str) -> Iterator[None]:
    """Goes on for a while, then raises."""
    give_up_at = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up_at:
        yield
        time.sleep(_PAUSE_S)
    raise SystemdError(f"{what}: not done within {_WAIT_S:.0f} s")


def _timer(name: str) -> str:
    return f"hostagentd-fence@{name}.timer"


def _service(name: str) -> str:
    return f"hostagentd-fence@{name}.service"
