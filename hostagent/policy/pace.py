"""A pace: how many runs a person lets go in a minute or an hour, at most."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1)}
QUICKEST = timedelta(seconds=1)
"""The gate is asked once a second: what is to go faster needs no pace."""

_TEXT = re.compile(r"([1-9][0-9]{0,3}) ?/ ?(min|h)")


@dataclass(frozen=True, slots=True)
class Pace:
    """So many ``runs`` in each ``unit`` (min, h)."""

    runs: int
    unit: str

    @property
    def every(self) -> timedelta:
        """How long after one the next may go."""
        return UNITS[self.unit] / self.runs

    def __str__(self) -> str:
        return f"{self.runs}/{self.unit}"


def parse(text: str) -> Pace:
    """``6/min``, ``30/h``.

    Raises:
        ValueError: it is none, or quicker than one in a second; the message says which.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise ValueError("is not a rate")
    pace = Pace(int(found[1]), found[2])
    if pace.every < QUICKEST:
        raise ValueError("is more than one in a second")
    return pace
