"""What PID 1 remembers of its persistent timers: when each of them elapsed last.

A persistent timer that elapsed last days ago elapses as soon as it starts. At a boot that is one
start for each job, and each of them asks the agent, which has found in its ledger what is owed and
lets the gate release it. So timers start after the agent (``After=``), and it says before: until
now, all is mine.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import UTC, datetime

from hostagent.host.paths import Paths
from hostagent.model import Manifest

log = logging.getLogger(__name__)


def answer_for_all(paths: Paths, manifest: Manifest, until: datetime) -> None:
    """Have the deployed timers count from ``until`` when they start next; those that go on do not.

    A timer without a stamp file gets one from PID 1, which then counts from its start. What cannot
    be written is logged: each start is then turned away, at the price of a process.
    """
    when = (until - datetime.fromtimestamp(0, UTC)).total_seconds()
    try:
        for unit in manifest.units:
            if unit.timer is not None:
                with suppress(FileNotFoundError):
                    os.utime(paths.stamps / f"stamp-{unit.timer}", (when, when))
    except OSError as error:
        log.warning(
            "%s is not to be written (%s): what was missed is asked for by PID 1, too; "
            "run: hostagent agent install",
            paths.stamps,
            error.strerror,
        )
