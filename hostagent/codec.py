"""The JSON form of the words in ``hostagent.model``: one form for the store, the disk and people.

Lists for tuples, RFC 3339 for datetimes, seconds as a number for timedeltas, and nothing for a
field that has its default. How a type is written and read is worked out once for each type: a
manifest of 1,000 jobs has 40,000 values.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar, Union

T = TypeVar("T")


def content_hash(value: Any) -> str:
    """16 hexadecimal digits over the canonical JSON of ``value``."""
    return hashlib.sha256(content_json(value).encode()).hexdigest()[:16]


def content_json(value: Any) -> str:
    """The canonical JSON text of a model value, or of what ``to_json`` made of one."""
    return json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def rfc3339(at: datetime) -> str:
    """``2026-11-21T02:00:00Z``, with the fraction only where there is one."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_json(value: Any) -> Any:
    """The JSON form of a model value (see the module's docstring); canonical and lossless."""
    write = _writer(type(value))
    return write(value) if write else value


def from_json(cls: type[T], data: Any) -> T:
    """The inverse of ``to_json`` for a model type.

    Raises:
        ValueError: the data is not of that form (an unknown field, a missing one, a wrong type).
    """
    try:
        value: T = _reader(cls)(data)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a {cls.__name__}: {error}") from error
    return value


def _new_writer(kind: type) -> Callable[[Any], Any] | None:
    """What writes a value of this type; None: it is JSON as it stands."""
    if dataclasses.is_dataclass(kind):
        return functools.partial(_write_fields, _defaults(kind))
    if issubclass(kind, datetime):
        return rfc3339
    if issubclass(kind, timedelta):
        return _seconds
    if issubclass(kind, tuple | list):
        return _write_items
    return str if issubclass(kind, StrEnum) else None


def _write_fields(fields: tuple[tuple[str, Any], ...], value: Any) -> dict[str, Any]:
    out = {}
    for name, default in fields:
        item = getattr(value, name)
        if item is not default and item != default:
            write = _writer(type(item))
            out[name] = write(item) if write else item
    return out


def _write_items(value: Any) -> list[Any]:
    return [to_json(item) for item in value]


def _seconds(value: timedelta) -> float:
    seconds = value / timedelta(microseconds=1) / 1e6
    return int(seconds) if seconds.is_integer() else seconds


def _defaults(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, _default_of(f)) for f in dataclasses.fields(cls))


def _default_of(f: dataclasses.Field[Any]) -> Any:
    if f.default is not dataclasses.MISSING:
        return f.default
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return dataclasses.MISSING


def _new_reader(kind: Any) -> Callable[[Any], Any]:
    """What reads a value of this type out of its JSON form."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        (some,) = (_reader(arg) for arg in args if arg is not types.NoneType)
        return lambda data: None if data is None else some(data)
    if origin is tuple and args[1:] == (Ellipsis,):
        each = _reader(args[0])
        return lambda data: tuple([each(item) for item in data])
    if origin is tuple:
        members = [_reader(arg) for arg in args]
        return lambda data: tuple([m(i) for m, i in zip(members, data, strict=True)])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {f.name: _reader(hints[f.name]) for f in dataclasses.fields(kind)}
        return lambda data: kind(**{name: fields[name](item) for name, item in data.items()})
    if kind is datetime:
        return datetime.fromisoformat
    if kind is timedelta:
        return lambda data: timedelta(microseconds=round(data * 1e6))
    return typing.cast("Callable[[Any], Any]", kind)


_writer: Callable[[type], Callable[[Any], Any] | None] = functools.cache(_new_writer)
_reader: Callable[[Any], Callable[[Any], Any]] = functools.cache(_new_reader)
