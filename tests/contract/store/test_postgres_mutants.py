"""A claim in one statement refuses what the contract says: each part of it is missed by a test."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from hostagent.errors import StoreError
from hostagent.store.open import open_store
from hostagent.store.postgres import engine
from tests.contract.store import test_claims, test_registry, test_sessions
from tests.contract.store.builders import T0, job
from tests.contract.store.postgres import SERVER, needs_postgres

pytestmark = needs_postgres

MUTANTS: dict[str, tuple[str, str, Callable[..., None], tuple[Any, ...]]] = {
    "a removed job is claimed": (
        "c.retired=0 AND ",
        "",
        test_registry.test_a_job_of_each_host_that_becomes_the_cluster_s,
        (),
    ),
    "another schedule is claimed": (
        " USING (job, scope, spec_hash)",
        " USING (job, scope)",
        test_claims.test_another_schedule_is_no_claim,
        (),
    ),
    "two claims are active": (
        "c.active_token IS NULL AND ",
        "",
        test_sessions.test_claims_of_a_revoked_session_end_by_their_tokens,
        (),
    ),
    "a retry that waits is forgotten": (
        "c.retry_token IS NULL\n",
        "TRUE\n",
        test_claims.test_the_next_occurrence_overtakes_a_retry,
        (),
    ),
    "an occurrence is claimed twice": (
        "c.high_water < coalesce",
        "c.high_water <= coalesce",
        test_claims.test_an_occurrence_is_claimed_once,
        (),
    ),
    "a claim stands for what has its outcome": (
        "coalesce(w.covers_from, w.scheduled_for)",
        "w.scheduled_for",
        test_claims.test_a_claim_stands_for_nothing_that_has_its_outcome,
        (),
    ),
    "an occurrence of the future is claimed": (
        "w.scheduled_for <= live.now",
        "TRUE",
        test_claims.test_nothing_is_claimed_before_its_time,
        (),
    ),
    "a renamed job is claimed beside its run": (
        "f.active_token IS NOT NULL",
        "FALSE",
        test_registry.test_a_run_that_outlives_its_name_is_still_the_jobs_only_one,
        ("c",),
    ),
    "a closed session claims": (
        "s.state=0",
        "TRUE",
        test_claims.test_a_session_that_is_over_claims_nothing,
        (),
    ),
    "a session that has expired claims": (
        "s.expires_at > clock.now",
        "TRUE",
        test_sessions.test_what_has_expired_claims_nothing,
        (),
    ),
    "a clock that is far off claims": (
        "abs(clock.now - ?::bigint) <= ?",
        "? + ? > 0",
        test_sessions.test_a_clock_that_is_far_off_claims_nothing,
        (1,),
    ),
    "a claim hangs on nobody": (
        "?, boot_id",
        "left(?, 0), boot_id",
        test_sessions.test_claims_of_a_revoked_session_end_by_their_tokens,
        (),
    ),
}
"""The statement's text, what stands there instead, and who finds that."""

ONLY_STORE = {test_sessions.test_what_has_expired_claims_nothing}


@pytest.mark.parametrize("name", MUTANTS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("is_changed", [False, True], ids=["sound", "mutant"])
def test_a_part_that_is_missing_is_found(
    name: str, is_changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the suite's test of that rule, which the sound statement passes."""
    text, instead, finder, more = MUTANTS[name]
    statement = engine.CLAIM
    assert statement.count(text) == 1, "the engine's text has changed: change the mutant"
    with closing(open_store(SERVER.url())) as store:
        store.register([job("a"), job("b")], [], T0)
        session = store.open_session("one", "boot-1", ttl=test_sessions.TTL)
        given = (store,) if finder in ONLY_STORE else (store, session, *more)
        if not is_changed:
            finder(*given)
            return
        monkeypatch.setattr(engine, "CLAIM", statement.replace(text, instead))
        with pytest.raises((AssertionError, StoreError)):
            finder(*given)
