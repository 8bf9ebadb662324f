"""The names of a job's units, and nothing else: every other module asks here.

``hostagent-NAME.service`` and ``.timer``; with ``for_each``, instances of the templates
``hostagent-NAME@.service`` and ``.timer``, one for each scope. A job's name holds only characters
that unit names may have and never an ``@``, and ``escape`` is injective, so two (job, scope) never
share a unit.
"""

from __future__ import annotations

import string

from hostagent.model import UNIT_PREFIX, Form, Job, Lane, Unit

ROOT_SLICE = "hostagent.slice"

ONCE_TARGET = "hostagentd-once.target"
"""Its stop, which the fence orders, is the stop of every job of run_on = "one"."""

STEM_MAX = 243
"""The longest unit name without suffix, in bytes: ``stamp-STEM.timer`` must be a file's name."""


class TooLongError(ValueError):
    """A unit name that systemd cannot take."""


_PLAIN = frozenset((string.ascii_letters + string.digits + ":_.").encode())


def escape(scope: str) -> str:
    r"""What ``systemd-escape`` makes of ``scope``: ``/`` is ``-``, other odd bytes are ``\xNN``."""
    out = []
    for place, byte in enumerate(scope.encode()):
        if byte == ord("/"):
            out.append("-")
        elif byte in _PLAIN and not (place == 0 and byte == ord(".")):
            out.append(chr(byte))
        else:
            out.append(f"\\x{byte:02x}")
    return "".join(out)


def service_name(job: str, scope: str = "", *, fan_out: bool = False) -> str:
    """The service; with ``fan_out`` (``for_each``) the scope's instance, or for "" the template."""
    return f"{stem(job, scope, fan_out=fan_out)}.service"


def timer_name(job: str, scope: str = "", *, fan_out: bool = False) -> str:
    """The timer; with ``fan_out`` (``for_each``) the scope's instance, or for "" the template."""
    return f"{stem(job, scope, fan_out=fan_out)}.timer"


def stem(job: str, scope: str = "", *, fan_out: bool = False) -> str:
    """A unit's name without its suffix (``%N``). TooLongError when it is too long.

    Without ``fan_out`` the scope (of a ``run_on = "each"`` job, the host) is no part of the name.
    """
    name = f"{UNIT_PREFIX}{job}@{escape(scope)}" if fan_out else f"{UNIT_PREFIX}{job}"
    if len(name) > STEM_MAX:
        raise TooLongError(f"the unit name {name!r} has {len(name)} bytes, {STEM_MAX} are possible")
    return name


def slice_name(lane: Lane) -> str:
    """The slice of a lane, below ``hostagent.slice``."""
    return f"{UNIT_PREFIX}{lane}.slice"


def units_of(job: Job, host: str) -> tuple[Unit, ...]:
    """Where each (job, scope) that ``host`` answers for lives; jobs on_boot have no timer."""
    fan_out = bool(job.for_each)
    return tuple(
        Unit(
            job=job.name,
            scope=scope,
            service=service_name(job.name, scope, fan_out=fan_out),
            timer=timer_name(job.name, scope, fan_out=fan_out) if has_timer(job) else None,
        )
        for scope in job.scopes(host)
    )


def has_timer(job: Job) -> bool:
    """Whether PID 1 wakes the job; what is due at boot is started by the agent alone."""
    return job.schedule.form is not Form.ON_BOOT
