"""The stable delay of a job: spreads jobs over time, the same on every host."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from hostagent.schedule.zones import MICROSECOND


def delay(job: str, scope: str, jitter: timedelta) -> timedelta:
    """How long after ``scheduled_for`` this (job, scope) starts: in [0, jitter], in microseconds.

    A hash of the names, so that it is even over many jobs and moves with neither host nor time.
    """
    number = int.from_bytes(hashlib.sha256(f"{job}\0{scope}".encode()).digest()[:8])
    return number * (jitter // MICROSECOND + 1) // 2**64 * MICROSECOND
