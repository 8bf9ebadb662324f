"""Times and texts as the page has them: local, short, with how far off they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from hostagent.policy.words import ago

NOTHING = "\N{EN DASH}"
"""Where there is nothing to be said."""

WEEK = timedelta(days=6)
"""So far off, a day of the week says which day."""

MOST = 200
"""Characters of one reason; ``hostagent why`` has all of it."""


def moment(at: datetime | None, now: datetime) -> str:
    """``02:00``, ``Fri 02:00``, ``Fri 27 Nov 02:00``, with the year: as much as is needed."""
    if at is None:
        return NOTHING
    local, here = at.astimezone(), now.astimezone()
    if local.date() == here.date():
        return f"{local:%H:%M}"
    if abs(local.date() - here.date()) < WEEK:
        return f"{local:%a %H:%M}"
    return f"{local:%a %d %b %H:%M}" if local.year == here.year else f"{local:%Y-%m-%d %H:%M}"


def relative(at: datetime, now: datetime) -> str:
    """``3h ago`` or ``in 5min``: about."""
    text, *_ = ago(abs(at - now)).split()
    return f"in {text}" if at > now else f"{text} ago"


def named(job: str, scope: str) -> str:
    """``JOB`` or ``JOB@SCOPE``."""
    return f"{job}@{scope}" if scope else job


def shortened(text: str) -> str:
    """No longer than a table bears."""
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def counted(count: int, word: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
