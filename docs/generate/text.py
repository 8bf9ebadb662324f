"""How generated lines are filled."""

from __future__ import annotations

import textwrap


def wrapped(text: str, indent: str = "") -> str:
    """Lines of at most 100 columns; all but the first begin with ``indent``."""
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
