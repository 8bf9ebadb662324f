"""Warnings about [notify.NAME] tables: what could not be told from this host."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hostagent.errors import Problem
from hostagent.sendmail import ADVICE, sendmail
from hostagent.spec.resolve import Layer


def lint_notify(tables: Mapping[str, Layer]) -> Iterator[Problem]:
    """The warnings about the tables, on this host."""
    for own in tables.values():
        for key, look in LOOKS.items():
            if key in own.values and (found := look(own.values[key])) is not None:
                yield _warning(own, key, *found)


def _apprise(_: object) -> tuple[str, str] | None:
    if importlib.util.find_spec("apprise") is not None:
        return None
    return (
        "the package apprise is not installed here: nothing can be told there",
        "install it beside hostagent (pip install 'hostagent[apprise]'), or use a webhook",
    )


def _mail(_: object) -> tuple[str, str] | None:
    if sendmail() is not None:
        return None
    return "this host has no sendmail: nothing can be told there", f"{ADVICE}, or use a webhook"


def _command(words: Sequence[str]) -> tuple[str, str] | None:
    if shutil.which(words[0]) is not None:
        return None
    return (
        f'"{words[0]}" cannot be executed on this host: nothing can be told there',
        "write the right path, or install it",
    )


LOOKS: dict[str, Callable[[Any], tuple[str, str] | None]] = {
    "apprise": _apprise,
    "mail": _mail,
    "command": _command,
}
"""What each way of telling needs on this host: what is missing, and what to do."""


def _warning(own: Layer, key: str, message: str, hint: str) -> Problem:
    problem = own.document.problem((*own.table, key), message, hint, key=True)
    return replace(problem, code="HA112")
