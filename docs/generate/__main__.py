"""``python -m docs.generate``: brings every page up to date, and names those that changed."""

from __future__ import annotations

import sys

from docs.generate import DOCS, pages, refreshed

for page in pages():
    old = page.read_text(encoding="utf-8")
    if (new := refreshed(old)) != old:
        page.write_text(new, encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(DOCS.parent)}\n")
