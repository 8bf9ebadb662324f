"""A fleet after an outage: 80 million firings owed, and a downstream that fails in the drain.

``python -m bench.storm fleet [--hosts N]`` prints what it cost, each goal with its verdict, and
exits 1 when one is missed. Some minutes on one core.

Two hours of outage, 10,000 hosts, one jobs.toml. On each host nine jobs: one for each policy
(``skip``, ``latest``, ``all``) and period (3 s, 30 s, 4 min). On each tenth host nine more of 30 s
that ask one downstream, which refuses 30 % of the runs that begin in minutes 5 to 15. They owe
82.3 million occurrences, as 99,000 (job, scope)s. The windows are a day, so that none of them
simply expires.

What is real: every decision (``bench.storm.member``), for each of the (job, scope)s and each of
their occurrences until they are back on their calendars. What is modelled: starts, ends and the
ledger, which never refuses. Hosts do not wait for each other: jobs are ``run_on = "each"``. Fresh
runs go on at 11,000 a second, which no core can decide about: on 50 of the hosts all of them are
followed (with the outage, and without), elsewhere those until the first after the backlog.
Those of ``missed = "all"`` are left out: they wait for their own job's missed ones, as they
should. Memory is that of one host's decisions and state (tracemalloc), since hosts share none.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bench.storm.member import Member
from bench.storm.tally import Tally, Trouble, Work
from hostagent.model import Form, Job, Missed, RunOn, Schedule
from hostagent.schedule.interval import default_anchor

HOSTS, ASKING, SAMPLE = 10_000, 10, 200
"""How many hosts; which part asks the downstream; which part is looked at more closely."""

CALM = 10
"""The part of those that ask the downstream which is played without its failure, too."""

OUTAGE = timedelta(hours=2)
SHORT, LONG = OUTAGE / 10, OUTAGE * 10
HORIZON_S, FRESH_S = 7200.0, 2400.0
WINDOW = timedelta(days=1)
DOWNSTREAM = "downstream"
TROUBLE = Trouble(DOWNSTREAM, from_s=300, until_s=900, share=0.3)
OWN: tuple[tuple[str, int, float, int, str | None], ...] = (
    ("often", 3, 0.3, 12, None),
    ("minutely", 30, 3.0, 12, None),
    ("seldom", 240, 60.0, 3, None),
)
ASKS = tuple((f"asks{number}", 30, 18.0, 24, DOWNSTREAM) for number in (1, 2, 3))
"""A name, the period and how long a run takes, in seconds, ``catch_up_max``, a pool."""

BEFORE, DURING, AFTER = range(2, 5), range(5, 15), range(15, 45)
"""Minutes. In the first one all hosts settle, and in the second one they begin."""


def jobs(number: int) -> list[Work]:
    """What runs on the host of that number."""
    mine = OWN if number % ASKING else OWN + ASKS
    return [_work(missed, *one) for missed in Missed for one in mine]


def _work(
    missed: Missed, name: str, period_s: int, work_s: float, most: int, pool: str | None
) -> Work:
    name, every = f"{name}-{missed}", timedelta(seconds=period_s)
    job = Job(
        name,
        ("/bin/true",),
        Schedule(Form.EVERY, "", every=every, anchor=default_anchor(name, every)),
        timedelta(hours=1),
        run_on=RunOn.EACH,
        missed=missed,
        catch_up_window=WINDOW,
        catch_up_max=most if missed is Missed.ALL else None,
        retries=1,
        memory_max=1 << 26,
        pool=pool,
    )
    return Work(job, work_s)


def played(
    numbers: Iterable[int],
    outage: timedelta | None,
    trouble: Trouble | None = TROUBLE,
    *,
    for_good: bool = False,
) -> Tally:
    """What comes of these hosts, together."""
    total = Tally()
    for number in numbers:
        member = Member(number, jobs(number), outage, trouble, for_good=for_good)
        total.add(member.play(FRESH_S if for_good else HORIZON_S))
    return total


def peak(number: int, outage: timedelta) -> int:
    """The most bytes that the decisions about a host need at a time, with what is known of it."""
    tracemalloc.start()
    try:
        played([number], outage)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@dataclass(slots=True)
class Found:
    """``sized``: a sample by the length of its outage, with the peak of memory of one host.

    ``fleet`` is all hosts, ``calm`` some that ask the downstream, when that does not fail.
    ``usual`` and ``fresh`` are those of which all fresh runs are followed: without, with an outage.
    """

    hosts: int
    fleet: Tally
    calm: Tally
    usual: Tally
    fresh: Tally
    sized: dict[timedelta, tuple[Tally, int]] = field(default_factory=dict)

    def rate(self, minutes: range, *, is_calm: bool = False) -> float:
        """Catch-up runs released for the downstream, a minute on each host that asks it."""
        tally = self.calm if is_calm else self.fleet
        found = sum(tally.released[DOWNSTREAM, minute] for minute in minutes)
        return found / len(minutes) / len(asking(self.hosts, CALM if is_calm else 1))


def asking(hosts: int, part: int) -> range:
    """One in so many of the hosts that ask the downstream."""
    return range(0, hosts, min(ASKING * part, hosts))


def measure(hosts: int, sample: int) -> Found:
    """Play everything; ``sample``: one host in so many is looked at more closely."""
    some = range(0, hosts, sample)
    found = Found(
        hosts,
        fleet=played(range(hosts), OUTAGE),
        calm=played(asking(hosts, CALM), OUTAGE, None),
        usual=played(some, None, for_good=True),
        fresh=played(some, OUTAGE, for_good=True),
    )
    for outage in (SHORT, OUTAGE, LONG):
        played([0], outage)  # what is kept for good is no part of a peak
        found.sized[outage] = played(some, outage), peak(0, outage)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """Of all, that one which so many do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def goals(found: Found) -> list[tuple[str, bool]]:
    """What has to hold, with its figures, and whether it does."""
    fleet, usual, fresh = found.fleet, found.usual, found.fresh
    (short, low), (_, middle), (long, high) = (found.sized[o] for o in (SHORT, OUTAGE, LONG))
    p99 = [percentile(one.ends_s, 0.99) for one in (usual, fresh)]
    latest_s = [max(one.starts_s) for one in (usual, fresh)]
    calm, failing = found.rate(DURING, is_calm=True), found.rate(DURING)
    rows, calls = long.rows / short.rows, long.calls / short.calls
    verdicts = {
        "{:,} occurrences were owed, {:,} have their outcome": (
            (fleet.owed, fleet.accounted),
            fleet.owed == fleet.accounted,
        ),
        "a hundred times as many owed: {:.2f} x the rows, {:.2f} x the store calls; at most 1.1": (
            (rows, calls),
            max(rows, calls) <= 1.1,
        ),
        "a hundred times as many owed: {:.2f} x the memory; at most 1.1": (
            (max(high, middle) / low,),
            max(high, middle) <= 1.1 * low,
        ),
        "{:,} fresh runs start {:.1f} s late at most; without an outage {:,}, {:.1f} s": (
            (len(fresh.starts_s), latest_s[1], len(usual.starts_s), latest_s[0]),
            latest_s[1] <= latest_s[0] and len(fresh.starts_s) >= 0.999 * len(usual.starts_s),
        ),
        "99 % of them end {:.1f} s after they were due; at most 1.1 x {:.1f} s": (
            (p99[1], p99[0]),
            p99[1] <= 1.1 * p99[0],
        ),
        "a minute {:.2f} runs are released for what fails, at most 0.7 x {:.2f}": (
            (failing, calm),
            failing <= 0.7 * calm,
        ),
        "all jobs are back on their calendars after {:.0f} min, at most {:.0f}": (
            (fleet.back_s / 60, HORIZON_S / 60),
            fleet.lines_back == fleet.lines,
        ),
    }
    return [(text.format(*figures), is_held) for text, (figures, is_held) in verdicts.items()]


def main(words: Sequence[str]) -> None:
    """Print the tables and the goals; exit 1 when one is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm fleet")
    parser.add_argument("--hosts", type=int, default=HOSTS)
    asked = parser.parse_args(words)
    began_s = time.process_time()
    found = measure(asked.hosts, min(SAMPLE, asked.hosts))
    for line in (*_sizes(found), *_minutes(found)):
        print(line)
    missed = 0
    for sentence, is_held in goals(found):
        missed += not is_held
        print(f"{sentence}: {'goal held' if is_held else 'goal MISSED'}")
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    cpu_s = time.process_time() - began_s
    print(f"{found.fleet.asked:,} decisions about the fleet; {cpu_s:.0f} s of CPU; {resident} MiB")
    sys.exit(1 if missed else 0)


def _sizes(found: Found) -> Iterable[str]:
    yield "| outage | hosts | owed | rows | store calls | most rows of one | peak of one host |"
    yield "|---|---|---|---|---|---|---|"
    some = len(range(0, found.hosts, min(SAMPLE, found.hosts)))
    for outage, (tally, size) in found.sized.items():
        yield (
            f"| {outage} | {some} | {tally.owed:,} | {tally.rows:,} | {tally.calls:,} "
            f"| {tally.most_rows} | {size / 1024:.0f} KiB |"
        )
    all_of = found.fleet
    yield (
        f"| {OUTAGE} | {found.hosts} | {all_of.owed:,} | {all_of.rows:,} | {all_of.calls:,} "
        f"| {all_of.most_rows} | |"
    )


def _minutes(found: Found) -> Iterable[str]:
    yield "\n| runs released for the downstream, a minute and host | it fails | it does not |"
    yield "|---|---|---|"
    for name, minutes in (("before", BEFORE), ("while it fails", DURING), ("after", AFTER)):
        rates = found.rate(minutes), found.rate(minutes, is_calm=True)
        span = f"{minutes.start} to {minutes.stop} min"
        yield f"| {name}, {span} | {rates[0]:.2f} | {rates[1]:.2f} |"
