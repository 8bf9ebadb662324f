"""What is wrong with a schedule that a person wrote."""

from __future__ import annotations

import json


class CalendarError(ValueError):
    """A schedule that cannot be used; ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def quoted(text: str) -> str:
    """The text in quotes, on one line, and cut where it is absurdly long."""
    shown = text if len(text) <= 80 else text[:79] + "…"
    return json.dumps(shown, ensure_ascii=False)
