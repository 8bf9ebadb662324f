"""What the commands that read cost, on a ledger of 100,000 runs in SQLite.

Run as anybody: ``python -m bench.reading [ROUNDS]``. A user's place is made in a directory of its
own: 100 hourly jobs, deployed, and what they did in the last 41 days. Each command is the whole of
it, from the start of its interpreter, in turn with ``python -c pass``; both medians are printed.
``status`` and ``top`` ask an agent, here one that has its answers ready, and ``status --cluster``
the store. Exit 1 when a goal is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from hostagent import __version__
from hostagent.agent.interface import Activity, Backlog, Status
from hostagent.host.identity import host_name
from hostagent.host.paths import Paths, user
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from tests import answers, deployed

JOBS, RUNS_EACH = 100, 1000
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
READ_S, HELP_S = 0.300, 0.150
"""What a read command may take, and ``--help``."""

COMMANDS = {
    "--help": HELP_S,
    "runs --user": READ_S,
    "runs job-7 --since 7d --outcome failed --user": READ_S,
    "runs --reason nowhere --user": READ_S,
    "why job-7 --user": READ_S,
    "why job-7 --at {past} --user": READ_S,
    "status --user": READ_S,
    "status --cluster --user": READ_S,
    "top --once --user": READ_S,
    "list --user": READ_S,
    "next --user": READ_S,
    "next --days 7 --user": READ_S,
    "timeline --user": READ_S,
    "metrics --user": READ_S,
}


class Agent:
    """Has its answers ready."""

    async def backlog(self) -> Backlog:
        return answers.backlog()

    async def going(self) -> Activity:
        return answers.going()

    async def status(self) -> Status:
        return answers.status(version=__version__, host=host_name(), jobs=JOBS)


def deploy(paths: Paths, now: datetime) -> None:
    """The jobs, as an apply leaves them, and their ledger."""
    jobs = [
        Job(
            f"job-{n}",
            ("/bin/true",),
            Schedule(Form.CALENDAR, f"*:{n % 60}", (f"*:{n % 60}",)),
            HOUR,
        )
        for n in range(JOBS)
    ]
    begin = now.replace(minute=0, second=0, microsecond=0) - RUNS_EACH * HOUR
    deployed.deploy(paths, host_name(), jobs, begin)
    deployed.record(paths, (ran(job, begin, n) for n in range(RUNS_EACH) for job in jobs))


def ran(job: Job, begin: datetime, n: int) -> Run:
    """Its nth run: 9 min long, and each 50th fails."""
    minute = int(job.name.partition("-")[2]) % 60
    at = begin + n * HOUR + minute * MINUTE
    fails = n % 50 == 49
    return Run(
        job.name,
        "",
        Kind.SCHEDULED,
        at,
        1,
        n + 1,
        host_name(),
        f"due {at}, admitted 58ms after",
        spec_hash=job.schedule.hash,
        started_at=at + timedelta(seconds=2),
        ended_at=at + 9 * MINUTE,
        outcome=Outcome.FAILED if fails else Outcome.SUCCEEDED,
        end_reason="exited with status 2 after 9min" if fails else "exited with status 0",
        exit_code=2 if fails else 0,
        invocation_id="0" * 32,
    )


def timed(arguments: list[str], environment: Mapping[str, str]) -> float:
    """Seconds. A command that fails is a bug of the bench."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return took


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        home, now = Path(name), datetime.now(UTC)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "HOME": name,
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        paths = user(home, home / "run")
        paths.ready.parent.mkdir(parents=True)
        paths.ready.touch()
        deploy(paths, now)
        past = (now - 400 * HOUR).isoformat(timespec="seconds").replace("+00:00", "Z")
        with answers.served(paths, Agent()):
            for command, goal in COMMANDS.items():
                words = ["-m", "hostagent", *command.format(past=past).split()]
                pairs = [
                    (timed(["-c", "pass"], environment), timed(words, environment))
                    for _ in range(rounds)
                ]
                nothing, took = (median(values) for values in zip(*pairs, strict=True))
                verdict = "held" if took <= goal else "MISSED"
                missed += took > goal
                print(
                    f"{took * 1000:5.0f} ms  (python -c pass: {nothing * 1000:.0f} ms)  "
                    f"goal {goal * 1000:.0f} ms {verdict}:  hostagent {command}"
                )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
