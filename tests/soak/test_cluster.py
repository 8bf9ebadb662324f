"""Five hosts, sixty jobs, a fault every ten seconds, for a quarter of an hour.

``./test soak`` runs these, ``./test`` does not: it has short ones in tests/machine/test_ordeal.py.
HOSTAGENT_SEEDS=20 runs either with so many seeds, HOSTAGENT_SEED=n begins with this one.
"""

from __future__ import annotations

import random

import pytest

from tests.machine import ordeal
from tests.machine.faults import Store
from tests.machine.fixtures import NewCluster
from tests.machine.nemesis import Nemesis

pytestmark = [pytest.mark.machine, pytest.mark.one_try]

LASTS_S = 15 * 60


@pytest.mark.parametrize("store", ["postgres", "dir"])
def test_five_hosts_keep_their_promises(new_cluster: NewCluster, store: Store, round_: int) -> None:
    """Nothing doubled, lost, early or unexplained; takeovers within the lease and five seconds."""
    seed = ordeal.seed(round_)
    is_postgres = store == "postgres"
    cluster = new_cluster(5, store=store, replica=is_postgres, store_clock=is_postgres)
    jobs = ordeal.work(60, random.Random(seed))
    nemesis = Nemesis(cluster, seed)
    ordeal.judge(*ordeal.undergo(cluster, jobs, nemesis, LASTS_S))


def test_one_host_keeps_its_promises(new_cluster: NewCluster, round_: int) -> None:
    """The same on one host with its own SQLite: power cuts, freezes, kills of the agent."""
    seed = ordeal.seed(round_)
    cluster = new_cluster(1, store=None)
    jobs = ordeal.work(20, random.Random(seed))
    nemesis = Nemesis(cluster, seed, spare=0)
    ordeal.judge(*ordeal.undergo(cluster, jobs, nemesis, LASTS_S))
