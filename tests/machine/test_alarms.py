"""Being told: each alarm once, and once when it is over, by whoever is alive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine import agent
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots
from tests.machine.guest import Guest
from tests.machine.machine import Machine
from tests.machine.test_agent_gate import GATE, JOB, miss

TOLD, TELL, MENDED = "/root/told", "/usr/local/bin/tell", "/root/mended"
ENVIRONMENT = "$HOSTAGENT_ALARM|$HOSTAGENT_JOB|$HOSTAGENT_SCOPE|$HOSTAGENT_TEXT"
SCRIPT = f'#!/bin/sh\nprintf "%s\\t%s\\n" "$(cat)" "{ENVIRONMENT}" >>{TOLD}\n'

NOTIFY = f"""
[notify.ops]
command = "{TELL}"
"""
BROKEN = f"""
[job.broken]
command = "/usr/bin/test -e {MENDED}"
calendar = "*:*:0/2"
jitter = 0
alarm_after = 3
grace = "1min"
on_failure = "ops"
"""
WAITING = """
[pool.one]
max = 1

[job.hog]
command = "/bin/sleep 600"
calendar = "*:*:0/2"
jitter = 0
timeout = "10min"
pool = "one"

[job.mute]
command = "/bin/true"
calendar = "*:*:0/2"
jitter = 0
grace = "4s"
pool = "one"
on_failure = "ops"
"""
"""``mute`` never finds a place: nothing of it fails, it just does not run."""

MANY = 6
"""So many runs later nothing more was told."""


def told(machine: Guest, job: str | None = None) -> list[dict[str, Any]]:
    """The messages that came, in order; the environment said the same as standard input."""
    found = []
    for line in machine.run(f"cat {TOLD} 2>/dev/null").stdout.splitlines():
        text, environment = line.split("\t")
        message: dict[str, Any] = json.loads(text)
        same = [message[key] for key in ("alarm", "job", "scope", "text")]
        assert environment == "|".join(same)
        found.append(message)
    return [one for one in found if job in {None, one["job"]}]


def with_teller(machine: Guest, jobs: str) -> Guest:
    """An agent with these jobs, and a command that writes down what it is told."""
    machine.write(TELL, SCRIPT, 0o755)
    return agent.with_agent(machine, NOTIFY + jobs)


def wait_told(machine: Guest, alarm: str, timeout: float = 30) -> None:
    """Until somebody was told."""
    machine.wait_until(f'grep -q \'"alarm": "{alarm}"\' {TOLD}', timeout)


def more_runs(machine: Guest, job: str, count: int = MANY) -> None:
    """So many further runs have ended."""
    before = sum(row["outcome"] is not None for row in agent.runs(machine, job))
    agent.wait_for_runs(machine, job, agent.ended(before + count), timeout=60)


def test_a_job_that_fails_is_told_once_and_its_recovery_once(machine: Machine) -> None:
    """After alarm_after failures, not earlier, not again; status names it meanwhile."""
    with_teller(machine, BROKEN)
    wait_told(machine, "failed")
    failures = [row for row in agent.runs(machine, "broken") if row["outcome"] == "failed"]
    assert len(failures) >= 3
    more_runs(machine, "broken")
    (first,) = told(machine)
    assert first["alarm"] == "failed"
    assert "the last 3 runs failed" in first["reason"]
    assert "broken fails: the last 3 runs failed" in machine.succeed("hostagent status")
    (standing,) = agent.status(machine)["alarms"]
    assert (standing["job"], standing["alarm"]) == ("broken", "failed")
    agent.kill_agent(machine)  # what was told stands in the ledger
    agent.wait_for_agent(machine)
    more_runs(machine, "broken", 2)
    machine.succeed(f"touch {MENDED}")
    wait_told(machine, "recovered")
    more_runs(machine, "broken", 2)
    _, last = told(machine)
    assert (last["alarm"], last["was"]) == ("recovered", "failed")
    assert agent.status(machine)["alarms"] == []
    said = machine.succeed("journalctl -b -t hostagent HOSTAGENT_ALARM=recovered -o cat")
    assert said.count("broken has recovered") == 1


def test_a_job_that_does_not_run_is_silent(machine: Machine) -> None:
    """No success for a period and its grace, although nothing of it failed: told once."""
    with_teller(machine, WAITING)
    wait_told(machine, "silent")
    time.sleep(5)  # a period and the grace once more: nothing may come
    (message,) = told(machine)
    assert message["job"] == "mute"
    assert "; one was due" in message["reason"]
    assert "allowed are 4s" in message["reason"]
    assert "mute is silent" in machine.succeed("hostagent status")
    machine.succeed("systemctl stop hostagent-hog.service; hostagent pause hog --reason enough")
    machine.succeed("systemctl stop hostagent-hog.service")
    wait_told(machine, "recovered")


def test_a_notifier_that_fails_harms_nobody(machine: Machine) -> None:
    """One answers nothing, one fails, one never ends, one has quiet hours: the job runs on, others
    are told, the journal says who was not.
    """
    more = f"""
[notify.gone]
webhook = "http://127.0.0.1:9/secret"
[notify.bad]
command = "/bin/sh -c 'echo no paper >&2; exit 3'"
[notify.stuck]
command = "/bin/sleep 600"
[notify.asleep]
command = "{TELL}"
quiet = "Mon..Sun"
"""
    jobs = BROKEN.replace('"ops"', '["gone", "bad", "stuck", "asleep", "ops"]')
    with_teller(machine, more + jobs)
    wait_told(machine, "failed")
    more_runs(machine, "broken")
    machine.wait_until(
        "journalctl -b -t hostagent -o cat | grep -q '^stuck was not told that broken fails'", 90
    )
    said = machine.succeed("journalctl -b -t hostagent -o cat")
    assert "gone was not told that broken fails: " in said
    assert "(127.0.0.1: <urlopen error [Errno 111] Connection refused>)" in said
    assert "bad was not told that broken fails: " in said
    assert "secret" not in machine.succeed("journalctl -b -o cat")
    assert len(told(machine)) == 1


def test_mail_and_a_command_of_the_jobs_own(machine: Machine) -> None:
    """Mail goes through sendmail; a command may stand in on_failure itself."""
    machine.write(
        "/usr/sbin/sendmail", '#!/bin/sh\necho "$@" >/root/mail; cat >>/root/mail\n', 0o755
    )
    mail = '[notify.root]\nmail = "root@localhost"\n'
    jobs = BROKEN.replace('"ops"', '["root", "/usr/bin/touch \'/root/by hand\'"]')
    with_teller(machine, mail + jobs)
    machine.wait_until("test -e '/root/by hand' && grep -q hostagent.why /root/mail", 30)
    letter = machine.read("/root/mail")
    assert letter.startswith("-t -i\n")
    assert "To: root@localhost\n" in letter
    assert "Subject: hostagent: broken failed\n" in letter
    assert "\nbroken fails: the last 3 runs failed" in letter


CREEPING = """
[job.creeping]
command = "/usr/local/bin/creep"
calendar = "*:*:0/2"
jitter = 0
timeout = "10s"
grace = "10min"
on_failure = "ops"
"""
CREEP = """#!/bin/sh
count=$(cat /root/count 2>/dev/null || echo 0)
echo $((count + 1)) >/root/count
sleep $(awk "BEGIN { print 0.7 + 0.15 * $count }")
"""
"""Takes longer each time: 1.6 s the seventh, and more than its 2 s the tenth."""


def test_a_creeping_run_is_told_before_it_overlaps(machine: Machine) -> None:
    """What grew day by day until it met the next run is told of while there is time."""
    machine.write("/usr/local/bin/creep", CREEP, 0o755)
    with_teller(machine, CREEPING)
    wait_told(machine, "near_interval")
    rows = agent.runs(machine, "creeping")
    assert {row["outcome"] for row in rows} <= {"succeeded", None}
    (message,) = told(machine)
    assert "of the 2s until the next" in message["reason"]
    assert "creeping comes near its interval" in machine.succeed("hostagent status")
    planned = machine.succeed("hostagent plan")
    assert "near_interval: 95 % of its last" in planned
    assert "(creeping)" in planned
    agent.wait_for_runs(
        machine,
        "creeping",
        lambda found: any(row["outcome"] == "skipped" for row in found),
        timeout=30,
    )
    assert [one["alarm"] for one in told(machine)] == ["near_interval"]


OVERRUNNING = """
[job.slow]
command = "/usr/local/bin/slow"
calendar = "*:*:0/2"
jitter = 0
overlap = "queue"
timeout = "10min"
grace = "10min"
on_failure = "ops"
"""
SLOW = """#!/bin/sh
count=$(cat /root/count 2>/dev/null || echo 0)
echo $((count + 1)) >/root/count
test $count -ne 11 || until test -e /root/end; do sleep 0.2; done
"""
"""Quick, but the twelfth time."""


@pytest.mark.skipif(not agent.LONG, reason="it takes a minute: HOSTAGENT_LONG=1")
def test_a_run_that_overruns_is_told_while_it_goes_on(machine: Machine) -> None:
    """A minute after what is usual, while it goes on; over with the next run that is usual."""
    machine.write("/usr/local/bin/slow", SLOW, 0o755)
    with_teller(machine, OVERRUNNING)
    wait_told(machine, "overran", timeout=120)
    running = [row for row in agent.runs(machine, "slow") if row["outcome"] is None]
    (message,) = told(machine)
    assert message["reason"].startswith(f"{running[0]['run_id']} on ")
    assert "goes on for more than 1min" in message["reason"]
    machine.succeed("touch /root/end")
    wait_told(machine, "recovered")
    assert [one["alarm"] for one in told(machine)] == ["overran", "recovered"]


@pytest.mark.skipif(not agent.LONG, reason="it takes 40 s: HOSTAGENT_LONG=1")
def test_a_large_backlog_is_told_once_and_its_end_once(machine: Machine) -> None:
    """More than a hundred runs wait after an absence: the host says so to who is told of hosts."""
    machine.write(TELL, SCRIPT, 0o755)
    agent.with_agent(machine, settings=GATE.format(settle=600))
    scopes = ", ".join(f'"{number}"' for number in range(101))
    many = JOB.format(
        name="many", command="/bin/true", calendar="{soon}", more=f"for_each = [{scopes}]"
    )
    miss(machine, f"{NOTIFY}of_hosts = true\n{many}")
    wait_told(machine, "backlog")
    assert "holds a backlog: 101 missed runs wait" in machine.succeed("hostagent status")
    machine.succeed("hostagent backlog abandon --all --reason enough")
    wait_told(machine, "recovered")
    assert [(one["alarm"], one["job"]) for one in told(machine)] == [
        ("backlog", ""),
        ("recovered", ""),
    ]


QUIET = """of_hosts = true

[job.a]
command = "/usr/bin/true"
calendar = "2099-01-01"
"""
UNIT = "/etc/systemd/system/hostagent-a.service"


def test_what_was_changed_behind_apply_is_told_until_apply_mends_it(machine: Machine) -> None:
    """Once for the host, at the daemon-reload that makes it count; an apply is no change."""
    with_teller(machine, QUIET)
    machine.succeed(f"sed -i 's/^Description=.*/Description=mine/' {UNIT}")
    machine.succeed("systemctl daemon-reload")
    wait_told(machine, "drift")
    name = machine.succeed("hostname").strip()
    said = f"host {name} is not as applied: hostagent-a.service is edited; see: hostagent drift"
    assert said in machine.succeed("hostagent status")
    machine.succeed("hostagent apply")
    wait_told(machine, "recovered")
    first, last = told(machine)
    assert (first["alarm"], first["job"], first["scope"], first["text"]) == (
        "drift",
        "",
        name,
        said,
    )
    assert (last["alarm"], last["was"]) == ("recovered", "drift")
    assert agent.status(machine)["alarms"] == []


CLUSTER_JOBS = f"""{NOTIFY}
[job.ours]
command = "/usr/bin/false"
calendar = "*:*:0/2"
jitter = 0
alarm_after = 3
grace = "1min"
on_failure = "ops"

[job.mine]
command = "/usr/bin/true"
calendar = "*:*:0/2"
run_on = "each"
jitter = 0
grace = "15s"
on_failure = "ops"

[job.pinned]
command = "/usr/bin/true"
calendar = "*:*:0/2"
hosts = ["host3"]
jitter = 0
grace = "15s"
on_failure = "ops"
"""


@pytest.fixture(params=["postgres", "dir"] if agent.LONG else ["postgres"])
def cluster(roots: Roots, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts that tell."""
    with Cluster(roots, hosts=3, store=request.param) as made:
        for name in made.hosts:
            made[name].write(TELL, SCRIPT, 0o755)
        made.deploy(CLUSTER_JOBS)
        yield made


def told_by(cluster: Cluster, hosts: list[str]) -> list[tuple[str, str, str]]:
    """What these hosts told: the alarm, the job, the scope."""
    messages = [one for name in hosts for one in told(cluster[name])]
    return sorted((one["alarm"], one["job"], one["scope"]) for one in messages)


def wait_for(what: Any, within_s: float) -> None:
    """Until ``what()`` is true."""
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "not within its time"
        time.sleep(0.5)


def test_a_cluster_tells_once_and_a_dead_hosts_jobs_are_told(cluster: Cluster) -> None:
    """Three hosts see the same failures, and one tells; two see what the third does no more."""
    wait_for(lambda: told_by(cluster, cluster.hosts), 60)
    time.sleep(10)
    assert told_by(cluster, cluster.hosts) == [("failed", "ours", "")]
    cluster.kill("host3")
    left = ["host1", "host2"]
    silent = [("silent", "mine", "host3"), ("silent", "pinned", "")]
    wait_for(lambda: set(silent) <= set(told_by(cluster, left)), 90)
    time.sleep(10)
    assert [one for one in told_by(cluster, left) if one[0] == "silent"] == silent
    shown = cluster["host1"].succeed("hostagent status")
    assert "mine@host3 is silent" in shown
    assert "ours fails" in shown
    cluster.boot("host3")
    recovered = {("recovered", "mine", "host3"), ("recovered", "pinned", "")}
    wait_for(lambda: recovered <= set(told_by(cluster, cluster.hosts)), 60)


@pytest.mark.skipif(not agent.LONG, reason="it takes 2 minutes: HOSTAGENT_LONG=1")
def test_each_host_tells_that_it_lost_the_store_by_itself(roots: Roots) -> None:
    """Without the store, once, and once when it is back; who reaches it has nothing to tell."""
    with Cluster(roots, hosts=2, settings='lease_ttl = "4s"\n') as two:
        for name in two.hosts:
            two[name].write(TELL, SCRIPT, 0o755)
        two.deploy(NOTIFY + QUIET)
        first = [("store", "", "host1")]
        two.cut_store("host1")
        wait_for(lambda: told_by(two, ["host1"]), 90)
        assert "host1 does not reach the store" in two["host1"].succeed("hostagent status")
        two.kill_agent("host1")
        agent.wait_for_agent(two["host1"])
        two.heal("host1")
        wait_for(lambda: told_by(two, ["host1"]) == [("recovered", "", "host1"), *first], 30)
        assert told_by(two, ["host2"]) == []
        two.stop_store()
        wait_for(lambda: told_by(two, ["host2"]), 90)
        wait_for(lambda: len(told_by(two, two.hosts)) == 4, 10)
        two.start_store()
        wait_for(lambda: len(told_by(two, two.hosts)) == 6, 30)
        for name, times in (("host1", 2), ("host2", 1)):
            heard = [one["alarm"] for one in told(two[name])]
            assert heard == ["store", "recovered"] * times
