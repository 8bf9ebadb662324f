"""What is due, and from when on: facts about registering, changing, removing, renaming."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostagent.errors import StoreConflict
from hostagent.model import Kind, Outcome
from hostagent.store.port import (
    Accepted,
    Decision,
    Pause,
    PauseTarget,
    Refusal,
    Refused,
    Registration,
    RunFilter,
    Session,
    Stale,
    Store,
)
from tests.contract.store.builders import (
    FUTURE,
    HASH,
    OTHER,
    T0,
    backfill,
    claimed,
    cursor,
    each,
    finish,
    in_force,
    job,
    out,
    ran,
    settlement,
    t,
    want,
)


def test_a_new_job_owes_nothing_of_the_past(store: Store, session: Session) -> None:
    """Its mark is the time of the apply."""
    assert cursor(store).high_water == T0
    assert store.claim(session, [want(-1)]) == [Refused(Refusal.PASSED)]


def test_registering_again_changes_nothing(store: Store, session: Session) -> None:
    """No record, no mark, no token moves, and no name is returned."""
    ran(store, session, want(1))
    before = store.specs(), store.cursors(), store.runs(RunFilter())
    assert store.register([job("a"), job("b")], [settlement(5, spec=OTHER)], t(9)) == []
    assert (store.specs(), store.cursors(), store.runs(RunFilter())) == before


def test_a_new_schedule_closes_the_old_one(store: Store, session: Session) -> None:
    """What the old one owed gets its outcome; nothing before the apply becomes due."""
    assert store.register([job("a", OTHER), job("b")], [settlement(2, 8, count=4)], t(9)) == ["a"]
    old, new = store.specs("a")
    assert (old.hash, old.valid_from, old.valid_to) == (HASH, T0, t(9))
    assert (new.hash, new.seq, new.valid_from, new.valid_to) == (OTHER, old.seq + 1, t(9), None)
    (row,) = store.runs(RunFilter(job="a"))
    assert (row.spec_hash, row.covers, row.scheduled_for) == (HASH, 4, t(8))
    assert store.claim(session, [want(9, spec=OTHER)]) == [Refused(Refusal.PASSED)]
    claimed(store, session, want(10, spec=OTHER))


def test_a_mark_above_now_stays(store: Store) -> None:
    """A clock that was set back makes nothing due again; its job changes at its mark."""
    store.settle([replace(settlement(1), first=FUTURE, last=FUTURE)])
    assert store.register([job("a", OTHER), job("b", OTHER)], [], t(9)) == ["a", "b"]
    assert {c.job: c.high_water for c in store.cursors()} == {"a": FUTURE, "b": t(9)}
    assert [(s.valid_from, s.valid_to) for s in store.specs("a")] == [(T0, FUTURE), (FUTURE, None)]


def test_schedules_of_one_job_never_overlap(store: Store) -> None:
    """Whatever the clock does between applies: each holds from where the one before it ends."""
    store.register([job("a", OTHER), job("b")], [], t(50))
    store.register([job("a", "c" * 16)], [], t(20))
    store.register([job("a", "c" * 16), job("b", OTHER)], [], t(10))
    spans = {n: [(s.valid_from, s.valid_to) for s in store.specs(n)] for n in "ab"}
    assert spans["a"] == [(T0, t(50)), (t(50), t(50)), (t(50), None)]
    assert spans["b"] == [(T0, t(20)), (t(20), None)]
    assert {c.job: c.high_water for c in store.cursors()} == {"a": t(50), "b": t(20)}


@pytest.mark.parametrize("change", [[job("a", OTHER), job("b")], [job("b")]], ids=["new", "gone"])
def test_a_claim_after_the_instant_of_a_change_is_a_conflict(
    store: Store, session: Session, change: list[Registration]
) -> None:
    """It was made by the old schedule: nothing is written, and a later instant is taken."""
    ran(store, session, want(10))
    before = store.specs(), store.cursors(), store.runs(RunFilter())
    with pytest.raises(StoreConflict):
        store.register(change, [settlement(5, name="b")], t(9))
    assert (store.specs(), store.cursors(), store.runs(RunFilter())) == before
    assert store.register([job("a"), job("b", OTHER)], [], t(9)) == ["b"]
    assert store.register([*change[:-1], job("b", OTHER)], [], t(10)) == ["a"]


def test_a_settlement_that_comes_too_late_is_a_conflict(store: Store, session: Session) -> None:
    """The rest of its span would get no outcome: nothing is written."""
    ran(store, session, want(3))
    before = store.specs(), store.cursors(), store.runs(RunFilter())
    closing = [settlement(5, name="b"), settlement(2, 8, count=4)]
    with pytest.raises(StoreConflict):
        store.register([job("a", OTHER)], closing, t(9))
    assert (store.specs(), store.cursors(), store.runs(RunFilter())) == before


def test_the_order_of_scopes_is_no_change(store: Store) -> None:
    """They are a set: no record is written and no name returned."""
    store.register([job("a", scopes=("eu", "us"))], [], t(2))
    before = store.specs(), store.cursors()
    assert store.register([job("a", scopes=("us", "eu"))], [], t(9)) == []
    assert (store.specs(), store.cursors()) == before


def test_a_job_is_removed_when_its_last_run_has_ended(store: Store, session: Session) -> None:
    """Until then its cursor shows the run; nothing new of it is claimed."""
    run = claimed(store, session, want(1))
    assert store.register([job("b")], [settlement(3)], t(9)) == ["a"]
    assert cursor(store).active == run
    assert store.claim(session, [want(10)]) == [Refused(Refusal.UNKNOWN)]
    assert store.finish([finish(run), finish(run)]) == [Accepted(), Accepted()]
    assert [c.job for c in store.cursors()] == ["b"]
    assert list(in_force(store)) == ["b"]
    assert len(store.runs(RunFilter(job="a"))) == 2


def test_others_stay_unless_they_are_to_go(store: Store) -> None:
    """``remove_others=False`` adds and changes, and removes nothing."""
    assert store.register([job("c")], [], t(9), remove_others=False) == ["c"]
    assert sorted(in_force(store)) == ["a", "b", "c"]


def test_a_job_that_comes_back_goes_on_counting(store: Store, session: Session) -> None:
    """Removed, pruned, registered again: no token twice, no occurrence again, none of between."""
    old = ran(store, session, want(1))
    store.register([job("b")], [], t(9))
    store.prune(t(20))
    store.register([job("a"), job("b")], [], t(30))
    assert store.claim(session, [want(30)]) == [Refused(Refusal.PASSED)]
    assert claimed(store, session, want(31)).token == old.token + 1
    assert store.finish([finish(old)]) == [Stale()]


def test_a_job_that_comes_back_before_its_mark_keeps_it(store: Store, session: Session) -> None:
    """A clock that was set back, and records that were pruned: nothing becomes due again."""
    ran(store, session, want(8))
    store.register([job("b")], [], t(9))
    store.prune(t(20))
    store.register([job("a"), job("b")], [], t(5))
    assert cursor(store).high_water == t(8)


def test_scopes_come_and_go_by_themselves(store: Store, session: Session) -> None:
    """Those that stay keep what they owe; one that comes, or comes back, owes nothing yet."""
    store.register([job("a", scopes=("eu", "us"))], [], t(2))
    ran(store, session, want(3, scope="eu"))
    store.register([job("a", scopes=("us", "asia"))], [], t(9))
    assert {c.scope: c.high_water for c in store.cursors()} == {"us": t(2), "asia": t(9)}
    store.register([job("a", scopes=("us", "eu"))], [], t(20))
    assert {c.scope: c.high_water for c in store.cursors()} == {"us": t(2), "eu": t(20)}
    assert cursor(store, scope="eu").token == 1
    assert [spec.scopes for spec in store.specs("a")][-2:] == [("us", "asia"), ("us", "eu")]


def test_a_retry_ends_with_its_schedule(store: Store, session: Session) -> None:
    """Another schedule, or none: the row says that it was not tried again."""
    runs = [claimed(store, session, want(1, name)) for name in "ab"]
    store.finish([finish(run, Outcome.FAILED, retry=2) for run in runs])
    store.register([job("a", OTHER)], [], t(9))
    for run in runs:
        (row,) = store.run(run.run_id)
        assert "not tried again" in (row.end_reason or "")
    assert cursor(store).retry_at is None
    assert store.claim(session, [want(1, attempt=2, spec=OTHER)]) == [Refused(Refusal.ATTEMPT)]


def test_a_renamed_job_keeps_what_it_had(store: Store, session: Session) -> None:
    """History, mark, token, schedule, retry, decisions and its pause; old run ids still find it."""
    run = claimed(store, session, want(1))
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    store.pause(Pause(PauseTarget.JOB, "a", "broken", "root", t(3)))
    store.note([Decision("a", "", t(3), "hold", "paused")])
    assert store.register([job("c", renamed="a"), job("b")], [], t(9)) == ["c"]
    assert cursor(store, "c").high_water == t(1)
    (spec,) = store.specs("c")
    assert (spec.valid_from, spec.valid_to) == (T0, None)
    assert [row.job for row in store.runs(RunFilter(job="c"))] == ["c"]
    assert store.run(run.run_id) == store.runs(RunFilter(job="c"))
    assert [pause.name for pause in store.pauses()] == ["c"]
    assert len(store.decisions("c")) == 1
    assert not [*store.specs("a"), *store.runs(RunFilter(job="a")), *store.decisions("a")]
    assert claimed(store, session, want(1, "c", attempt=2)).token == run.token + 1


def test_a_job_is_renamed_once(store: Store, session: Session) -> None:
    """The key may stay in the file: a job of the old name that is made later is its own."""
    renamed = job("c", renamed="a")
    store.register([renamed], [], t(9))
    assert store.register([renamed], [], t(10)) == []
    store.register([renamed, job("a")], [], t(20))
    ran(store, session, want(21))
    assert store.register([renamed], [], t(30)) == ["a"]
    assert len(store.runs(RunFilter(job="a"))) == 1
    assert store.runs(RunFilter(job="c")) == []


def test_a_run_that_outlives_its_name_moves_when_it_ends(store: Store, session: Session) -> None:
    """PID 1 knows it by the old unit until then; its repeated end is accepted."""
    run = claimed(store, session, want(1, invocation="1f"))
    store.register([job("c", renamed="a")], [], t(9))
    assert cursor(store, "a").active == run
    assert cursor(store, "c").active is None
    assert store.finish([finish(run), finish(run)]) == [Accepted(), Accepted()]
    assert [c.job for c in store.cursors()] == ["c"]
    (row,) = store.run(run.run_id)
    assert (row.job, row.outcome) == ("c", Outcome.SUCCEEDED)
    assert claimed(store, session, want(10, "c", kind=Kind.MANUAL)).token == run.token + 1


@pytest.mark.parametrize("names", ["c", "cd"])
def test_a_run_that_outlives_its_name_is_still_the_jobs_only_one(
    store: Store, session: Session, names: str
) -> None:
    """Renamed once or twice meanwhile: the new name is claimed once the run has ended."""
    run, old = claimed(store, session, want(1)), "a"
    for new in names:
        store.register([job(new, renamed=old)], [], t(9))
        old = new
    for kind in (Kind.SCHEDULED, Kind.MANUAL):
        assert store.claim(session, [want(10, old, kind=kind)]) == [Refused(Refusal.ACTIVE, run)]
    store.finish([finish(run)])
    assert claimed(store, session, want(10, old)).token == run.token + 1


def test_a_name_that_is_used_again_keeps_its_runs_apart(store: Store, session: Session) -> None:
    """Two jobs that had one name gave the same tokens: each run still has its own end."""
    going = claimed(store, session, want(1))
    ended = ran(store, session, want(1, "b"))
    assert ended.token == going.token
    store.register([job("c", renamed="a"), job("b")], [], t(9))
    store.register([job("a", renamed="b"), job("c")], [], t(10))
    assert cursor(store).active == going
    assert store.finish([finish(going, Outcome.FAILED)]) == [Accepted()]
    assert store.finish([finish(ended)]) == [Accepted()]
    assert cursor(store).active is None


def test_a_renamed_job_with_another_schedule_starts_it_from_now(store: Store) -> None:
    """Its old schedule is closed under the new name, and what it owed is settled."""
    store.register([job("c", OTHER, renamed="a")], [settlement(2, 8, count=4)], t(9))
    old, new = store.specs("c")
    assert (old.valid_to, new.valid_from, new.hash) == (t(9), t(9), OTHER)
    (row,) = store.runs(RunFilter(job="c"))
    assert (row.covers, row.spec_hash) == (4, HASH)
    assert cursor(store, "c").high_water == t(9)


def test_hosts_have_their_own_schedules(store: Store, session: Session) -> None:
    """One host's registration opens, changes and closes what is its own, and no other's."""
    for host in ("one", "two"):
        assert store.register([each(host, "c")], [], t(5), remove_others=False) == ["c"]
    ran(store, session, want(8, "c", "two"))
    assert store.register([each("one", "c", OTHER)], [], t(7), remove_others=False) == ["c"]
    assert store.register([each("one", "c", OTHER)], [], t(8), remove_others=False) == []
    found = [(s.host, s.hash, s.valid_from, s.valid_to, s.scopes) for s in store.specs("c")]
    assert sorted(found, key=lambda one: (one[0], one[2])) == [
        ("one", HASH, t(5), t(7), ("one",)),
        ("one", OTHER, t(7), None, ("one",)),
        ("two", HASH, t(5), None, ("two",)),
    ]
    marks = {c.scope: (c.spec_hash, c.high_water) for c in store.cursors() if c.job == "c"}
    assert marks == {"one": (OTHER, t(7)), "two": (HASH, t(8))}


def test_a_host_s_removal_is_its_own(store: Store, session: Session) -> None:
    """What others run stays; what the cluster runs goes, once it is not named."""
    for host in ("one", "two"):
        store.register([each(host, "c"), each(host, "d")], [], t(5), remove_others=False)
    changed = store.register([job("a"), each("one", "d")], [], t(9), host="one")
    assert sorted(changed) == ["b", "c"]
    left = {(s.job, s.host) for s in store.specs() if s.valid_to is None}
    assert left == {("a", ""), ("c", "two"), ("d", "one"), ("d", "two")}
    assert {(c.job, c.scope) for c in store.cursors()} == {
        ("a", ""),
        ("c", "two"),
        ("d", "one"),
        ("d", "two"),
    }
    claimed(store, session, want(10, "c", "two"))
    assert store.register([job("a")], [], t(20)) == []


def test_some_others_may_be_named_to_go(store: Store) -> None:
    """Those alone, if they are registered and not among the jobs."""
    store.register([job("a"), job("b"), job("c")], [], t(5))
    assert store.register([job("a")], [], t(9), remove_others=["a", "c", "x"]) == ["c"]
    assert sorted(in_force(store)) == ["a", "b"]
    assert store.register([], [], t(9), remove_others=()) == []


def test_a_job_of_each_host_that_becomes_the_cluster_s(store: Store, session: Session) -> None:
    """Its registration closes those of all hosts; a run that goes on is seen to its end."""
    for host in ("one", "two"):
        store.register([each(host, "c")], [], t(5), remove_others=False)
    run = claimed(store, session, want(6, "c", "two"))
    assert store.register([job("c")], [], t(9), remove_others=False) == ["c"]
    found = [(s.host, s.valid_from, s.valid_to) for s in store.specs("c")]
    assert found == [("one", t(5), t(9)), ("two", t(5), t(9)), ("", t(9), None)]
    assert {c.scope: c.active for c in store.cursors() if c.job == "c"} == {"": None, "two": run}
    assert store.claim(session, [want(10, "c", "one")]) == [Refused(Refusal.UNKNOWN)]
    claimed(store, session, want(10, "c"))


def test_a_job_of_the_cluster_that_becomes_each_host_s(store: Store, session: Session) -> None:
    """The first host's registration closes the cluster's; the next ones stand beside it."""
    store.register([job("a", scopes=("", "one"))], [], t(2))
    ran(store, session, want(4, scope="one"))
    assert store.register([each("one")], [], t(9), remove_others=False) == ["a"]
    assert store.register([each("two")], [], t(7), remove_others=False) == ["a"]
    found = [(s.host, s.valid_to) for s in store.specs("a") if s.valid_from >= t(9)]
    assert found == [("one", None), ("two", None)]
    marks = {c.scope: c.high_water for c in store.cursors() if c.job == "a"}
    assert marks == {"one": t(9), "two": t(9)}
    assert store.claim(session, [want(10)]) == [Refused(Refusal.UNKNOWN)]


def test_each_host_renames_what_is_its_own(store: Store, session: Session) -> None:
    """History and marks of the others stay under the old name until they apply, too."""
    for host in ("one", "two"):
        store.register([each(host, "c")], [], t(5), remove_others=False)
        ran(store, session, want(6, "c", host))
    store.pause(Pause(PauseTarget.JOB, "c", "broken", "root", t(3)))
    store.quarantine(out("c", "one"))
    store.backfill(backfill("c", "one"))
    renamed = each("one", "d", renamed="c")
    assert store.register([renamed], [], t(9), remove_others=False) == ["d"]
    assert store.register([renamed], [], t(9), remove_others=False) == []
    assert {(r.job, r.scope) for r in store.runs(RunFilter())} == {("d", "one"), ("c", "two")}
    assert {(s.job, s.host) for s in store.specs() if s.job in "cd"} == {("d", "one"), ("c", "two")}
    assert cursor(store, "d", "one").high_water == t(6)
    assert sorted(pause.name for pause in store.pauses()) == ["c", "d"]
    assert store.quarantines() == [replace(out("c", "one"), job="d")]
    assert store.backfills() == [backfill("d", "one")]
    ran(store, session, want(7, "c", "two"))
    store.register([each("two", "d", renamed="c")], [], t(9), remove_others=False)
    assert {r.job for r in store.runs(RunFilter())} == {"d"}
    assert [pause.name for pause in store.pauses()] == ["d"]


def test_cursors_are_found_by_name(store: Store) -> None:
    """Those that are there, each once, in order, however many are asked for."""
    store.register([job(f"job-{n:04}", scopes=("", "eu")) for n in range(1000)], [], t(2))
    asked = [(f"job-{n:04}", "eu") for n in range(1500)]
    found = store.cursors([*reversed(asked), asked[7], ("job-0001", "us")])
    assert [(c.job, c.scope) for c in found] == asked[:1000]
    assert store.cursors([]) == []
