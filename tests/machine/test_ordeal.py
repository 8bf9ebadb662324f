"""Three hosts under faults for a minute: nothing doubled, lost, early or unexplained."""

from __future__ import annotations

import random

import pytest

from tests.machine import ordeal
from tests.machine.faults import Store
from tests.machine.fixtures import NewCluster
from tests.machine.nemesis import Nemesis


@pytest.mark.alone
@pytest.mark.one_try
@pytest.mark.parametrize("store", ["postgres", "dir"])
def test_a_cluster_keeps_its_promises_under_faults(
    new_cluster: NewCluster, store: Store, round_: int
) -> None:
    """Faults of hosts, agents, network and store for a minute; then the histories are checked."""
    seed = ordeal.seed(round_)
    cluster = new_cluster(3, store=store)
    jobs = ordeal.work(12, random.Random(seed))
    ordeal.judge(*ordeal.undergo(cluster, jobs, Nemesis(cluster, seed, every_s=8), for_s=60))
