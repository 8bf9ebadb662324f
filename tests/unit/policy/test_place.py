"""Where a job may run, and in which order its hosts ask (policy.place)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Form, Job, Schedule
from hostagent.policy.place import (
    LAST_STEP,
    LONGEST_STEP,
    STEP,
    Host,
    ask_at,
    decide,
    due_at,
    left_to,
    ranked,
    step,
)

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
JOB = Job("backup", ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), timedelta(1))
FIVE = tuple(Host(f"db{number}") for number in range(1, 6))

names = st.text("abcdw123.-", min_size=1, max_size=8)
labels = st.lists(st.sampled_from(["ssd", "role=db", "role=web", "os=debian"]), max_size=3)
hosts = st.lists(
    st.builds(Host, names, labels.map(tuple), st.booleans()),
    max_size=12,
    unique_by=lambda host: host.name,
)
patterns = st.lists(
    st.sampled_from(["db1", "db*", "!db*", "[ab]*", "?", "*", "!a", "w1"]), max_size=3
).map(tuple)
jobs = st.builds(
    lambda hosts, labels, prefer, elsewhere: replace(
        JOB, hosts=hosts, labels=labels, prefer=prefer, retry_elsewhere=elsewhere
    ),
    patterns,
    labels.map(tuple),
    patterns,
    st.booleans(),
)


@pytest.mark.parametrize(
    ("written", "name", "eligible"),
    [
        ((), "web1", True),
        (("db1",), "db1", True),
        (("db1",), "db10", False),
        (("db1",), "DB1", False),
        (("db*",), "db-canary", True),
        (("db*", "!db-canary"), "db-canary", False),
        (("!db-canary", "db*"), "db-canary", False),
        (("!db-canary",), "web1", True),
        (("!db-canary",), "db-canary", False),
        (("db*", "web1"), "web1", True),
        (("web-[12]",), "web-2", True),
        (("web-[!12]",), "web-2", False),
        (("*.example.org",), "web1", False),
    ],
)
def test_hosts_are_named_by_globs(written: tuple[str, ...], name: str, eligible: bool) -> None:
    """Any pattern lets a host in, any exclusion keeps it out, in whatever order they stand."""
    assert decide(replace(JOB, hosts=written), Host(name)).eligible is eligible


@pytest.mark.parametrize(
    ("wanted", "own", "eligible"),
    [
        (("role=db",), ("role=db",), True),
        (("role=db",), ("role=web",), False),
        (("role=db",), ("role",), False),
        (("role",), ("role=web",), True),
        (("role",), ("roles=web",), False),
        (("ssd", "role=db"), ("role=db",), False),
        (("ssd", "role=db"), ("role=db", "ssd"), True),
        (("role=db", "role=web"), ("role=web", "role=db"), True),
    ],
)
def test_all_labels_must_match(
    wanted: tuple[str, ...], own: tuple[str, ...], eligible: bool
) -> None:
    """By value where one is asked for, else by being there."""
    assert decide(replace(JOB, labels=wanted), Host("db1", own)).eligible is eligible


def test_the_sentences_say_what_is_missing() -> None:
    """So that `why` can answer for each host."""
    job = replace(JOB, hosts=("db*", "!db9"), labels=("ssd", "role=db"))
    assert decide(job, Host("web1")).reason == "web1 is not among the job's hosts: db*, !db9"
    assert decide(job, Host("db1", ("role=db",))).reason == (
        "db1 lacks the labels ssd; its own are: role=db"
    )
    assert decide(job, Host("db1", ("role=db", "ssd"))).reason == (
        "db1 has what the job asks for: db*, !db9, ssd, role=db"
    )
    assert decide(JOB, Host("db1", draining=True)).reason == "db1 is draining"
    assert decide(JOB, Host("db1")).reason == "db1 will do: any host may"


def test_agents_of_every_version_come_to_this_order() -> None:
    """A change of the hash would let two versions rank differently: then both ask at once."""
    assert ranked(JOB, "", FIVE) == ("db5", "db2", "db1", "db4", "db3")
    assert ranked(JOB, "orders", FIVE) == ("db2", "db5", "db1", "db3", "db4")


def test_preferred_hosts_ask_first_in_their_order() -> None:
    """Within an entry, and after all of them, the hash decides."""
    job = replace(JOB, prefer=("db3", "db[14]"))
    assert ranked(job, "", FIVE) == ("db3", "db1", "db4", "db5", "db2")
    job = replace(JOB, prefer=("!db5", "db3"))
    assert ranked(job, "", FIVE) == ("db3", "db2", "db1", "db4", "db5")


def test_a_retry_elsewhere_asks_the_last_host_last() -> None:
    """Even a preferred one; and it still may, if nobody else is there."""
    job = replace(JOB, prefer=("db4",), retry_elsewhere=True)
    assert ranked(job, "", FIVE, last_host="db4") == ("db5", "db2", "db1", "db3", "db4")
    assert ranked(job, "", FIVE[3:4], last_host="db4") == ("db4",)
    assert ranked(replace(job, retry_elsewhere=False), "", FIVE, last_host="db4")[0] == "db4"


def test_what_a_paused_host_leaves_goes_to_the_live_ones_that_may_run_it() -> None:
    """In their order; to nobody who is gone, or whom the job does not name."""
    order = ("db1", "db3", "db2")
    assert left_to(order, {"db2", "db3", "web"}) == ("db3", "db2")
    assert left_to(order, {"web"}) == ()


def test_each_rank_asks_50_ms_after_the_one_before() -> None:
    """Up to the hundredth."""
    assert ask_at(T, 0) == T
    assert ask_at(T, 3) == T + timedelta(milliseconds=150)
    assert ask_at(T, 100) == ask_at(T, 5000) == T + LAST_STEP


def test_ranks_are_further_apart_where_answers_are_slow() -> None:
    """The slowest of the last ones counts, twice; quick ones and none at all change nothing."""
    assert step([]) == step([timedelta(milliseconds=5)] * 8) == STEP
    answers = [timedelta(milliseconds=5), timedelta(milliseconds=200)]
    assert step(answers) == timedelta(milliseconds=400)
    assert ask_at(T, 3, step(answers)) == T + timedelta(milliseconds=1200)
    assert step([timedelta(minutes=1)]) == LONGEST_STEP


def test_rank_zero_asks_after_the_jobs_jitter() -> None:
    """The jitter that spreads jobs is the job's, not the host's: within its bound, and stable."""
    job = replace(JOB, schedule=replace(JOB.schedule, jitter=timedelta(minutes=2)))
    late = due_at(job, "", T) - T
    assert timedelta(0) < late < timedelta(minutes=2)
    assert due_at(job, "", T + timedelta(days=1)) - T == timedelta(days=1) + late
    assert due_at(job, "orders", T) - T != late


@given(job=jobs, scope=st.sampled_from(["", "orders"]), hosts=hosts, data=st.data())
def test_the_ranks_are_a_permutation_of_the_eligible_hosts(
    job: Job, scope: str, hosts: list[Host], data: st.DataObject
) -> None:
    """The same on every host, in whatever order it hears of the others."""
    last = data.draw(st.sampled_from([None, *(host.name for host in hosts)]))
    order = ranked(job, scope, hosts, last)
    eligible = sorted(host.name for host in hosts if decide(job, host).eligible)
    assert sorted(order) == eligible
    assert order == ranked(job, scope, data.draw(st.permutations(hosts)), last)
    assert len({ask_at(T, rank) for rank in range(len(order))}) == len(order)


@given(job=jobs, hosts=hosts, data=st.data())
def test_a_host_that_goes_moves_nobody_else(
    job: Job, hosts: list[Host], data: st.DataObject
) -> None:
    """The others keep their order, so only the runs of the one that went move, to its second."""
    gone = data.draw(st.sampled_from([Host("nobody"), *hosts]))
    rest = [host for host in hosts if host is not gone]
    before = [name for name in ranked(job, "", hosts) if name != gone.name]
    assert list(ranked(job, "", rest)) == before


def test_every_host_gets_its_share_of_the_jobs() -> None:
    """A thousand jobs on five hosts: 200 each, give or take what chance does (four sigma)."""
    first = Counter(ranked(replace(JOB, name=f"job-{n}"), "", FIVE)[0] for n in range(1000))
    assert set(first) == {host.name for host in FIVE}
    assert all(abs(count - 200) < 51 for count in first.values())
    assert timedelta(0) < STEP
