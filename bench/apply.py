"""What ``hostagent apply`` costs with 1,000 jobs, beside the least that systemd itself needs.

Run as root: ``python -m bench.apply [RELEASE] [ROUNDS]``. All in one container machine, in turn:
the floor (write the same 2,000 files and 1,000 links, one daemon-reload, start all timers by one
``systemctl start``), a cold apply, an apply that changes nothing, a bare daemon-reload on those
units, and an apply that changes one job's calendar. Each apply is the whole command, from the
start of its interpreter. Prints medians and the ratios that the project holds itself to. The
machine's disk is memory: an fsync costs little there.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.machine import images, layer
from tests.machine.machine import Machine

JOBS = 1000
GOALS = (
    ("cold", "floor", 1.3),
    ("no-op", "cold", 0.15),
    ("one job", "reload", 1.2),
)

INSIDE = """
import json, os, pathlib, shutil, subprocess, sys, time

JOBS, ROUNDS = int(sys.argv[1]), int(sys.argv[2])
TOML = pathlib.Path("/etc/hostagent/jobs.toml")
UNITS = pathlib.Path("/etc/systemd/system")
WANTS = UNITS / "timers.target.wants"


def call(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def timed(kind, *command):
    began = time.perf_counter()
    call(*command)
    times[kind].append(time.perf_counter() - began)


def write_jobs(hour):
    table = '''[job.job-{n}]
description = "The job number {n}"
command = "/usr/bin/env true {n}"
calendar = "*-*-* {hour:02d}:{minute:02d}:00"
user = "nobody"
timeout = "{timeout}min"
memory_max = "{memory}M"
environment = {{ NUMBER = "{n}", MODE = "bench" }}
'''
    TOML.parent.mkdir(exist_ok=True)
    TOML.write_text("".join(
        table.format(n=n, hour=hour if n == JOBS // 2 else n % 24, minute=n % 60,
                     timeout=30 + n % 7, memory=256 + n % 5)
        for n in range(JOBS)
    ))


def clean():
    names = [path.name for path in UNITS.glob("hostagent*") if path.is_file()]
    timers = [name for name in names if name.endswith(".timer")]
    if timers:
        call("systemctl", "stop", *timers)
    for path in [*UNITS.glob("hostagent*"), *WANTS.glob("hostagent*")]:
        path.unlink()
    for path in pathlib.Path("/var/lib/systemd/timers").glob("stamp-hostagent*"):
        path.unlink()
    shutil.rmtree("/var/lib/hostagent", ignore_errors=True)
    call("systemctl", "daemon-reload")


def floor(files, links, timers):
    began = time.perf_counter()
    for name, text in files.items():
        (UNITS / name).write_text(text)
    WANTS.mkdir(exist_ok=True)
    for name, place in links.items():
        (WANTS / name).symlink_to(place)
    call("systemctl", "daemon-reload")
    call("systemctl", "start", *timers)
    times["floor"].append(time.perf_counter() - began)


times = {kind: [] for kind in ("floor", "cold", "no-op", "reload", "one job")}
write_jobs(1)
call("hostagent", "apply")
paths = [path for path in UNITS.glob("hostagent*") if path.is_file()]
files = {path.name: path.read_text() for path in paths}
links = {path.name: os.readlink(path) for path in WANTS.glob("hostagent*")}
for turn in range(ROUNDS):
    write_jobs(1)
    clean()
    floor(files, links, list(links))
    clean()
    timed("cold", "hostagent", "apply")
    for repeat in range(3):
        timed("no-op", "hostagent", "apply")
        timed("reload", "systemctl", "daemon-reload")
        write_jobs(2 + repeat)
        timed("one job", "hostagent", "apply")
print(json.dumps(times))
"""


def main() -> None:
    """Measure and print; exit 1 when a goal is missed."""
    release = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    root = images.root(release)
    with tempfile.TemporaryDirectory() as place:
        code = layer.lay(root, Path(place) / "layer")
        with Machine("bench-apply", [code, root]) as machine:
            command = f"python3 - {JOBS} {rounds}"
            times = json.loads(machine.succeed(command, stdin=INSIDE, timeout=900))
    for kind, values in times.items():
        spread = f"{min(values) * 1000:.0f} to {max(values) * 1000:.0f}"
        print(f"{kind:<8} {median(values) * 1000:7.0f} ms  ({spread}, {len(values)} times)")
    missed = 0
    for kind, base, goal in GOALS:
        ratio = median(times[kind]) / median(times[base])
        missed += ratio > goal
        verdict = "goal held" if ratio <= goal else "goal MISSED"
        print(f"{kind} = {ratio:.2f} x {base}; at most {goal}: {verdict}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
