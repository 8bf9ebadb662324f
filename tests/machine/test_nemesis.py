"""The nemesis: its schedule comes from the seed, and it leaves a whole cluster behind."""

from __future__ import annotations

import random

import pytest

from tests.machine.fixtures import NewCluster
from tests.machine.nemesis import Nemesis, faults_of

pytestmark = pytest.mark.one_try


@pytest.mark.parametrize("store", ["postgres", "dir"])
def test_after_the_nemesis_all_is_healed(new_cluster: NewCluster, store: str) -> None:
    """Whatever it did, all machines are up, going and connected afterwards, the store too."""
    cluster = new_cluster(3, store=store, replica=store == "postgres")
    nemesis = Nemesis(cluster, random.randrange(2**32), every_s=0.7)
    nemesis.run(10)
    assert len({fault for _, fault, _, _ in nemesis.done} & set(faults_of(cluster))) > 1
    for name in cluster.hosts:
        cluster[name].succeed("true", timeout=5)
        if store == "postgres":
            cluster[name].succeed(
                f"timeout 1 bash -c '</dev/tcp/{cluster.primary.machine.name}/5432'"
            )
        else:
            cluster[name].succeed(f"touch /mnt/shared/{name}")
    if store == "postgres":
        cluster.psql("CREATE TABLE t (n int)")
        assert cluster.psql("SELECT sync_state FROM pg_stat_replication") == "sync\n"


def test_a_seed_fixes_what_comes_when(new_cluster: NewCluster) -> None:
    """The same seed brings the same faults to the same victims, if nothing is in the way."""
    stories = []
    for _ in range(2):
        nemesis = Nemesis(new_cluster(2, store=None), 7, ["kill_agent", "restart_agent"])
        for _ in range(6):
            nemesis.strike()
        stories.append([entry[1:] for entry in nemesis.done if "possible" not in entry[1]])
    assert stories[0] == stories[1]
    assert len(stories[0]) == 6
