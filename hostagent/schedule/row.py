"""Occurrences in a row, counted and not listed: a job that owes a million costs what one costs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import overload


class Steps(Sequence[datetime]):
    """``anchor + k * every`` for each k of a range."""

    __slots__ = ("_anchor", "_every", "_numbers")

    def __init__(self, anchor: datetime, every: timedelta, numbers: range) -> None:
        self._anchor, self._every, self._numbers = anchor, every, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> datetime: ...
    @overload
    def __getitem__(self, index: slice) -> Steps: ...
    def __getitem__(self, index: int | slice) -> datetime | Steps:
        if isinstance(index, slice):
            return Steps(self._anchor, self._every, self._numbers[index])
        return self._anchor + self._numbers[index] * self._every


class Row(Sequence[datetime]):
    """Some parts, each ascending, one after the other: one sequence. A slice is one without step.

    It holds the parts alone, so its size is that of as many days, not of what falls due in them.
    """

    __slots__ = ("_parts", "_stops")

    def __init__(self, parts: Iterable[Sequence[datetime]]) -> None:
        self._parts = [part for part in parts if part]
        self._stops = list(accumulate(map(len, self._parts)))

    def __len__(self) -> int:
        return self._stops[-1] if self._stops else 0

    @overload
    def __getitem__(self, index: int) -> datetime: ...
    @overload
    def __getitem__(self, index: slice) -> Row: ...
    def __getitem__(self, index: int | slice) -> datetime | Row:
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self))
            bounds = zip(self._parts, self._stops, strict=True)
            return Row(
                part[max(0, start - end + len(part)) : max(0, stop - end + len(part))]
                for part, end in bounds
            )
        wanted = range(len(self))[index]
        which = bisect_right(self._stops, wanted)
        part = self._parts[which]
        return part[wanted - self._stops[which] + len(part)]
