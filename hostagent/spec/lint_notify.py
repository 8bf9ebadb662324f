"""Warnings about [notify.NAME] tables: what could not be told from this host."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace

from hostagent.errors import Problem
from hostagent.spec.resolve import Layer


def lint_notify(tables: Mapping[str, Layer]) -> Iterator[Problem]:
    """The warnings about the tables, on this host."""
    if importlib.util.find_spec("apprise") is not None:
        return
    for own in tables.values():
        if "apprise" in own.values:
            problem = own.document.problem(
                (*own.table, "apprise"),
                "the package apprise is not installed here: nothing can be told there",
                "install it beside hostagent (pip install 'hostagent[apprise]'), or use a webhook",
                key=True,
            )
            yield replace(problem, code="HA112")
