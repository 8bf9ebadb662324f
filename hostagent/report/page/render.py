"""The page as HTML: complete in itself, for it asks nobody for anything."""

from __future__ import annotations

import functools
import hashlib
from base64 import b64encode

from markupsafe import Markup

from hostagent.compile import templates
from hostagent.report.page.view import Page

STYLE, SCRIPT = "page/page.css", "page/page.js"


def html(page: Page) -> str:
    """The document. Whatever is not the template's own is escaped by it."""
    return templates.render(
        "page/page.html.j2",
        page=page,
        style=Markup(templates.text(STYLE)),  # noqa: S704 -- our own file
        script=Markup(templates.text(SCRIPT)),  # noqa: S704 -- our own file
        content_policy=content_policy(),
    )


@functools.cache
def content_policy() -> str:
    """The page's Content-Security-Policy: its own style and its own script, and nothing else."""
    own = {name: _digest(templates.text(name)) for name in (STYLE, SCRIPT)}
    return (
        f"default-src 'none'; style-src '{own[STYLE]}'; script-src '{own[SCRIPT]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
