"""Values as text, and text of others as values: only what one of us would have written.

What lies in the shared directory may be anybody's. It is read by decoding it into the types of
the port and writing it again: a text that is not the same to the byte is refused. So there are no
wrong types, no unknown fields, no second way to say a thing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hostagent.codec import content_json, from_json, to_json
from hostagent.errors import StoreError
from hostagent.store.sql.schema import refuse_newer

T = TypeVar("T")


def text_of(value: object, number: int) -> bytes:
    """A model value with the version in which it is said."""
    return content_json({"format": number, "value": to_json(value)}).encode()


def plain(value: T) -> T:
    """The same value as its readers will have it: what is equal is of one type (1.0 for 1)."""
    return from_json(type(value), to_json(value))


def value_of(kind: type[T], text: bytes, path: Path) -> tuple[T, int]:
    """The inverse of ``text_of``. ``path`` is where the text was found.

    Raises:
        StoreError: the text is of a newer version, or nothing that we would write.
    """
    data = _parsed(text, path)
    number = known(data.get("format"), path)
    try:
        value = from_json(kind, data.get("value"))
        if text_of(value, number) == text:
            return value, number
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError):
        pass
    raise malformed(path, f"no {kind.__name__}")


def known(number: object, path: Path) -> int:
    """The version that a file names, if it can be read.

    Raises:
        StoreError: it is newer, or none.
    """
    if type(number) is not int or number < 1:
        raise malformed(path, "no version")
    refuse_newer(path, number, number)
    return number


def malformed(path: Path, why: str) -> StoreError:
    """What a file is refused with. It never quotes the file."""
    return StoreError(f"{path} is not what hostagent writes ({why})", "look who can write there")


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise malformed(path, "no JSON") from None
    if not isinstance(data, dict):
        raise malformed(path, "no object")
    return data


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)
