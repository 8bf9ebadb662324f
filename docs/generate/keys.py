"""The keys of jobs.toml for the docs: from the schema, the model's defaults and the examples."""

from __future__ import annotations

import dataclasses
import enum
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from docs.generate.text import wrapped
from hostagent import model
from hostagent.spec import passthrough
from hostagent.spec.schema import Common, json_schema
from hostagent.spec.spans import format_span

CHECKOUT = Path(__file__).parents[2]
GROUPS = {
    "What": "command",
    "When": "calendar",
    "Where": "run_on",
    "Missed": "missed",
    "Again": "retries",
    "Limits": "timeout",
    "Safety": "sandbox",
    "After": "after",
}
"""The first key of each group, in the order of the schema."""

TABLES = {"backoff": "BackoffTable", "pool": "PoolTable", "notify": "NotifyTable"}
IMPLIED = {
    "timezone",
    "jitter",
    "catch_up_window",
    "timeout",
    "cpu_weight",
    "io_weight",
    "grace",
}
"""Keys whose default the model does not hold; their sentence ends with it, in parentheses."""

_BY_EXAMPLE = {
    "90s": "duration",
    "512M": "size",
    "50%": "percentage",
    "2026-12-24T18:00:00": "date and time",
}
_BY_TYPE = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table of texts",
}
_LAST_WORDS = re.compile(r" \(([^()]+)\)\.$")


@dataclasses.dataclass(frozen=True)
class Key:
    """One key as the docs show it."""

    name: str
    kind: str
    default: str
    meaning: str
    example: str


def for_page(group: str) -> str:
    """A group's keys, a heading for each."""
    return "\n\n".join(map(_heading, _of_group(group)))


def for_man(group: str) -> str:
    """A group's keys as a definition list."""
    return "\n\n".join(map(_definition, _of_group(group)))


def table_for_page(name: str) -> str:
    """The keys of another table, a heading for each."""
    return "\n\n".join(map(_heading, _of_table(TABLES[name])))


def table_for_man(name: str) -> str:
    """The keys of another table as a definition list."""
    return "\n\n".join(map(_definition, _of_table(TABLES[name])))


def refused() -> str:
    """The directives that ``[job.NAME.systemd.*]`` does not take, and why."""
    lines = []
    for section, rules in passthrough._REFUSED.items():  # noqa: SLF001 -- the docs are its mirror
        own = passthrough._OWN[section]  # noqa: SLF001 -- as above
        lines += [f"`[job.NAME.systemd.{section}]`", ""]
        lines += [wrapped(f"- {_directives(pattern)}: {why}.", "  ") for pattern, why in rules]
        written = ", ".join(f"`{name}=` (`{key}`)" for name, key in own.items())
        lines += [wrapped(f"- Keys of jobs.toml say it instead: {written}.", "  "), ""]
    return "\n".join(lines)


def _heading(key: Key) -> str:
    default = f" Default: {key.default}." if key.default else ""
    lines = [f"### {key.name}", "", wrapped(f"{key.kind[0].upper()}{key.kind[1:]}.{default}")]
    lines.append(wrapped(key.meaning))
    if key.example:
        lines += ["", f"    {key.example}"]
    return "\n".join(lines)


def _definition(key: Key) -> str:
    default = f"; default: {key.default}" if key.default else ""
    first = wrapped(f":   {key.kind[0].upper()}{key.kind[1:]}{default}.", "    ")
    meaning = key.meaning.replace("*", r"\*")  # a calendar expression, and no emphasis
    return f"`{key.name}`\n{first}\n{wrapped(f'    {meaning}', '    ')}"


def _of_group(group: str) -> Iterator[Key]:
    starts = list(GROUPS.values())
    names = list(Common.model_fields)
    first = names.index(GROUPS[group])
    rest = starts[starts.index(GROUPS[group]) + 1 :]
    last = names.index(rest[0]) if rest else len(names)
    defaults = _defaults(model.Job)
    properties = json_schema()["$defs"]["JobTable"]["properties"]
    for name in [*names[first:last], *(["extends", "renamed_from"] if group == "What" else [])]:
        yield _key(name, properties[name], defaults)


def _of_table(table: str) -> Iterator[Key]:
    defaults = _defaults(model.Backoff) if table == "BackoffTable" else {}
    for name, schema in json_schema()["$defs"][table]["properties"].items():
        yield _key(name, schema, defaults)


def _key(name: str, schema: dict[str, Any], defaults: dict[str, Any]) -> Key:
    meaning, default = schema["description"], ""
    said = _LAST_WORDS.search(meaning)
    if name in IMPLIED:
        assert said, f"the sentence of {name} does not end with its default"
        default = said[1]
    elif defaults.get(name) not in {None, (), ""} and not dataclasses.is_dataclass(defaults[name]):
        default = f"`{_toml(defaults[name])}`"
    if said and said[1] == default.strip('`"').strip('"'):
        meaning = meaning.removesuffix(said[0]) + "."
    return Key(name, _kind(schema), default, meaning, _example(name))


def _defaults(kind: type) -> dict[str, Any]:
    return {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(kind)
    }


def _toml(value: object) -> str:
    if isinstance(value, enum.Enum):
        return json.dumps(value.value)
    if isinstance(value, timedelta):
        return json.dumps(format_span(value))
    return f"{value:g}" if isinstance(value, float) else str(json.dumps(value))


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value in words."""
    if "$ref" in schema:
        many = "duration, array of durations, or table"
        return many if schema["$ref"].endswith("BackoffTable") else "tables"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}s"
    choices = schema.get("anyOf", [schema])
    for choice in choices:
        if choice.get("examples"):
            return _BY_EXAMPLE[choice["examples"][0]]
    words = [_plain(choice) for choice in choices if choice["type"] != "array"]
    many = f", or array of {words[0]}s" if len(words) < len(choices) else ""
    return " or ".join(words) + many


def _plain(schema: dict[str, Any]) -> str:
    kind = schema["type"]
    if isinstance(kind, list):
        words = [_BY_TYPE[each] for each in kind if each != "array"]
        return f"{' or '.join(words)}, or array of them"
    word = _BY_TYPE[kind]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        word += f", {low:g} to {high:,}".replace(",", " ").replace("  ", ", ", 1)
    elif schema.get("exclusiveMinimum") is not None:
        word += f", more than {schema['exclusiveMinimum']:g}, at most {high:g}"
    return word


@cache
def _example(name: str) -> str:
    """The shortest line with the key in examples/, which tests load."""
    found = [
        line.partition(" # ")[0].strip()
        for path in sorted((CHECKOUT / "examples").glob("*.toml"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith(f"{name} = ")
    ]
    return min(found, key=len, default="")


def _directives(pattern: str) -> str:
    """The names a pattern matches, as a person writes them."""
    names = []
    for part in re.split(r"\|(?![^(]*\))", pattern.replace(r"\w*", "*")):
        choice = re.search(r"\((.+)\)", part)
        each = choice[1].split("|") if choice else [""]
        names += [part.replace(choice[0], one) if choice else part for one in each]
    return ", ".join(f"`{name}=`" for name in names)
