"""The exception tree. Every error a person may meet is one of these; anything else is our bug.

HostagentError
├── InputError          what the administrator wrote is wrong          exit 2
└── RefusedError        the system said no                             exit 3
    ├── SystemdError        PID 1 refused or could not be reached
    ├── StoreError          the store refused or holds something unexpected
    │   ├── StoreUnavailable    the store could not be reached in time
    │   └── StoreConflict       the store was changed since it was read
    └── LockedError         another apply is at work
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class HostagentError(Exception):
    """Something went wrong that a person can act on."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file, where it stands and how to mend it.

    ``line`` and ``column`` count from 1; 0 means that the place is not known. ``key`` is the
    dotted path, such as ``job.backup.calendar``.
    """

    path: str
    line: int
    column: int
    key: str
    message: str
    hint: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        key = f" {self.key}:" if self.key else ""
        code = f" [{self.code}]" if self.code else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}:{key} {self.message}{code}{hint}"


class InputError(HostagentError):
    """What the administrator wrote cannot be used; nothing was changed."""

    exit_code = 2

    def __init__(
        self,
        problems: list[Problem] | str,
        hint: str | None = None,
        *,
        warnings: tuple[Problem, ...] = (),
    ) -> None:
        self.warnings = warnings
        if isinstance(problems, str):
            super().__init__(problems, hint)
            self.problems: list[Problem] = []
        else:
            super().__init__("\n".join(map(str, problems)))
            self.problems = problems


class RefusedError(HostagentError):
    """The system said no."""


class SystemdError(RefusedError):
    """PID 1 refused, or could not be reached."""


class StoreError(RefusedError):
    """The store refused, or holds something unexpected."""


class StoreUnavailable(StoreError):  # noqa: N818 -- reads as the state it is, as in the port's contract
    """The store could not be reached in time."""


class StoreConflict(StoreError):  # noqa: N818 -- reads as what happened, as in the port's contract
    """The store was changed since it was read; nothing was written. Read again, then repeat."""


class LockedError(RefusedError):
    """Another apply is at work."""
