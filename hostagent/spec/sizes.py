"""Sizes as systemd reads them (``512M``, ``1.5G``, base 1024) and percentages (``50%``)."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from hostagent.spec.values import WrongValueError, shown

_SUFFIXES = "BKMGTPE"
_SIZE = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([BKMGTPE]?)\s*")
_WRONG_SUFFIX = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([bkmgtpe])(i?b)?\s*", re.IGNORECASE)
_PERCENT = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,2})?)\s*%\s*")
_EXAMPLE = 'write for example "512M" or "2G"'


def parse_size(value: Any) -> int:
    """Bytes: a string with a suffix of B, K, M, G, T, P, E (base 1024), or an integer of bytes.

    Percentages are refused: what they are of differs from host to host, and the gate and the
    ledger count in bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise WrongValueError(f"{shown(value)} is not a size", _EXAMPLE)
    if value.strip().endswith("%"):
        raise WrongValueError(
            f"{shown(value)}: a share of the memory is another number of bytes on every host",
            f'{_EXAMPLE}, or pass MemoryMax = "…%" in [job.NAME.systemd.service]',
        )
    found = _SIZE.fullmatch(value)
    if not found:
        wrong = _WRONG_SUFFIX.fullmatch(value)
        hint = f'write "{wrong[1]}{wrong[2].upper()}" (base 1024)' if wrong else _EXAMPLE
        raise WrongValueError(f"{shown(value)} is not a size", hint)
    size = int(Fraction(found[1]) * 1024 ** _SUFFIXES.index(found[2] or "B"))
    if not 0 < size < 2**63:
        raise WrongValueError(f"{shown(value)} is no size that memory can have", _EXAMPLE)
    return size


def parse_percent(value: Any) -> float:
    """Percent of one CPU, as in ``50%`` or ``200%`` (two CPUs)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise WrongValueError(f"{shown(value)} has no percent sign", f'write "{value}%"')
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not found or not 0 < float(found[1]) <= 1_000_000:
        raise WrongValueError(
            f"{shown(value)} is not a share of a CPU", 'write for example "50%"; "200%" is two CPUs'
        )
    return float(found[1])
