"""What came of it, and what people ordered: reading the ledger, pruning, pauses, logs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hostagent.model import Kind, Only, Outcome
from hostagent.store.port import (
    AuditEvent,
    Decision,
    Pause,
    PauseTarget,
    Refusal,
    Refused,
    RunFilter,
    Session,
    Store,
    Tally,
)
from tests.contract.store.builders import (
    T0,
    alarm,
    backfill,
    claimed,
    cursor,
    end,
    finish,
    job,
    out,
    ran,
    settlement,
    stable_id,
    t,
    want,
)


@pytest.fixture
def history(store: Store, session: Session) -> Store:
    """a: succeeded at 1, failed at 3, manual at 3, running at 5; b: skipped at 2, by host two."""
    ran(store, session, want(1))
    store.finish([finish(claimed(store, session, want(3)), Outcome.FAILED)])
    ran(store, session, want(3, kind=Kind.MANUAL))
    claimed(store, session, want(5))
    two = store.open_session("two", "boot-2")
    store.settle([settlement(2, name="b")])
    ran(store, two, want(4, "b"))
    return store


@pytest.mark.parametrize(
    ("where", "seconds"),
    [
        (RunFilter(), [5, 4, 3, 3, 2, 1]),
        (RunFilter(limit=2), [5, 4]),
        (RunFilter(limit=0), []),
        (RunFilter(job="a"), [5, 3, 3, 1]),
        (RunFilter(job="nobody"), []),
        (RunFilter(scope="eu"), []),
        (RunFilter(scope=""), [5, 4, 3, 3, 2, 1]),
        (RunFilter(kind=Kind.MANUAL), [3]),
        (RunFilter(outcomes=(Outcome.FAILED,)), [3]),
        (RunFilter(outcomes=(Outcome.FAILED, Outcome.SKIPPED)), [3, 2]),
        (RunFilter(open_only=True), [5]),
        (RunFilter(host="two"), [4]),
        (RunFilter(since=t(3), until=t(4)), [4, 3, 3]),
        (RunFilter(job="b", until=t(2), outcomes=(Outcome.SKIPPED,)), [2]),
        (RunFilter(covering=t(3)), [3, 3]),
        (RunFilter(job="b", covering=t(3)), []),
        (RunFilter(ended_since=t(100)), [5, 4, 3, 3, 1]),
        (RunFilter(ended_since=t(101)), [5]),
        (RunFilter(reason="PAUSED"), [2]),
        (RunFilter(reason="exit 0"), [4, 3, 3, 1]),
        (RunFilter(reason="Due", job="a", host="one", limit=1), [5]),
        (RunFilter(reason="e_it%"), []),
        (RunFilter(reason="a!"), []),
        (RunFilter(reason=""), [5, 4, 3, 3, 2, 1]),
        (RunFilter(jobs=frozenset({"a", "nobody"})), [5, 3, 3, 1]),
        (RunFilter(jobs=frozenset({"a", "b"}), attempts_only=True, limit=3), [5, 4, 3]),
        (RunFilter(attempts_only=True), [5, 4, 3, 3, 1]),
    ],
    ids=stable_id,
)
def test_rows_are_found_by_what_is_asked(
    history: Store, where: RunFilter, seconds: list[int]
) -> None:
    """All conditions hold, bounds are inclusive, the newest and then the greater token first."""
    found = history.runs(where)
    assert [row.scheduled_for for row in found] == [t(s) for s in seconds]
    assert found == sorted(found, key=lambda r: (r.scheduled_for, r.token), reverse=True)


def test_a_hosts_rows_are_counted(history: Store, session: Session) -> None:
    """By job and outcome, from a time on; what is open is not among them."""
    done, failed, skipped = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED
    assert history.tally("one", t(2)) == [
        Tally("a", "", failed, 1, 0, timedelta(0)),
        Tally("a", "", done, 1, 0, timedelta(0)),
        Tally("b", "", skipped, 1, 0, timedelta(0)),
    ]
    assert history.tally("two", t(4)) == [Tally("b", "", done, 1, 0, timedelta(0))]
    assert history.tally("one", t(6)) == history.tally("three", t(0)) == []


def test_what_attempts_took_is_summed_up(store: Store, session: Session) -> None:
    """To the microsecond; those that never started took nothing."""
    for second in (10, 20):
        run = claimed(store, session, want(second, invocation="i" * 32))
        ended = t(second + 1) + timedelta(microseconds=second)
        store.finish([replace(finish(run), end=replace(end(), ended_at=ended))])
    ran(store, session, want(30))
    (told,) = store.tally("one", t(0))
    took = timedelta(seconds=(11 - 0.5) + (21 - 0.5), microseconds=30)
    assert (told.count, told.started, told.took) == (3, 2, took)


def test_a_row_is_found_by_what_it_covers(store: Store, session: Session) -> None:
    """From the first occurrence that it stands for to its own, both included."""
    wide = replace(want(5), covers_from=t(2), covers=4)
    run = claimed(store, session, wide)
    for second, found in ((1, []), (2, [run]), (4, [run]), (5, [run]), (6, [])):
        assert store.runs(RunFilter(covering=t(second))) == found


def test_a_run_id_names_all_its_attempts(store: Store, session: Session) -> None:
    """Oldest first; an unknown id, and what is no id, names none."""
    store.register([job("a", scopes=("eu.west",))], [], t(0))
    first = claimed(store, session, want(1, scope="eu.west"))
    store.finish([finish(first, Outcome.FAILED, retry=2)])
    ran(store, session, want(1, scope="eu.west", attempt=2))
    assert [row.attempt for row in store.run(first.run_id)] == [1, 2]
    assert store.run("a.20250301T000002Z") == []
    assert store.run("no id") == []


def test_instants_are_kept_to_the_microsecond(store: Store, session: Session) -> None:
    """No engine rounds: an occurrence's identity never changes."""
    at = t(1) + timedelta(microseconds=123457)
    run = ran(store, session, want(at))
    assert store.run(run.run_id)[0].scheduled_for == at


def test_pruning_leaves_what_is_still_needed(store: Store, session: Session) -> None:
    """Dropped is what ended before; an open run, one that waits, and the marks stay."""
    store.register([job("a"), job("b"), job("c"), job("d")], [], t(0))
    ran(store, session, want(1))
    store.finish([finish(claimed(store, session, want(1, "b")), Outcome.FAILED, retry=2)])
    waiting = claimed(store, session, want(1, "c"))
    store.finish([finish(waiting, Outcome.FAILED, retry=2)])
    second = claimed(store, session, want(1, "c", attempt=2))
    store.settle([settlement(2, 12, name="d", count=11)])
    assert store.retained_since() is None
    assert store.prune(t(10)) == 1
    left = {(row.job, row.attempt) for row in store.runs(RunFilter())}
    assert left == {("b", 1), ("c", 1), ("c", 2), ("d", 0)}
    assert store.finish([finish(second)])
    assert ran(store, session, want(1, "b", attempt=2)).attempt == 2
    assert {c.job: c.high_water for c in store.cursors()} == {
        "a": t(1),
        "b": t(1),
        "c": t(1),
        "d": t(12),
    }


def test_the_ledger_says_from_when_on_it_is_complete(store: Store) -> None:
    """The latest prune counts; one further back takes nothing of that away."""
    store.prune(t(10))
    store.prune(t(5))
    assert store.retained_since() == t(10)


def test_closed_schedules_are_pruned_with_their_time(store: Store) -> None:
    """Those in force stay, however old."""
    store.register([job("a", "c" * 16)], [], t(5))
    store.prune(t(9))
    assert [spec.hash for spec in store.specs()] == ["c" * 16]


def test_a_pause_is_replaced_and_lifted(store: Store) -> None:
    """One for each target; the lapsed ones are told too."""
    first = Pause(PauseTarget.JOB, "a", "broken", "root", t(1))
    second = Pause(PauseTarget.JOB, "a", "still broken", "alice", t(2), t(3))
    host = Pause(PauseTarget.HOST, "a", "moving", "root", t(1))
    for pause in (first, host, second):
        store.pause(pause)
    assert sorted(store.pauses(), key=lambda p: p.target) == [host, second]
    assert store.resume(PauseTarget.JOB, "a")
    assert not store.resume(PauseTarget.JOB, "a")
    assert store.pauses() == [host]


def test_what_is_out_stays_out_until_it_is_put_back(store: Store, session: Session) -> None:
    """With what was noted of it last; a prune leaves it alone."""
    first, second, eu = out(), out(reason="crashed again"), out(scope="eu")
    for one in (eu, first, second):
        store.quarantine(one)
    store.prune(t(99))
    assert store.quarantines() == [second, eu]
    assert store.reinstate("a", "")
    assert not store.reinstate("a", "")
    assert store.quarantines() == [eu]


def test_a_job_has_one_backfill_until_it_ends(store: Store) -> None:
    """A later one replaces it; it ends once, and goes with its job."""
    store.register([job("a"), job("b"), job("c", scopes=("eu", "us"))], [], T0)
    assert store.backfills() == []
    for one in (backfill("b"), backfill("a"), backfill("c", "us"), backfill("b", only=Only.FAILED)):
        store.backfill(one)
    last = backfill("b", only=Only.FAILED)
    assert store.backfills() == [backfill("a"), last, backfill("c", "us")]
    assert store.end_backfill("b", "")
    assert not store.end_backfill("b", "")
    assert not store.end_backfill("c", "eu")
    store.register([job("b"), job("c", scopes=("eu",))], [], t(9))
    assert store.backfills() == []


def test_a_quarantine_gives_the_retry_up(store: Store, session: Session) -> None:
    """The row says so, and the attempt can no longer be claimed."""
    run = claimed(store, session, want(1))
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    store.quarantine(out())
    assert cursor(store).retry_at is None
    assert store.claim(session, [want(1, attempt=2)]) == [Refused(Refusal.ATTEMPT)]
    assert "quarantined" in (store.run(run.run_id)[0].end_reason or "")


def test_a_retry_is_given_up_by_the_token_of_the_attempt_it_follows(
    store: Store, session: Session
) -> None:
    """Once, with its reason on the row; a retry that is another's stays."""
    run = claimed(store, session, want(1))
    assert not store.give_up("a", "", run.token, "nobody reads it")
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    assert not store.give_up("a", "", run.token + 1, "nobody reads it")
    assert not store.give_up("b", "eu", run.token, "nobody reads it")
    assert cursor(store).retry_at == t(2)
    assert store.give_up("a", "", run.token, "nobody reads it")
    assert not store.give_up("a", "", run.token, "nobody reads it")
    assert cursor(store).retry_at is None
    assert store.claim(session, [want(1, attempt=2)]) == [Refused(Refusal.ATTEMPT)]
    (row,) = store.run(run.run_id)
    assert row.outcome is Outcome.FAILED
    assert (row.end_reason or "").endswith("; nobody reads it")


def test_an_alarm_is_changed_by_who_knows_how_it_stands(store: Store) -> None:
    """Of two who saw the same only one succeeds, whatever they want; no other alarm matters."""
    first, eu = alarm(), alarm(scope="eu")
    assert store.change_alarm(None, first)
    assert not store.change_alarm(None, replace(first, reason="another"))
    assert store.change_alarm(None, eu)
    assert store.alarms() == [first, eu]
    over = replace(first, over_at=t(20), told=(), untold=("ops",), tries=0, due_at=None)
    assert store.change_alarm(first, over)
    assert not store.change_alarm(first, replace(first, tries=2))
    assert not store.change_alarm(first, None)
    assert store.alarms() == [over, eu]
    assert store.change_alarm(over, None)
    assert not store.change_alarm(over, first)
    assert store.change_alarm(None, None)
    store.prune(t(99))
    assert store.alarms() == [eu]


def test_the_last_fifty_decisions_are_kept(store: Store) -> None:
    """Of each (job, scope) by itself, newest first."""
    many = [Decision("a", "", t(i), "hold", f"{i}", t(i)) for i in range(60)]
    eu = Decision("a", "eu", t(3), "hold", "other")
    store.note([*many[:30], eu])
    store.note(many[30:])
    assert store.decisions("a", "") == many[:9:-1]
    assert store.decisions("a", "eu") == [eu]
    assert len(store.decisions("a")) == 51
    assert store.decisions("b") == []


def test_the_audit_log_only_grows(store: Store) -> None:
    """Oldest first; a prune of the ledger leaves it alone."""
    events = [AuditEvent(t(i), 1000, "one", "pause", "job a", "broken") for i in range(3)]
    for event in events:
        store.log(event)
    store.prune(t(99))
    assert store.audit_log() == events
    assert store.audit_log(since=t(1)) == events[1:]


def test_a_reason_is_found_by_any_text_in_it(store: Store, session: Session) -> None:
    """Signs that mean something to SQL are signs as others are."""
    store.settle([replace(settlement(1), reason="100 % of user_a's quota!")])
    for text in ("100 %", "r_a's", "QUOTA!", "a's q"):
        assert len(store.runs(RunFilter(reason=text))) == 1, text
    for text in ("100%", "r%a", "rxa", "quota!!", "\\"):
        assert store.runs(RunFilter(reason=text)) == [], text


def test_text_comes_back_as_it_was_given(store: Store, session: Session) -> None:
    """Quotes, newlines, every script, and a report of 100 kB."""
    text = 'it\'s "100 %"; DROP TABLE run; --\n\t\\ é 漢 🕑' * 2500
    run = claimed(store, session, want(1))
    done = finish(run)
    store.finish([replace(done, end=replace(done.end, report=text))])
    assert store.run(run.run_id)[0].report == text
