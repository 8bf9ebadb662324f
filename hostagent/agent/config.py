"""agent.toml: what is true of this host alone. Read by the daemon, so without pydantic."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from datetime import timedelta

from hostagent.errors import InputError, Problem
from hostagent.host.identity import host_name
from hostagent.host.paths import Paths

RETENTION_DAYS = 400
"""A year and a month: this year's runs can be held against last year's."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Host facts. ``store`` is a URL; ``host`` the name that runs are recorded under.

    ``retention`` is how long the ledger keeps what has ended.
    """

    store: str
    host: str
    retention: timedelta


KEYS = {"store": str, "host": str, "retention_days": int}
KINDS = {str: "a string", int: "a whole number"}


def load(paths: Paths) -> AgentConfig:
    """Read agent.toml; a missing file means the defaults.

    Raises:
        InputError: the file cannot be read, or says something that is not known.
    """
    path = paths.agent_toml
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        data = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError([Problem(str(path), 0, 0, "", str(error))]) from error
    problems = [
        Problem(str(path), 0, 0, key, *_wrong(key, value))
        for key, value in data.items()
        if key not in KEYS or type(value) is not KEYS[key]
    ]
    if not problems and data.get("retention_days", 1) < 1:
        problems.append(Problem(str(path), 0, 0, "retention_days", "must be at least 1"))
    if problems:
        raise InputError(problems)
    return AgentConfig(
        store=data.get("store", paths.store_url),
        host=data.get("host") or host_name(),
        retention=timedelta(days=data.get("retention_days", RETENTION_DAYS)),
    )


def _wrong(key: str, value: object) -> tuple[str, str | None]:
    if key in KEYS:
        return f"must be {KINDS[KEYS[key]]}, not {type(value).__name__}", None
    near = difflib.get_close_matches(key, KEYS, 1)
    return "unknown key", f'did you mean "{near[0]}"?' if near else f"known: {', '.join(KEYS)}"
