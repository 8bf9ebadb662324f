"""The body that a webhook gets, as jobs.toml has it: a template of what the message holds.

Rendered in jinja2's sandbox, and imported only where there is one: by what reads jobs.toml, and by
what delivers; never by the agent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

FIELDS = ("alarm", "was", "job", "scope", "since", "reason", "text")
"""What a message holds, and a template can use: see ``policy.alarms.message``."""

JSON, TEXT = "application/json", "text/plain; charset=utf-8"

_PLAIN = dict.fromkeys(FIELDS, "x") | {"alarm": "failed", "since": "2026-11-21 02:02:04Z"}
_AWKWARD = dict.fromkeys(FIELDS, 'a "quote", a \\ and\na line')
_EMPTY = dict.fromkeys(FIELDS, "")


class BodyError(Exception):
    """What is wrong with a template, and how to mend it (if that can be said)."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def check(template: str) -> None:
    """See that each message can be told by it.

    Raises:
        BodyError: it is no template, uses what no message holds, or makes JSON of some messages
            only.
    """
    for unknown in _unknown(template):
        raise BodyError(f"no message holds {unknown}", f"known: {', '.join(FIELDS)}")
    plain, awkward, _ = (render(template, sample) for sample in (_PLAIN, _AWKWARD, _EMPTY))
    if kind_of(plain) == JSON != kind_of(awkward):
        hint = 'write for example {"text": {{ text | tojson }}}, without quotes around it'
        raise BodyError("it is JSON only until a message holds a quote or a line end", hint)
    if plain.lstrip().startswith("{") and kind_of(plain) != JSON:
        raise BodyError(f"what it makes is not JSON: {_why_not_json(plain)}")


def render(template: str, message: Mapping[str, str]) -> str:
    """The body for a message.

    Raises:
        BodyError: it cannot be made.
    """
    from jinja2 import StrictUndefined, TemplateError  # noqa: PLC0415 -- see the module's docstring
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415 -- as above

    # A body is JSON or text, and no HTML: tojson spells its values.
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    try:
        return sandbox.from_string(template).render(message)
    except TemplateError as error:
        at = getattr(error, "lineno", None)
        raise BodyError(f"line {at} of it: {error.message}" if at else f"{error.message}") from None
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise BodyError(f"{type(error).__name__}: {error}") from None


def kind_of(body: str) -> str:
    """Its content type: JSON if it is an object or an array, else text."""
    return JSON if not _why_not_json(body) else TEXT


def _unknown(template: str) -> list[str]:
    """The names that it uses anywhere, and no message holds."""
    from jinja2 import Environment, TemplateSyntaxError, meta  # noqa: PLC0415 -- as above

    try:
        tree = Environment(autoescape=True).parse(template)
        used = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        raise BodyError(f"line {error.lineno} of it: {error.message}") from None
    return sorted(used - {*FIELDS})


def _why_not_json(body: str) -> str:
    try:
        return "" if isinstance(json.loads(body), dict | list) else "it is no object"
    except ValueError as error:
        return str(error)
