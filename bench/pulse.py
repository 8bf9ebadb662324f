"""A pulse: many jobs fall due at one instant on all hosts of a cluster, and each runs once.

Run as root: ``python -m bench.pulse [HOSTS] [JOBS] [JITTER_S]`` (8 and 2,000; the jitter is by
default what two cores need to wake all hosts for all jobs). In one run, on one PostgreSQL server
in a container machine of its own, which keeps its data in memory:

- hostagent: every host is a container machine with a PID 1 and an agent; each has a timer for
  each job, all of them for one instant, spread by the jitter
- procrastinate and APScheduler 4, with a worker process for each host, in that host's network and
  otherwise a plain process of this machine (its timers are the workers' own, so it needs no PID 1);
  all tasks are due at one instant without any jitter, so theirs is the rate that they can reach

Each runs the same program once for each job, in hostagent as a service and in the others as a
subprocess of the worker; it writes down its start itself. Printed are:

- first, last: when the first and the last job started, in seconds after the instant
- a second: jobs over the time from the instant to the last start. hostagent's cannot be more
  than jobs / jitter; ``CPU ms`` says what it could be
- late: the last start, in seconds after the jitter's end (the instant, where there is none);
  without end where a job never started
- twice: starts beyond the first of each job; never: jobs that did not start
- CPU ms: processor time for each job, in milliseconds, from the instant to the last start, of all
  that has a part in it: the hosts or the workers, the server, the program itself
- asks: claims asked of the store for each occurrence, as the server counted them
  (pg_stat_statements). A claim that is given at once is a row of the claim's statement; any other
  one gets a second look by itself, whose first statement is counted. So an occurrence that a
  second host asks for, too, was asked for twice, whether it was refused or not. A host that reads
  that another has it asks for nothing; those reads are in ``calls``
- calls: statements that the server executed for each job; BEGIN and COMMIT are not counted

"Each job" is one that started. Whatever else this machine does meanwhile is in no column, but makes
all of them worse: on two cores, eight hosts need both.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import inf
from pathlib import Path

from bench.machine import cluster_of
from tests.machine import history
from tests.machine.cluster import Cluster
from tests.machine.images import CHECKOUT
from tests.machine.machine import Machine

WAKE_S = 0.03
"""How much of the default jitter there is for each wake: 40 ms of the two processors."""

DEPLOY_S = 0.005
DEPLOY_TIMEOUT_S = 600
SUBMIT_S = 0.02
"""How much of the time before the instant there is for each job (on each host)."""

LATE_S = 5.0
ASKS = 1.3

LOOK_S = 2.0
AFTER_S = 20.0
"""How long it is watched, after all have started, for what starts again."""

LOST_S = 90.0
"""What has not started so long after the last start, or the jitter's end, never will."""

JOB = """
[job.{name}]
command = "/usr/local/bin/work 0"
calendar = "{at}"
jitter = "{jitter_s:.0f}s"
"""
STOP = "systemctl stop hostagent.service hostagent.socket"

SETTINGS = """
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 20000
max_connections = 300
"""
COUNTED = """
SELECT coalesce(sum(rows) FILTER (WHERE query LIKE '%SKIP LOCKED%INSERT INTO run%'), 0)
     + coalesce(sum(calls) FILTER (WHERE query LIKE 'SELECT * FROM cursor WHERE job=%'
         AND query LIKE '%AND retired=%'), 0),
  coalesce(sum(calls) FILTER (WHERE query !~ '^(BEGIN|COMMIT|ROLLBACK|SET)'), 0)
FROM pg_stat_statements WHERE userid = 'hostagent'::regrole
"""
MONITOR = "postgres"
"""The database that the counting is done in: hostagent's own must hold nothing else."""

PEERS = {"procrastinate": "procrastinate", "APScheduler": "apscheduler"}
"""Their modules."""

READY = "ready\n"
HEAD = "jitter   first    last  a second    late  twice  never  CPU ms  asks  calls"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What came of one. ``due_at`` and ``starts_at`` are in seconds since 1970."""

    due_at: float
    jitter_s: float
    jobs: int
    starts: Counter[str]
    starts_at: list[float]
    cpu_s: float
    asked: int
    calls: int

    @property
    def late_s(self) -> float:
        """The last start, in seconds after the jitter's end; without end if some never started."""
        return inf if self.never else self.starts_at[-1] - self.due_at - self.jitter_s

    @property
    def asks(self) -> float:
        """Claims that were asked for, for each job that started."""
        return self.asked / len(self.starts)

    @property
    def twice(self) -> int:
        """Starts beyond the first of each job."""
        return self.starts.total() - len(self.starts)

    @property
    def never(self) -> int:
        """Jobs that did not start."""
        return self.jobs - len(self.starts)

    def __str__(self) -> str:
        first, last = (at - self.due_at for at in (self.starts_at[0], self.starts_at[-1]))
        asks = f"{self.asks:5.2f}" if self.asked else "    -"
        done = len(self.starts)
        return (
            f"{self.jitter_s:6.0f} {first:7.2f} {last:7.2f} {done / last:9.1f} "
            f"{self.late_s:7.2f} {self.twice:6} {self.never:6} "
            f"{self.cpu_s * 1000 / done:7.0f} {asks} {self.calls / done:6.1f}"
        )


def main() -> None:
    """Measure and print; exit 1 when a goal is missed."""
    given = dict(enumerate(sys.argv))
    hosts, count = int(given.get(1, 8)), int(given.get(2, 2000))
    jitter_s = float(given.get(3, max(5, round(hosts * count * WAKE_S))))
    jobs = [f"pulse{number:05}" for number in range(count)]
    print(f"{hosts} hosts, {count} jobs, a jitter of {jitter_s:g} s, {os.cpu_count()} processors")
    with cluster_of(hosts) as cluster:
        count_statements(cluster)
        pulses = {"hostagent": hostagent(cluster, jobs, jitter_s)}
        for peer, module in PEERS.items():
            if importlib.util.find_spec(module) is None:
                print(f"{peer} is not installed: pip install -e '.[bench]'")
                continue
            pulses[f"{peer} {version(module)}"] = workers(cluster, peer, jobs)
    print(f"{'':<22}{HEAD}")
    for name, pulse in pulses.items():
        print(f"{name:<22}{pulse}")
    sys.exit(1 if judge(pulses["hostagent"]) else 0)


def judge(pulse: Pulse) -> int:
    """Print how the goals stand; how many were missed."""
    goals = (
        ("late", pulse.late_s, LATE_S),
        ("asks", pulse.asks, ASKS),
        ("twice", pulse.twice, 0.0),
        ("never", pulse.never, 0.0),
    )
    missed = 0
    for name, found, goal in goals:
        missed += found > goal
        verdict = "goal held" if found <= goal else "goal MISSED"
        print(f"{name} = {found:.2f}; at most {goal:g}: {verdict}")
    return missed


def count_statements(cluster: Cluster) -> None:
    """Have the server count, and take connections enough for every worker's pool."""
    server = cluster.primary
    (release,) = server.machine.succeed("ls /etc/postgresql").split()
    server.machine.write(f"/etc/postgresql/{release}/main/conf.d/pulse.conf", SETTINGS)
    server.stop()
    server.start()
    server.psql("CREATE EXTENSION pg_stat_statements", database=MONITOR)


def hostagent(cluster: Cluster, jobs: Sequence[str], jitter_s: float) -> Pulse:
    """The pulse on agents, which are stopped after it."""
    due_at = time.time() + 60 + len(cluster.hosts) * len(jobs) * DEPLOY_S
    due_at -= due_at % 1  # a calendar's instants are whole seconds
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(due_at))
    text = "".join(JOB.format(name=name, at=at, jitter_s=jitter_s) for name in jobs)
    first, *others = cluster.hosts  # the first makes the store's schema
    for some in ([first], others):
        cluster.everywhere(lambda name: deploy(cluster[name], text), some)
    left_s = due_at - time.time()
    print(f"deployed on all hosts, {left_s:.0f} s before the instant", flush=True)
    assert left_s > 5, "deploying took too long"
    place, machines = cluster.network.place("history"), [cluster[name] for name in cluster.hosts]
    pulse = watch(cluster, place, jobs, due_at, jitter_s, lambda: inside(machines))
    cluster.everywhere(lambda name: cluster[name].succeed(STOP))
    return pulse


def deploy(machine: Machine, jobs: str) -> None:
    """Install an agent and have it take up ``jobs`` (the text of a jobs.toml)."""
    machine.succeed("hostagent agent install", timeout=DEPLOY_TIMEOUT_S)
    machine.write("/etc/hostagent/jobs.toml", jobs)
    machine.succeed("hostagent apply", timeout=DEPLOY_TIMEOUT_S)
    machine.succeed("hostagent agent status", timeout=DEPLOY_TIMEOUT_S)


def workers(cluster: Cluster, peer: str, jobs: Sequence[str]) -> Pulse:
    """The pulse on a worker process for each host."""
    schema = peer.lower()
    cluster.psql(f"CREATE SCHEMA {schema} AUTHORIZATION hostagent")
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        started = Path(place, "history")
        started.mkdir()
        program = Path(place, "work")
        program.write_text(history.PROGRAM.replace(history.PLACE, str(started)))
        program.chmod(0o755)
        known = {
            "PGHOST": cluster.network.addresses[cluster.stores[0]],
            "PGUSER": "hostagent",
            "PGPASSWORD": cluster.primary.password,
            "PGDATABASE": "hostagent",
            "PGOPTIONS": f"-c search_path={schema}",
            "WORK": str(program),
        }

        def start(host: str, *act: str) -> subprocess.Popen[str]:
            enter = ["nsenter", f"--target={cluster[host].leader}", "--net", "--"]
            program = [sys.executable, "-c", "from bench.peers import main; main()", peer]
            environment = os.environ | known | {"HOSTNAME": host}
            child = subprocess.Popen(
                [*enter, *program, *act],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=CHECKOUT,
                env=environment,
            )
            stack.callback(end, child)
            return child

        first = cluster.hosts[0]
        assert start(first, "set_up").wait() == 0
        serving = [start(host, "serve") for host in cluster.hosts]
        assert all(child.stdout and child.stdout.readline() == READY for child in serving)
        due_at = time.time() + 15 + len(jobs) * SUBMIT_S
        submitting = start(first, "submit", str(due_at))
        submitting.communicate("\n".join(jobs))
        assert submitting.returncode == 0
        assert time.time() < due_at - 5, "submitting took too long"
        pids = [child.pid for child in serving]
        return watch(cluster, started, jobs, due_at, 0.0, lambda: pids)


def end(child: subprocess.Popen[str]) -> None:
    """Stop a process, whatever it does."""
    child.terminate()
    try:
        child.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


def watch(
    cluster: Cluster,
    place: Path,
    jobs: Sequence[str],
    due_at: float,
    jitter_s: float,
    processes: Callable[[], Iterable[int]],
) -> Pulse:
    """Wait for the pulse and its end.

    ``place`` is where the program writes its starts, ``processes`` are those that have a part in
    it, besides the store's.
    """

    def busy_s() -> float:
        return spent_s([*processes(), *inside([cluster[name] for name in cluster.stores])])

    cluster.primary.psql("SELECT pg_stat_statements_reset()", database=MONITOR)
    time.sleep(max(0.0, due_at - time.time()))
    before_s = cpu_s = busy_s()
    starts: list[history.Line] = []
    changed_at = max(time.time(), due_at + jitter_s)
    while time.time() < changed_at + (AFTER_S if len(_jobs(starts)) == len(jobs) else LOST_S):
        time.sleep(LOOK_S)
        found = [line for line in history.read(place) if line.what == "start"]
        if len(found) > len(starts):
            starts, cpu_s = found, busy_s()
            changed_at = max(changed_at, time.time())
    assert starts, "no job has started"
    asked, calls = map(int, cluster.primary.psql(COUNTED, database=MONITOR).split("|"))
    return Pulse(
        due_at,
        jitter_s,
        len(jobs),
        _jobs(starts),
        [line.at for line in starts],
        cpu_s - before_s,
        asked,
        calls,
    )


def _jobs(starts: Sequence[history.Line]) -> Counter[str]:
    return Counter(line.job for line in starts)


def inside(machines: Iterable[Machine]) -> list[int]:
    """The processes of container machines, as this machine counts them."""
    spaces = {(Path("/proc") / str(machine.leader) / "ns/pid").readlink() for machine in machines}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if (process / "ns/pid").readlink() in spaces:
                found.append(int(process.name))
    return found


def spent_s(processes: Iterable[int]) -> float:
    """Processor time of processes and of the children that they have waited for, in seconds.

    By proc(5), stat: what ends meanwhile is counted with its parent.
    """
    ticks = 0
    for process in processes:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process}/stat").read_text()
            ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
