"""agent.toml: what is true of this host alone. Read by the daemon, so without pydantic."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from hostagent.errors import InputError, Problem
from hostagent.host.identity import host_name
from hostagent.host.labels import FACTS, is_reserved
from hostagent.host.paths import Paths
from hostagent.model import LABEL, Lane
from hostagent.policy.backlog import DEFAULTS, Limits
from hostagent.policy.hung import HUNG_AFTER
from hostagent.policy.lease import TTL

RETENTION_DAYS = 400
"""A year and a month: this year's runs can be held against last year's."""

LEASE_TTLS = (4, 300)
"""Seconds. Below, one slow answer of the store stops jobs; above, a lost host is missed late."""

HUNG_AFTERS = (4, 86400)
"""Seconds. Below, an agent would look more than once a second."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Host facts. ``store`` is a URL; ``host`` the name that runs are recorded under.

    ``retention`` is how long the ledger keeps what has ended. ``labels`` are those written here;
    ``host.labels.gather`` adds the machine's and those of ``labels_command``. ``lease_ttl`` is
    that of this host's session in a store that several hosts share. A run that stands still for
    ``hung_after`` is shown as ``hung?``. ``gate`` are the constants of the catch-up gate.
    """

    store: str
    host: str
    retention: timedelta
    labels: tuple[str, ...] = ()
    labels_command: tuple[str, ...] = ()
    lease_ttl: timedelta = TTL
    hung_after: timedelta = HUNG_AFTER
    gate: Limits = DEFAULTS


KEYS: dict[str, tuple[type, ...]] = {
    "store": (str,),
    "host": (str,),
    "retention_days": (int,),
    "labels": (list,),
    "labels_command": (list,),
    "lease_ttl": (int, str),
    "hung_after": (int, str),
    "gate": (dict,),
}
KINDS = {
    (str,): "a string",
    (int,): "a whole number",
    (list,): "a list of strings",
    (int, str): "a number of seconds",
    (dict,): "a table",
}

SPANS = {"lease_ttl": LEASE_TTLS, "hung_after": HUNG_AFTERS}

GATE_SPANS = {"settle": (0, 3600), "step": (1, 3600), "pass_for": (0, 86400)}
GATE_NUMBERS = {
    "per_core": (1, 64),
    "cpu_pressure": (0, 100),
    "disk_latency": (100, 10_000),
    "memory_reserve": (0, 90),
    "memory_floor": (0, 100),
    "memory_pressure": (1, 100),
    "memory_full": (1, 100),
}
"""The keys of [gate], with the least and the most of each; spans in seconds."""

_SPAN = re.compile(r"(-?[0-9]{1,6}) ?(s|min|h)?")
_SPAN_UNITS = {"s": 1, "min": 60, "h": 3600}


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
        Problem(str(path), 0, 0, key, message, hint)
        for key, value in data.items()
        for message, hint in _wrong(key, value)
    ]
    gate = data.get("gate")
    for key, value in gate.items() if isinstance(gate, dict) else ():
        problems += [
            Problem(str(path), 0, 0, f"gate.{key}", message, hint)
            for message, hint in _wrong_limit(key, value)
        ]
    if problems:
        raise InputError(problems)
    return AgentConfig(
        store=data.get("store", paths.store_url),
        host=data.get("host") or host_name(),
        retention=timedelta(days=data.get("retention_days", RETENTION_DAYS)),
        labels=tuple(data.get("labels", ())),
        labels_command=tuple(data.get("labels_command", ())),
        lease_ttl=timedelta(seconds=_seconds(data.get("lease_ttl", TTL.seconds))),
        hung_after=timedelta(seconds=_seconds(data.get("hung_after", HUNG_AFTER.seconds))),
        gate=_limits(data.get("gate", {})),
    )


def stores(paths: Paths, settings: AgentConfig) -> tuple[str, str | None]:
    """The URL of this host's own ledger, and that of the store that it shares with others.

    A SQLite store is one host's; beside any other one, the host keeps a ledger of its own.
    """
    if settings.store.startswith("sqlite:"):
        return settings.store, None
    return paths.store_url, settings.store


def _wrong(key: str, value: Any) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a key or its value, each with a hint."""
    if key not in KEYS:
        yield _unknown(key, KEYS)
    elif type(value) not in KEYS[key]:
        yield f"must be {KINDS[KEYS[key]]}, not {type(value).__name__}", None
    elif key == "retention_days" and value < 1:
        yield "must be at least 1", None
    elif key == "labels":
        yield from _wrong_labels(value)
    elif key == "labels_command":
        yield from _wrong_command(value)
    elif key in SPANS:
        yield from _wrong_span(value, SPANS[key])


def _wrong_labels(labels: list[Any]) -> Iterator[tuple[str, str | None]]:
    for index, label in enumerate(labels):
        if not isinstance(label, str) or not LABEL.fullmatch(label):
            yield f"{label!r} is not a label", 'write "name" or "name=value"'
        elif is_reserved(label):
            known = ", ".join(FACTS)
            yield f'"{label}" is the machine\'s to say', f"{known} are labels of every host"
        elif label in labels[:index]:
            yield f'"{label}" stands here twice', None


def _wrong_command(command: list[Any]) -> Iterator[tuple[str, str | None]]:
    if not command or not all(isinstance(word, str) and "\0" not in word for word in command):
        yield "must be a list of strings: a program and its arguments", None
    elif not command[0].startswith("/"):
        yield f'"{command[0]}" is not an absolute path', "the agent has no PATH to find it by"


def _wrong_limit(key: str, value: Any) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a key of [gate]."""
    known = [field.name for field in fields(Limits)]
    if key not in known:
        yield _unknown(key, known)
    elif key == "hold_fresh":
        yield from _wrong_lanes(value)
    elif key in GATE_SPANS:
        if type(value) in {int, str}:
            yield from _wrong_span(value, GATE_SPANS[key])
        else:
            yield f"must be a number of seconds, not {type(value).__name__}", None
    elif type(value) is not int:
        yield f"must be a whole number, not {type(value).__name__}", None
    elif not (bounds := GATE_NUMBERS[key])[0] <= value <= bounds[1]:
        yield f"must be between {bounds[0]} and {bounds[1]}, not {value}", None


def _wrong_lanes(value: Any) -> Iterator[tuple[str, str | None]]:
    if not isinstance(value, list):
        yield f"must be a list of lanes, not {type(value).__name__}", 'write ["bulk"]'
        return
    for index, lane in enumerate(value):
        if lane not in list(Lane):
            yield f"{lane!r} is not a lane", f"known: {', '.join(Lane)}"
        elif lane in value[:index]:
            yield f'"{lane}" stands here twice', None


def _limits(table: Mapping[str, Any]) -> Limits:
    limits: dict[str, Any] = dict(table)
    for key in GATE_SPANS.keys() & table.keys():
        limits[key] = timedelta(seconds=_seconds(table[key]))
    limits["hold_fresh"] = tuple(Lane(lane) for lane in table.get("hold_fresh", ()))
    return replace(DEFAULTS, **limits)


def _unknown(key: str, known: Collection[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(key, known, 1)
    return "unknown key", f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known)}"


def _wrong_span(value: int | str, bounds: tuple[int, int]) -> Iterator[tuple[str, str | None]]:
    least, most = bounds
    try:
        seconds = _seconds(value)
    except ValueError:
        yield f'"{value}" is not a time', 'write for example 15, "15s" or "1min"'
    else:
        if not least <= seconds <= most:
            yield f"must be between {least} s and {most} s, not {seconds} s", None


def _seconds(value: int | str) -> int:
    """Raises ValueError when it says no time."""
    found = _SPAN.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(value)
    return int(found[1]) * _SPAN_UNITS[found[2] or "s"]
