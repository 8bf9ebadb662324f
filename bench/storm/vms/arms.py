"""Who pays the backlog: what each arm writes into the machine, as text, and how it takes it up.

All of them run the same commands, each job daily and all missed but ``fresh``, which falls due
every ten seconds. A crontab knows no seconds: there, ``fresh`` is a plain timer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.storm.vms.scenarios import CORES, Scenario

FRESH = "*:*:0/10"
FRESH_S = 10.0
JOB = "/usr/local/bin/job.py"
UNITS = "/etc/systemd/system"
START = f"cd {UNITS} && systemctl daemon-reload && systemctl enable --quiet --now storm-*.timer"

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Arm:
    """``root``: the machine's image; ``files`` are written into it, then ``start`` is run."""

    name: str
    title: str
    files: Callable[[Scenario], Files]
    start: str = START
    root: str = "bookworm"
    is_ours: bool = False


def command(job: str, kind: str) -> str:
    """What a job runs."""
    return f"{JOB} {job} {kind}"


def timer(job: str, kind: str, when: str, service: str = "") -> Files:
    """A pair of units as an administrator writes them."""
    run = f"[Service]\nType=oneshot\nExecStart={command(job, kind)}\n{service}"
    return {
        f"{UNITS}/storm-{job}.service": run,
        f"{UNITS}/storm-{job}.timer": f"[Timer]\n{when}\n[Install]\nWantedBy=timers.target\n",
    }


FRESH_TIMER = timer("fresh", "fresh", f"OnCalendar={FRESH}\nAccuracySec=1us")


def timers(scenario: Scenario, more: str = "", service: str = "") -> Files:
    """``Persistent=true`` timers."""
    files = dict(FRESH_TIMER)
    for job, kind in scenario.jobs.items():
        files |= timer(job, kind, f"OnCalendar=daily\nPersistent=true\n{more}", service)
    return files


def low_weight(scenario: Scenario) -> Files:
    """Timers, and what was missed runs in a slice that everybody else outweighs."""
    slice_text = "[Slice]\nCPUWeight=20\nIOWeight=20\n"
    return {
        **timers(scenario, service="Slice=storm.slice\n"),
        f"{UNITS}/storm.slice": slice_text,
    }


def crontab(scenario: Scenario) -> Files:
    """A crontab whose jobs wait in ExecStartPre= until the load is below the number of cores."""
    lines = [f"CRON_BATCH_LOADAVG_BELOW={CORES}"]
    lines += [f"@daily root {command(job, kind)}" for job, kind in scenario.jobs.items()]
    return {**FRESH_TIMER, "/etc/cron.d/storm": "\n".join([*lines, ""])}


def jobs_toml(scenario: Scenario) -> Files:
    """Nothing is configured but what the jobs are (and their ``retries``, where some fail)."""
    again = f"retries = {scenario.retries}\n" if scenario.retries else ""
    texts = [
        f'[job.{job}]\ncommand = "{command(job, kind)}"\ncalendar = "daily"\n{again}'
        for job, kind in scenario.jobs.items()
    ]
    fresh = f'[job.fresh]\ncommand = "{command("fresh", "fresh")}"\ncalendar = "{FRESH}"\n'
    texts.append(f'{fresh}missed = "skip"\njitter = 0\n')
    return {"/etc/hostagent/jobs.toml": "\n".join(texts)}


ARMS = (
    Arm(
        "hostagent",
        "hostagent",
        jobs_toml,
        start="hostagent agent install && hostagent apply",
        is_ours=True,
    ),
    Arm("raw", "`Persistent=true`", timers),
    Arm(
        "randomized",
        "`RandomizedDelaySec=600`",
        lambda scenario: timers(scenario, more="RandomizedDelaySec=600\n"),
    ),
    Arm("low-weight", "slice of `CPUWeight=20`", low_weight),
    Arm(
        "systemd-cron",
        "systemd-cron, by load",
        crontab,
        start=f"{START} && systemctl start cron.target",
        root="sid+cron",
    ),
)
BY_NAME = {arm.name: arm for arm in ARMS}
