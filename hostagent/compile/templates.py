"""The one loader of the templates: from the installed package, or from the checkout's top level."""

from __future__ import annotations

import functools
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2


def render(template: str, **values: object) -> str:
    """The text of ``templates/TEMPLATE``; every name it uses must be given."""
    return _environment().get_template(template).render(**values)


def text(name: str) -> str:
    """``templates/NAME`` as it stands."""
    return (_folder() / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        # Unit files are no HTML: escape.py spells every value of theirs.
        autoescape=jinja2.select_autoescape(("html.j2",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _load(template: str) -> str | None:
    file = _folder() / template
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _folder() -> Traversable:
    packaged = resources.files("hostagent") / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"
