"""What admission costs: a /bin/true job through the agent, beside a plain oneshot and a wrapper.

Run as root: ``python -m bench.run_overhead [RELEASE]``. Three services in one container machine,
started in turn through ``systemctl start`` (which waits for the end of a oneshot): the floor, a
oneshot of /bin/true; ours; and /bin/true below a Python wrapper that does nothing else. Prints
medians, by PID 1's own timestamps (from leaving ``inactive`` to returning to it) and as systemctl
sees it, their ratios to the floor, and our processes alive while a job runs.
"""

from __future__ import annotations

import json
import sys
from statistics import median

from bench.machine import machine_with_agent

ROUNDS = 150
JOBS = """
[job.true]
command = "/bin/true"
calendar = "2099-01-01"
[job.sleep]
command = "/bin/sleep 30"
calendar = "2099-01-01"
"""
INSIDE = """
import json, subprocess, time
kinds = {"plain": "plain", "hostagent": "hostagent-true", "wrapper": "wrapper"}
times = {kind: [] for kind in kinds}
inside = {kind: [] for kind in kinds}
edges = ("InactiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic")
for i in range(ROUNDS):
    for kind, unit in kinds.items():
        t = time.perf_counter()
        subprocess.run(["systemctl", "start", unit], check=True)
        times[kind].append(time.perf_counter() - t)
        show = ["systemctl", "show", "-p", ",".join(edges), unit + ".service"]
        shown = subprocess.run(show, check=True, capture_output=True, text=True).stdout
        stamps = dict(line.split("=") for line in shown.split())
        inside[kind].append((int(stamps[edges[1]]) - int(stamps[edges[0]])) / 1e6)
print(json.dumps([inside, times]))
"""


def main() -> None:
    """Measure and print."""
    release = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    with machine_with_agent(release) as machine:
        oneshot = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart="
        machine.write("/etc/systemd/system/plain.service", f"{oneshot}/bin/true\n")
        wrapper = "/usr/bin/python3 -c \"import subprocess; subprocess.run(['/bin/true'])\""
        machine.write("/etc/systemd/system/wrapper.service", f"{oneshot}{wrapper}\n")
        for name in ("plain", "wrapper"):  # a timer keeps PID 1 from forgetting the unit
            machine.write(f"/etc/systemd/system/{name}.timer", "[Timer]\nOnCalendar=2099-01-01\n")
        machine.write("/etc/hostagent/jobs.toml", JOBS)
        machine.succeed(
            "hostagent apply && systemctl daemon-reload && systemctl start {plain,wrapper}.timer"
        )
        script = INSIDE.replace("ROUNDS", str(ROUNDS))
        inside, outside = json.loads(machine.succeed("python3 -", stdin=script, timeout=300))
        for title, times in (("by PID 1's timestamps", inside), ("as systemctl sees it", outside)):
            print(title)
            floor = median(times["plain"])
            for kind, values in times.items():
                ms = median(values) * 1000
                print(
                    f"  {kind:<10} {ms:7.2f} ms  {median(values) / floor:5.2f} x the plain oneshot"
                )
        empty = machine.succeed(
            "t=$(date +%s%N); for i in $(seq 50); do systemctl --version; done "
            ">/dev/null; echo $((($(date +%s%N)-t)/50000))"
        )
        print(f"of each, {int(empty) / 1000:.2f} ms are systemctl's own start")
        machine.succeed("systemctl start --no-block hostagent-sleep; sleep 1")
        processes = machine.succeed("cat /sys/fs/cgroup/hostagent.slice/*/*/cgroup.procs | wc -l")
        print(f"processes in a running job's cgroup besides its own: {int(processes) - 1}")


if __name__ == "__main__":
    main()
