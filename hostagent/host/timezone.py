"""The time zone of a host: what its wall clock, and so its cron, counts in."""

from __future__ import annotations

from pathlib import Path

_NAMES = "zoneinfo/"


def local_zone(root: Path = Path("/")) -> str | None:
    """The zone's IANA name; None where only its rules are there.

    It is what ``/etc/localtime`` points to, UTC where that is missing (localtime(5)); where it is
    a file of its own, what ``/etc/timezone`` says.
    """
    link = root / "etc/localtime"
    if link.is_symlink():
        _, found, name = str(link.readlink()).partition(_NAMES)
        return name if found else None
    if not link.exists():
        return "UTC"
    try:
        return (root / "etc/timezone").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
