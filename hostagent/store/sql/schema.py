"""The versions of the schema, as numbered files; how one is applied is the engine's matter."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

VERSION = 1
"""The number of the last migration."""

TABLES = (
    "meta",
    "session",
    "job_spec",
    "cursor",
    "run",
    "pause",
    "quarantine",
    "decision",
    "audit_log",
)


def migrations(version: int) -> Iterator[tuple[int, str]]:
    """The number and the text of each one after ``version``."""
    files = resources.files("hostagent.store.sql") / "migrations"
    for number in range(version + 1, VERSION + 1):
        (file,) = (f for f in files.iterdir() if f.name.startswith(f"{number:04}_"))
        yield number, file.read_text()
