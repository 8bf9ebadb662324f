"""A host, its agent or its wire is lost: another host takes over, and never beside the first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.machine import agent, history
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots
from tests.machine.images import VENV

TTL_S = 15
TAKEN_S = TTL_S + 5
"""Within which another host has started what a lost one ran."""

LONG = """
[job.long]
command = "/usr/local/bin/work 3600 stubborn"
calendar = "{at}"
jitter = 0
timeout = "2h"
stop_timeout = "2s"
quarantine_after = 50

[job.idle]
command = "/usr/local/bin/work 60"
calendar = "2099-01-01"
"""

LIVE = "hostagent status --cluster | grep -q '^{} *live'"

CLAIM = f"""{VENV}/bin/python3 -c '
from datetime import UTC, datetime
from hostagent.agent import config
from hostagent.host import identity, paths
from hostagent.model import Kind
from hostagent.store.open import open_store
from hostagent.store.port import Session, Want

places = paths.system()
store = open_store(config.load(places).store)
[cursor] = store.cursors([("idle", "")])
session = Session(places.session.read_text(), identity.host_name(), identity.boot_id())
now = datetime.now(UTC)
want = Want("idle", "", cursor.spec_hash, Kind.MANUAL, now.replace(microsecond=0), "test", now)
print(store.claim(session, [want]))
'"""
"""What an agent has done whose host dies between its claim and its order to PID 1."""


@pytest.fixture(scope="module", params=["postgres", "dir"])
def cluster(roots: Roots, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts, of which one runs a job of an hour that ignores SIGTERM."""
    with Cluster(roots, hosts=3, store=request.param) as made:
        at = made["host1"].succeed("date --utc -d '12 seconds' '+%Y-%m-%d %H:%M:%S'").strip()
        made.deploy(LONG.format(at=at))
        starts(made, 1, 30)
        yield made


def starts(cluster: Cluster, count: int, within_s: float) -> list[history.Line]:
    """The starts so far, once there are ``count``."""
    end = time.monotonic() + within_s
    while True:
        found = [line for line in cluster.history() if line.what == "start"]
        if len(found) >= count:
            return found
        assert time.monotonic() < end, f"{len(found)} starts, {count} wanted: {found}"
        time.sleep(0.1)


def taken_over(cluster: Cluster, before: history.Line, lost_at: float) -> history.Line:
    """The start that follows ``before``: in time, elsewhere, and after its last sign of life."""
    known = len(starts(cluster, 1, 0))
    new = starts(cluster, known + 1, TAKEN_S + 5)[-1]
    last = [line for line in cluster.history() if line.token == before.token][-1]
    assert new.at - lost_at <= TAKEN_S
    assert new.host != before.host
    assert (new.token, new.attempt) == (before.token + 1, before.attempt + 1)
    assert last.at < new.at, f"it wrote {last.at - new.at:.1f} s beside its successor"
    return new


def running(cluster: Cluster) -> history.Line:
    """The last start, which must be alive, once all hosts are back from the test before."""
    for host in cluster.hosts:
        cluster[host].wait_until(LIVE.format(host), timeout=30)
    newest = starts(cluster, 1, 0)[-1]
    end = time.monotonic() + 5
    while [line for line in cluster.history() if line.token == newest.token][-1].at < (
        time.time() - 1
    ):
        assert time.monotonic() < end, f"{newest} does not live"
        time.sleep(0.1)
    return newest


def test_a_power_cut(cluster: Cluster) -> None:
    """The whole host is gone, and comes back without what it ran."""
    before, at = running(cluster), time.time()
    cluster.kill(before.host)
    taken_over(cluster, before, at)
    cluster.boot(before.host)
    agent.wait_for_agent(cluster[before.host])
    assert running(cluster).host != before.host


def test_a_hung_agent(cluster: Cluster) -> None:
    """PID 1 stops the run without it, before another host starts."""
    before, at = running(cluster), time.time()
    cluster.stop_agent(before.host)
    taken_over(cluster, before, at)
    cluster.cont_agent(before.host)
    agent.wait_for_agent(cluster[before.host])
    assert cluster[before.host].run("systemctl is-active hostagent-long").stdout != "active\n"


def test_a_frozen_host(cluster: Cluster) -> None:
    """The one case that no scheduler excludes: it thaws with a stale token, and is stopped."""
    before, at = running(cluster), time.time()
    cluster.pause(before.host)
    new = taken_over(cluster, before, at)
    cluster.resume(before.host)
    thawed_at = time.time()
    cluster[before.host].wait_until("! systemctl is-active hostagent-long", timeout=10)
    mine = [line for line in cluster.history() if line.token == before.token]
    assert mine[-1].at < thawed_at + 5
    assert running(cluster).token == new.token


def test_a_host_cut_off_from_the_store(cluster: Cluster) -> None:
    """It stops its run in time, without having heard from anybody."""
    before, at = running(cluster), time.time()
    if cluster.store == "dir":
        pytest.skip("what cuts a host off from a directory is its mount: the VM tests' matter")
    cluster.cut_store(before.host)
    taken_over(cluster, before, at)
    cluster.heal(before.host)


def test_a_claim_of_the_boot_before_is_not_started(cluster: Cluster) -> None:
    """Others watch the session that it hangs on, and would take it over beside its run."""
    busy = running(cluster).host
    idle = next(name for name in cluster.hosts if name != busy)
    cluster.stop_agent(idle)
    assert "Claimed" in cluster[idle].succeed(CLAIM)
    cluster.kill(idle)
    cluster.boot(idle)
    agent.wait_for_agent(cluster[idle])
    (row,) = agent.wait_for_runs(cluster[idle], "idle", agent.ended(1))
    assert (row["outcome"], row["result"]) == ("failed", "host-lost")
    assert [line for line in cluster.history() if line.job == "idle"] == []


def test_an_agent_without_its_session_stops_what_runs_on_it(cluster: Cluster) -> None:
    """Nobody renews the lease of that run any more, so PID 1 does not wait for its end."""
    before, at = running(cluster), time.time()
    cluster[before.host].write("/run/hostagent/session", "another")
    cluster.kill_agent(before.host)
    end = time.monotonic() + TAKEN_S
    while (new := starts(cluster, 1, 0)[-1]) == before:
        assert time.monotonic() < end
        time.sleep(0.1)
    last = [line for line in cluster.history() if line.token == before.token][-1]
    assert last.at < new.at
    assert last.at < at + TTL_S / 2, "it was not stopped at once"


def test_a_host_that_is_shut_down_hands_over_at_once(cluster: Cluster) -> None:
    """PID 1 stops the run, the agent sees it to its end, and nobody waits for a lease."""
    before, at = running(cluster), time.time()
    cluster[before.host].run("systemctl poweroff")
    new = taken_over(cluster, before, at)
    assert new.at - at < TTL_S
    cluster[before.host].wait_until_off()
    cluster.boot(before.host)
    agent.wait_for_agent(cluster[before.host])


def test_an_agent_that_is_stopped_for_a_while_loses_nothing(cluster: Cluster) -> None:
    """A reinstall: it parks its session, and its run goes on under the same token."""
    before = running(cluster)
    host = cluster[before.host]
    host.succeed("systemctl stop hostagent.service")
    time.sleep(TTL_S + 5)
    host.succeed("systemctl start hostagent.service")
    agent.wait_for_agent(host)
    time.sleep(1)
    assert running(cluster) == before


def test_an_idle_agent_hands_over_at_once(cluster: Cluster) -> None:
    """Its session is over with it: nobody waits for a lease to run out."""
    busy = running(cluster).host
    idle = next(name for name in cluster.hosts if name != busy)
    cluster[idle].succeed("systemctl stop hostagent.service")
    told = cluster[busy].succeed("hostagent status --cluster")
    assert not any(line.startswith(idle) for line in told.splitlines()), told
    cluster[idle].succeed("systemctl start hostagent.service")
    agent.wait_for_agent(cluster[idle])


def test_a_host_of_the_cluster_tells_how_it_is(cluster: Cluster) -> None:
    """The doctor reads both stores and compares the clocks; monitoring hears of the lease."""
    host = cluster[running(cluster).host]
    findings = json.loads(host.run("hostagent doctor --json").stdout)
    told = [(one["what"], one["verdict"]) for one in findings]
    assert told.count(("store", "ok")) == 2
    (clock,) = (one for one in findings if one["what"] == "clock")
    assert "the store's" in clock["sentence"] or "timesyncd" in clock["sentence"]
    assert "wrong" not in {verdict for _, verdict in told}, findings
    lines = host.succeed("hostagent metrics").splitlines()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert 0 < float(figures["hostagent_lease_remaining_seconds"]) <= TTL_S
    assert figures['hostagent_store_up{store="shared"}'] == "1"
    assert figures["hostagent_running_runs"] == "1"


def test_the_ledger_tells_all_of_it(cluster: Cluster) -> None:
    """One run, its attempts in order on their hosts, and why each followed."""
    rows = [row for row in cluster.runs() if row["job"] == "long"]
    assert [row["attempt"] for row in rows] == list(range(1, len(rows) + 1))
    assert all(row["outcome"] == "failed" for row in rows[:-1])
    assert rows[-1]["outcome"] is None
    told = cluster["host1"].succeed("hostagent why long")
    assert "has not renewed its lease" in told
    agent.audit(cluster["host1"])
