#!/usr/bin/python3 -IS
"""Two services inside the VM that observe it; their lines go to /dev/ttyS1, hence outside at once.

    observer.py sample      a line every two seconds, locked in memory
    observer.py probe       twice a second what a small program takes, locked nowhere

Times are seconds since the boot.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

NOTES = Path("/run/storm")
PROBE_MIB = 32
MCL_CURRENT_AND_FUTURE = 3
PRESSURES = (("cpu", "some"), ("memory", "some"), ("memory", "full"), ("io", "some"))


def now_s() -> float:
    """Since the boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(what: str, *numbers: float) -> None:
    with Path("/dev/ttyS1").open("w") as tty:
        tty.write(f"{what} {' '.join(f'{number:.3f}' for number in numbers)}\n")


def words_of(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()]


def stalled(what: str, who: str) -> int:
    """Microseconds in which some, or all, waited for it."""
    lines = words_of(f"/proc/pressure/{what}")
    return next(int(line[-1].partition("=")[2]) for line in lines if line[0] == who)


def noted(what: str) -> set[str]:
    """The missed jobs that have noted it."""
    place = NOTES / what
    names = {file.name for file in place.iterdir()} if place.exists() else set()
    return {name for name in names if not name.startswith(("alone-", "fresh"))}


def is_alive(job: str) -> bool:
    try:
        os.kill(int((NOTES / "started" / job).read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def counts() -> tuple[int, int, int]:
    """How many missed jobs have started, done all, and ended without that."""
    started, ended = noted("started"), noted("ended")
    return len(started), len(ended), sum(not is_alive(job) for job in started - ended)


def sample() -> None:
    ctypes.CDLL(None).mlockall(MCL_CURRENT_AND_FUTURE)
    before, then_s = [stalled(*which) for which in PRESSURES], now_s()
    while True:
        time.sleep(2)
        after, at_s = [stalled(*which) for which in PRESSURES], now_s()
        micro = zip(before, after, strict=True)
        percent = [(new - old) / 1e4 / (at_s - then_s) for old, new in micro]
        memory = {line[0]: int(line[1]) // 1024 for line in words_of("/proc/meminfo")}
        room = memory["MemAvailable:"], memory["SwapTotal:"] - memory["SwapFree:"]
        kills = dict(words_of("/proc/vmstat"))["oom_kill"]
        load = float(words_of("/proc/loadavg")[0][0])
        say("sample", at_s, load, *percent, *room, int(kills), *counts())
        before, then_s = after, at_s


def probe() -> None:
    held, turn = bytearray(b"x") * (PROBE_MIB << 20), 0
    while True:
        time.sleep(0.5)
        began_s, turn, number = now_s(), (turn + 1) % 8, 0
        for page in range(turn, len(held) >> 12, 8):
            held[page << 12] = turn
        for n in range(20_000):
            number += n
        subprocess.run(["/bin/true"], check=True)
        say("probe", began_s, now_s() - began_s)


{"sample": sample, "probe": probe}[sys.argv[1]]()
