"""What an idle agent costs: memory, processor time and wake-ups, with 1,000 jobs and none due.

Run as root: ``python -m bench.agent [RELEASE] [SECONDS]``. The floor beside it in the same machine
is a Python process whose event loop waits for a timer and does nothing else.
"""

from __future__ import annotations

import sys
import time

from bench.machine import machine_with_agent
from tests.machine.machine import Machine

JOBS = 1000
TICKS_PER_S = 100
FLOOR = "import asyncio; asyncio.run(asyncio.sleep(86400))"


def sample(machine: Machine, pid: str) -> tuple[float, int, float]:
    """Processor seconds, voluntary context switches, resident MiB."""
    stat = machine.read(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
    status = dict(
        line.split(":", 1)
        for line in machine.read(f"/proc/{pid}/status").splitlines()
        if ":" in line
    )
    cpu = (int(stat[11]) + int(stat[12])) / TICKS_PER_S
    return cpu, int(status["voluntary_ctxt_switches"]), int(status["VmRSS"].split()[0]) / 1024


def main() -> None:
    """Measure and print."""
    release = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    with machine_with_agent(release) as machine:
        jobs = "".join(
            f'[job.idle{n:04}]\ncommand = "/bin/true"\ncalendar = "2099-01-01 00:00:{n % 60:02}"\n'
            for n in range(JOBS)
        )
        machine.write("/etc/hostagent/jobs.toml", jobs)
        machine.succeed("hostagent apply >/dev/null 2>&1", timeout=180)
        machine.succeed("systemctl restart hostagent", timeout=60)
        machine.succeed(f"systemd-run -q --unit=floor /opt/hostagent/venv/bin/python3 -c '{FLOOR}'")
        time.sleep(10)
        pids = {
            unit: machine.succeed(f"systemctl show -p MainPID --value {unit}").strip()
            for unit in ("hostagent", "floor")
        }
        before = {unit: sample(machine, pid) for unit, pid in pids.items()}
        time.sleep(seconds)
        after = {unit: sample(machine, pid) for unit, pid in pids.items()}
    for unit in pids:
        cpu, wakes = (after[unit][i] - before[unit][i] for i in (0, 1))
        print(
            f"{unit:<10} {after[unit][2]:6.1f} MiB resident, {100 * cpu / seconds:.3f} % of a "
            f"core, {wakes:.0f} wake-ups in {seconds} s"
        )
    print(f"resident, ratio to the floor: {after['hostagent'][2] / after['floor'][2]:.2f}")


if __name__ == "__main__":
    main()
