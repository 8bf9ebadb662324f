"""Whom no message reaches (agent.tell.misses)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hostagent.agent.tell.misses import Miss, Misses

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)


def test_what_was_not_taken_in_a_row_is_counted() -> None:
    """With the last time and reason; what is taken ends it."""
    misses = Misses()
    misses.note("mail", AT, "no sendmail")
    misses.note("chat", AT, "")
    misses.note("mail", LATER, "sendmail exited with status 1")
    last = Miss("mail", 2, LATER, "sendmail exited with status 1")
    assert misses.standing(["chat", "mail"]) == [last]
    misses.note("mail", LATER, "")
    assert misses.standing(["chat", "mail"]) == []
    misses.note("mail", LATER, "again")
    assert misses.standing(["mail"]) == [Miss("mail", 1, LATER, "again")]


def test_who_is_no_longer_told_is_not_missed() -> None:
    """By what is deployed."""
    misses = Misses()
    misses.note("mail", AT, "no sendmail")
    assert misses.standing(["chat"]) == []
