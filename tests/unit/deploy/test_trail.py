"""What an apply and a rollback leave in the audit log, in a real ledger beside an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hostagent.deploy.apply import Site, apply
from hostagent.deploy.rollback import last_other, rollback
from hostagent.errors import InputError
from hostagent.host import paths
from hostagent.store.sqlite.engine import SqliteStore
from tests.unit.deploy.builders import AT, generation, job


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An image, and a ledger."""
    places = paths.system(tmp_path)
    places.state.mkdir(parents=True)
    with closing(SqliteStore(places.state / "state.db", clock=lambda: AT)) as store:
        yield Site(places, "host", store=store, clock=lambda: AT)


def trail(site: Site) -> list[tuple[str, str, str]]:
    """Action, target and detail of each record."""
    assert site.store is not None
    log = site.store.audit_log()
    assert {(one.uid, one.host) for one in log} <= {(os.getuid(), "host")}
    return [(one.action, one.target, one.detail) for one in log]


def test_each_apply_that_changes_something_leaves_a_record(site: Site) -> None:
    """Who, which generation, how many jobs; one that changes nothing leaves none."""
    apply(site, generation(job("a"), job("b")))
    apply(site, generation(job("a"), job("b")))
    apply(site, generation(job("a", command=("/bin/false",)), job("c")))
    assert trail(site) == [
        ("apply", "generation 1", "2 jobs changed"),
        ("apply", "generation 2", "3 jobs changed"),
    ]


def test_a_rollback_says_to_what_it_went_back(site: Site) -> None:
    """And names the last generation that differs where there is nothing to go back to."""
    apply(site, generation(job("a")))
    with pytest.raises(InputError, match="no earlier generation"):
        rollback(site)
    assert last_other(site) is None
    apply(site, generation(job("a", "hourly")))
    rollback(site)
    assert trail(site)[-1] == ("rollback", "generation 3", "back to generation 1: 1 job changed")
    assert last_other(site) == 2
    assert rollback(site, 1).is_unchanged
    assert len(trail(site)) == 3
