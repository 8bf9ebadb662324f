"""What pydantic found wrong, in the words of jobs.toml and at its place in the file."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hostagent.errors import Problem
from hostagent.spec.files import Document
from hostagent.spec.positions import KeyPath
from hostagent.spec.schema import File, JobTable, NotifyTable, PoolTable, Profile, SystemdTable
from hostagent.spec.values import WrongValueError, did_you_mean, kind_of, nearest, shown

_KINDS = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_ELSEWHERE = {
    "schedule": "calendar",
    "oncalendar": "calendar",
    "when": "calendar",
    "interval": "every",
    "period": "every",
    "cmd": "command",
    "exec": "command",
    "execstart": "command",
    "run": "command",
    "script": "command",
    "cwd": "working_directory",
    "workdir": "working_directory",
    "env": "environment",
    "tz": "timezone",
    "zone": "timezone",
    "persistent": "missed",
    "misfire": "missed",
    "splay": "jitter",
    "randomizeddelaysec": "jitter",
    "host": "hosts",
    "nodes": "hosts",
    "retry": "retries",
    "memory": "memory_max",
    "memory_limit": "memory_max",
    "priority": "lane",
    "queue": "pool",
    "secrets": "credentials",
    "depends_on": "after",
    "requires": "after",
    "profile": "extends",
    "timeout_sec": "timeout",
}


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """One problem for each error, where the value (or the unknown key) stands."""
    return [_problem(details, document) for details in error.errors(include_url=False)]


def path_of(details: ErrorDetails, data: Any) -> KeyPath:
    """The part of the error's location that exists in the file."""
    path: KeyPath = ()
    for part in details["loc"]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            continue  # a step that reading added, such as the table that a plain backoff becomes
        path = (*path, part)
    return path


def _problem(details: ErrorDetails, document: Document) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    path = path_of(details, document.data)
    if kind == "extra_forbidden":
        message, hint = _unknown(path)
        return document.problem(path, message, hint, key=True)
    on_key = details["loc"][-1:] == ("[key]",) or kind == "missing"
    message, hint = _message(details, kind, context, path)
    return document.problem(path, message, hint, key=on_key)


def _message(
    details: ErrorDetails, kind: str, context: dict[str, Any], path: KeyPath
) -> tuple[str, str | None]:
    value = details["input"]
    if isinstance(problem := context.get("error"), WrongValueError):
        return problem.message, problem.hint
    if kind in _KINDS:
        secret = "environment" in path
        what = kind_of(value) if secret or not _is_short(value) else shown(value)
        return f"must be {_KINDS[kind]}, not {what}", _quote_hint(kind, value, secret=secret)
    if kind in _BOUNDS:
        word, name = _BOUNDS[kind]
        return f"must be {word} {context[name]:g}, not {shown(value)}", None
    if kind == "literal_error":
        known = re.findall(r"'(\w+)'", context["expected"])
        listed = " or ".join(f'"{word}"' for word in known)
        guess = did_you_mean(value, known) if isinstance(value, str) else ""
        return f"must be {listed}, not {shown(value)}{guess}", None
    if kind == "missing":
        return f'has no "{details["loc"][-1]}"', None
    if kind == "too_short":
        return "is an empty array", "leave the key out, or name at least one"
    plain = {
        "finite_number": f"must be a finite number, not {shown(value)}",
        "too_long": f"has more than {context.get('max_length')} elements",
    }
    return plain.get(kind, details["msg"][0].lower() + details["msg"][1:]), None


def _is_short(value: Any) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= 60


def _quote_hint(kind: str, value: Any, *, secret: bool) -> str | None:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return 'put it in quotes: "…"' if secret else f'write "{shown(value)}"'
    if kind in {"int_type", "float_type"} and isinstance(value, str) and value.isdecimal():
        return "leave the quotes out"
    if kind == "bool_type":
        return "write true or false, without quotes"
    if kind == "list_type" and isinstance(value, str):
        return f"write [{shown(value)}]"
    return None


def meant(path: KeyPath) -> str | None:
    """The key that an unknown key probably was meant to be."""
    key, known = str(path[-1]), _known(path[:-1])
    elsewhere = _ELSEWHERE.get(key.lower().replace("-", "_"))
    return nearest(key, known) or (elsewhere if elsewhere in known else None)


def _unknown(path: KeyPath) -> tuple[str, str | None]:
    """The message for a key that no table has; a key of another table is told from a typo."""
    key = str(path[-1])
    known = _known(path[:-1])
    guess = meant(path)
    message = f"unknown key {shown(key)}" + (f'; did you mean "{guess}"?' if guess else "")
    if guess:
        return message, None
    if path[:1] == ("job",) and key[:1].isupper():
        return message, f"for a directive of systemd, use [{path[0]}.{path[1]}.systemd.service]"
    if len(path) == 1 and key in JobTable.model_fields:
        return message, f"it belongs in a job: [job.NAME] or [defaults]: {key} = …"
    if len(known) <= 8:
        return message, "known here: " + ", ".join(known)
    return message, None


def _known(table: KeyPath) -> list[str]:
    model: type[BaseModel] = File
    tables: dict[str, type[BaseModel]] = {
        "job": JobTable,
        "profile": Profile,
        "pool": PoolTable,
        "notify": NotifyTable,
    }
    if table and table[-1] == "systemd":
        model = SystemdTable
    elif table and table[-1] == "backoff":
        return ["first", "factor", "most", "steps"]
    elif table and table[0] == "defaults":
        return [k for k in JobTable.model_fields if k not in {"extends", "renamed_from"}]
    elif table:
        model = tables[str(table[0])]
    return list(model.model_fields)
