#!/usr/bin/python3 -IS
"""A job, inside the VM: ``job.py NAME KIND`` does what /etc/storm.json says of the kind.

It says when it starts and when it has done all, on /dev/ttyS1 (hence outside at once), in seconds
since the boot, and notes it in /run/storm for the observer. It imports little: two hundred of them
start.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
import time

BLOCK = 65536
BLOCKS = 30_011
"""A prime number of them, nearly two GiB of the disk: steps through it are seeks."""


def now_s() -> float:
    """Since the boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(line: str) -> None:
    with open("/dev/ttyS1", "w", encoding="ascii") as tty:
        tty.write(f"{line}\n")


def note(what: str, name: str) -> None:
    os.makedirs(f"/run/storm/{what}", exist_ok=True)
    with open(f"/run/storm/{what}/{name}", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def do(kind: dict[str, float]) -> None:
    """See ``scenarios.Kind``."""
    steps, reads = int(kind["steps"]), int(kind["reads"])
    held: list[bytearray] = []
    disk = os.open("/dev/vda", os.O_RDONLY | os.O_DIRECT) if reads else -1
    into, block = mmap.mmap(-1, BLOCK), os.getpid()
    for step in range(steps):
        grown = min(1.0, (step + 1) / steps / kind["grows"])
        wanted = kind["peak_mib"] * (kind["first"] + (1 - kind["first"]) * grown)
        while len(held) < int(wanted):
            held.append(bytearray(b"x") * (1 << 20))
        for chunk in held[step % 4 :: 4]:
            chunk[::4096] = b"y" * 256
        number = 0
        for n in range(int(kind["loops"]) * 1000 // steps):
            number += n
        time.sleep(kind["naps_s"] / steps)
        for _ in range(reads // steps):
            block = (block + 7919) % BLOCKS
            os.preadv(disk, [into], block * BLOCK)


def main() -> None:
    name, kind_name = sys.argv[1:]
    with open("/etc/storm.json", encoding="ascii") as file:
        kind = json.load(file)[kind_name]
    note("started", name)
    say(f"start {name} {now_s():.3f} {time.time():.3f}")
    if not name.startswith("alone-") and now_s() < kind["fails_until_s"]:
        time.sleep(2)
        sys.exit("the downstream does not answer")
    do(kind)
    used = resource.getrusage(resource.RUSAGE_SELF)
    note("ended", name)
    say(f"end {name} {now_s():.3f} {used.ru_utime + used.ru_stime:.3f}")


main()
