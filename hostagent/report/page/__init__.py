"""The web page: one file with all that an operator looks at, read-only.

``facts`` is what was read; ``view`` makes of it what the page says, with ``work`` (what runs and
what waits) and ``jobs`` (a section each), and ``drawing`` and ``charts`` make its lines. All that
is pure. ``render`` puts it into ``templates/page``, where every text is escaped, and ``serving``
answers browsers. What the page says is decided here, not in the template.
"""
