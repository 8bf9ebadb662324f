"""A cluster at work while it is tormented, and the verdict: what soak tests and short ones do.

Many jobs with short periods run on all hosts; the nemesis does its work; then all is healed, what
is owed is caught up, and the checker compares what the jobs wrote with the ledger.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.machine import agent
from tests.machine.checker import check
from tests.machine.cluster import Cluster
from tests.machine.guest import MachineError
from tests.machine.nemesis import Nemesis
from tests.machine.verdict import Due, Frozen, Report, Takeover, due_every, percentile

PERIODS_S = (5, 6, 10, 12, 15, 20)
SCOPES = ("eu", "us")
TTL_S = 15.0
TAKEOVER_S = TTL_S + 5
"""How long a takeover may take, 99 times in 100 (DESIGN § 6)."""

SETTLED_S = 480.0
"""How long the backlog may take after all faults: the gate's settle time, and the work itself. Of
a job with missed = "all" that waited for minutes, one run follows the other."""

# Quarantine would be right for jobs whose hosts keep dying under them, and would end the test.
_JOB = """
[job.{name}]
command = "/usr/local/bin/work {lasts:.1f}{stubborn}"
calendar = "*:*:0/{period}"
timeout = "60s"
stop_timeout = "5s"
quarantine_after = 1000
memory_max = "64M"
overlap = "{overlap}"
missed = "{missed}"
retries = {retries}
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One job of an ordeal: when it is due, how long it lasts, and its policies."""

    name: str
    period_s: int
    lasts_s: float
    overlap: str = "skip"
    missed: str = "latest"
    retries: int = 0
    is_stubborn: bool = False
    scopes: tuple[str, ...] = ("",)
    on_each: bool = False
    hosts: tuple[str, ...] = ()

    def toml(self) -> str:
        """The job's table."""
        text = _JOB.format(
            name=self.name,
            lasts=self.lasts_s,
            stubborn=" stubborn" if self.is_stubborn else "",
            period=self.period_s,
            overlap=self.overlap,
            missed=self.missed,
            retries=self.retries,
        )
        if self.on_each:
            return f'{text}run_on = "each"\n'
        if self.hosts:
            text += f"hosts = {list(self.hosts)}\n"
        return f"{text}for_each = {list(self.scopes)}\n" if self.scopes != ("",) else text


def work(count: int, chance: random.Random) -> list[Work]:
    """So many jobs of all kinds; most are shorter than their period, some longer."""
    return [_work(f"j{number:02d}", number, chance) for number in range(count)]


def _work(name: str, number: int, chance: random.Random) -> Work:
    period = chance.choice(PERIODS_S)
    if number % 10 in {3, 7}:  # there is always a run of it to be taken over
        return Work(name, period, period * 2.5, is_stubborn=number % 20 == 3)
    lasts = period * chance.uniform(0.1, 0.6)
    missed = chance.choice(("latest", "latest", "all", "skip"))
    overlap = chance.choice(("skip", "skip", "queue", "replace"))
    if number % 10 == 6:
        return Work(name, period, lasts, overlap, missed, on_each=True)
    scopes = SCOPES if number % 10 == 8 else ("",)
    return Work(name, period, lasts, overlap, missed, chance.choice((0, 0, 2)), scopes=scopes)


def seed(number: int = 0) -> int:
    """The seed of the test's ``number``th run: HOSTAGENT_SEED, to repeat one, else any."""
    given = os.environ.get("HOSTAGENT_SEED")
    return int(given) + number if given else random.randrange(2**32)


def undergo(
    cluster: Cluster, jobs: Sequence[Work], nemesis: Nemesis, for_s: float
) -> tuple[Report, list[Takeover]]:
    """Run ``jobs`` for so long under ``nemesis``.

    Returns the verdict, and the takeovers that no trouble of the store delayed.
    """
    cluster.deploy("".join(job.toml() for job in jobs))
    began = time.time()
    nemesis.run(for_s)
    report = verdict(cluster, jobs, began)
    return report, _undelayed(cluster, report.takeovers)


def verdict(cluster: Cluster, jobs: Sequence[Work], began: float) -> Report:
    """What the checker says of all since ``began``, once what is owed has its outcome.

    Nothing is started any more after this.
    """
    ended = time.time()
    due = [one for job in jobs for one in _due(job, cluster.hosts, began, ended)]
    _wait(cluster, lambda rows: not _owed(due, rows), "what is owed has its outcome", SETTLED_S)
    cluster.everywhere(lambda name: cluster[name].succeed(agent.PAUSED))
    _wait(cluster, lambda rows: _is_told(cluster, rows), "all that ran has its outcome", 120)
    frozen = [Frozen(*span) for span in cluster.spans({"pause"}, {"resume", "kill"})]
    report = check(cluster.history(), cluster.runs(), due, frozen)
    print(report)
    told = " ".join(f"{v.about} {v.what}" for v in report.violations)
    told += " " + " ".join(one.run_id for one in report.takeovers if one.rest_s > TAKEOVER_S)
    print(*(row for row in cluster.runs() if row["run_id"] in told), sep="\n")
    # What fell due within the last moments may have its outcome in the next ones.
    cluster[cluster.hosts[0]].wait_until("hostagent audit --json", 20)
    return report


def judge(report: Report, takeovers: Sequence[Takeover]) -> None:
    """Nothing doubled, lost, early, unexplained; takeovers in time."""
    assert report.violations == [], str(report)
    assert report.starts, "no job has run"
    slow = "\n".join(str(one) for one in takeovers if one.rest_s > TAKEOVER_S)
    if takeovers:
        rest_s = percentile((one.rest_s for one in takeovers), 99)
        assert rest_s <= TAKEOVER_S, f"{report}\nnot delayed by the store, and slow:\n{slow}"


def _due(job: Work, hosts: Sequence[str], began: float, ended: float) -> list[Due]:
    scopes = tuple(hosts) if job.on_each else job.scopes
    return [
        one for scope in scopes for one in due_every(job.name, scope, job.period_s, began, ended)
    ]


def _owed(due: Sequence[Due], rows: list[dict[str, object]]) -> bool:
    return any(one.breach == "lost" for one in check((), rows, due).violations)


def _is_told(cluster: Cluster, rows: list[dict[str, object]]) -> bool:
    """Nothing runs, and hosts have copied what ran of their own jobs, which they do at a beat."""
    known = {row["run_id"] for row in rows}
    have_started = all(line.run_id in known for line in cluster.history())
    return have_started and all(row["outcome"] for row in rows)


def _wait(
    cluster: Cluster,
    is_so: Callable[[list[dict[str, object]]], bool],
    what: str,
    timeout: float,
) -> None:
    """Wait until the ledger is as wanted; a report of what is not so comes from the checker."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if is_so(cluster.runs()):
                return
        except MachineError as error:  # the store may still be on its way back
            print(error)
        time.sleep(1)
    print(f"after {timeout:.0f} s not so: {what}")


def _undelayed(cluster: Cluster, takeovers: Sequence[Takeover]) -> list[Takeover]:
    trouble = cluster.spans(
        {"stop_store", "fail_over", "fill_disk", "step_clock"},
        {"start_store", "rejoin", "free_disk", "true_clock"},
    ) + [
        span
        for span in cluster.spans({"kill", "partition"}, {"boot", "heal"})
        if span.whom not in cluster.hosts
    ]
    return [
        one
        for one in takeovers
        if not any(
            span.since < one.since + one.rest_s and one.since < span.until for span in trouble
        )
    ]
