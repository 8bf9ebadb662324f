"""How times, durations and numbers of things stand in sentences: short, exact, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def when(at: datetime) -> str:
    """``2026-11-21 02:00:00Z``, with a fraction only where there is one."""
    text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{text}.{at.microsecond:06d}Z".replace(".000000Z", "Z")


def to_second(at: datetime) -> str:
    """``when``, for people, of what was measured and not scheduled."""
    return when(at.replace(microsecond=0))


def span_text(span: timedelta) -> str:
    """``1h 30min``, ``2d``, ``4.2s``, ``15ms``: two units at most; minus for the past."""
    seconds = span.total_seconds()
    if seconds < 0:
        return f"-{span_text(-span)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s".replace(".0s", "s")
    whole, parts = int(seconds), []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def counted(number: int, what: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def ago(span: timedelta) -> str:
    """``span_text`` for how long something has lasted; never negative."""
    return span_text(max(span, timedelta(0)))
