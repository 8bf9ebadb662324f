"""What is wrong with a schedule that a person wrote."""

from __future__ import annotations


class CalendarError(ValueError):
    """A schedule that cannot be used; ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
