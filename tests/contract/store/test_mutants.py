"""The state machine finds what it is there to find: each mutant of the store's SQL is caught."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis.stateful import run_state_machine_as_test

from hostagent.errors import StoreError
from hostagent.store.port import Store
from hostagent.store.sql import claims, copies, engine, ledger, orders, registry, renames, sessions
from hostagent.store.sqlite.connection import Connection
from tests.contract.store import stateful


@dataclass(frozen=True)
class Mutant:
    """One change of the engine's text."""

    name: str
    module: ModuleType
    text: str
    instead: str


MUTANTS = [
    Mutant(
        "an occurrence is claimed twice",
        claims,
        '(want.covers_from or want.scheduled_for) <= at(cursor["high_water"])',
        '(want.covers_from or want.scheduled_for) < at(cursor["high_water"])',
    ),
    Mutant(
        "an occurrence is settled twice",
        claims,
        'one.first <= at(cursor["high_water"])',
        'one.first < at(cursor["high_water"])',
    ),
    Mutant(
        "the final write is not fenced",
        claims,
        '"SELECT * FROM cursor WHERE job=? AND scope=? AND active_token=?"',
        '"SELECT * FROM cursor WHERE job=? AND scope=? AND ? > 0"',
    ),
    Mutant(
        "a stale end is told that it was accepted",
        claims,
        "return Accepted() if repeated else Stale()",
        "return Accepted()",
    ),
    Mutant(
        "a repeated end is told that it is stale",
        claims,
        "return Accepted() if repeated else Stale()",
        "return Stale()",
    ),
    Mutant(
        "another end of the same outcome is accepted",
        claims,
        "_is_same_end(before, one.end) for",
        "before.outcome is one.end.outcome for",
    ),
    Mutant(
        "a manual run or a retry moves the mark",
        claims,
        'micros(run.scheduled_for) if opens else cursor["high_water"]',
        "micros(run.scheduled_for)",
    ),
    Mutant(
        "manual runs use the last token again",
        claims,
        'cursor["token"] + 1',
        'cursor["token"] + is_scheduled',
    ),
    Mutant(
        "two claims are active",
        claims,
        'if cursor["active_token"] is not None:',
        'if cursor["active_token"] == 0:',
    ),
    Mutant(
        "an occurrence of the future is claimed",
        claims,
        "if want.scheduled_for > now:",
        "if want.scheduled_for is now:",
    ),
    Mutant(
        "a retry starts too early",
        claims,
        'Refusal.EARLY if at(cursor["retry_at"]) > now else None',
        "None",
    ),
    Mutant(
        "a retry that was overtaken may follow",
        claims,
        "give_up_retry(db, cursor, overtaken)",
        "None",
    ),
    Mutant(
        "a schedule that is no more is claimed",
        claims,
        'if is_scheduled and cursor["spec_hash"] != want.spec_hash:',
        "if not is_scheduled and not want.spec_hash:",
    ),
    Mutant(
        "a closed session claims",
        sessions,
        "host=? AND boot_id=? AND state=0",
        "host=? AND boot_id=? AND state<>2",
    ),
    Mutant(
        "a revoked session beats",
        sessions,
        "host=? AND boot_id=? AND state=0",
        "host=? AND boot_id=? AND state<>1",
    ),
    Mutant(
        "a session that has expired claims",
        sessions,
        "return row is not None and not _has_expired(row, now)",
        "return row is not None",
    ),
    Mutant(
        "a session is revoked in time",
        sessions,
        'if row["beat"] != beat or not _has_expired(row, db.now()):',
        'if row["beat"] != beat:',
    ),
    Mutant(
        "a session is revoked that has beaten since",
        sessions,
        'if row["beat"] != beat or not _has_expired(row, db.now()):',
        "if not _has_expired(row, db.now()):",
    ),
    Mutant(
        "a beat leaves the counter",
        sessions,
        "SET beat=beat+1",
        "SET beat=beat",
    ),
    Mutant(
        "a beat forgets the TTL",
        sessions,
        'interval(row["ttl"]) if ttl is None else ttl',
        "ttl",
    ),
    Mutant(
        "a revocation is not told",
        sessions,
        "(state, session_id))\n    change(db)",
        "(state, session_id))",
    ),
    Mutant(
        "two sessions of a host are open",
        sessions,
        '"UPDATE session SET state=1 WHERE host=? AND state=0"',
        '"UPDATE session SET state=1 WHERE host=? AND state=3"',
    ),
    Mutant(
        "a clock that is far off claims",
        engine,
        "abs(now - clock) > MAX_SKEW",
        "now - clock > MAX_SKEW",
    ),
    Mutant(
        "an ended run hangs on its session",
        ledger,
        'HELD = "outcome IS NULL AND',
        'HELD = "TRUE OR outcome IS NULL AND',
    ),
    Mutant(
        "a host closes the schedules of the others",
        registry,
        "WHERE job=? AND valid_to IS NULL AND {_REACH}",
        "WHERE job=? AND valid_to IS NULL AND (? IS NOT ?)",
    ),
    Mutant(
        "the cluster's schedule leaves those of the hosts in force",
        registry,
        "WHERE job=? AND valid_to IS NULL AND {_REACH}",
        "WHERE job=? AND valid_to IS NULL AND host IN (?, ?)",
    ),
    Mutant(
        "a host removes the jobs of the others",
        registry,
        'and owner in {"", host}',
        "",
    ),
    Mutant(
        "a host renames the runs of the others",
        renames,
        "_MINE = \"job=? AND (?='' OR host IN ('', ?))\"",
        "_MINE = \"job=? AND (?>='' OR host IN ('', ?))\"",
    ),
    Mutant(
        "what is quarantined is tried again",
        claims,
        "return give_up_retry(db, cursor, why)",
        "return False",
    ),
    Mutant(
        "the retry of another run is given up",
        claims,
        'token is not None and cursor["retry_token"] != token',
        "False",
    ),
    Mutant(
        "a stale token is attached",
        claims,
        '"SELECT 1 FROM cursor WHERE job=? AND scope=? AND active_token=?',
        '"SELECT 1 FROM cursor WHERE job=? AND scope=? AND token>=?',
    ),
    Mutant(
        "a run that is open is pruned",
        ledger,
        "going.outcome IS NULL",
        "going.outcome IS ''",
    ),
    Mutant(
        "a run that waits for its retry is pruned",
        ledger,
        "tried.token=cursor.retry_token",
        "tried.token<0",
    ),
    Mutant(
        "an apply makes the past due",
        registry,
        "mark = max(mark, at)",
        "pass",
    ),
    Mutant(
        "an apply of the same schedule settles what is owed",
        registry,
        "same_hash=same_hash)",
        "same_hash=False)",
    ),
    Mutant(
        "an apply does not see that it was overtaken by a claim",
        registry,
        "since < mark <= (micros(now) or 0)",
        "mark < 0",
    ),
    Mutant(
        "an apply loses a settlement that comes too late",
        registry,
        "== Refused(Refusal.PASSED):",
        "== Refused(Refusal.SESSION):",
    ),
    Mutant(
        "schedules of one job overlap",
        registry,
        '*(row["valid_to"] or row["valid_from"] for row in records)',
        "",
    ),
    Mutant(
        "a removed job forgets its token",
        registry,
        '"UPDATE cursor SET retired=1 WHERE job=? AND scope=?"',
        '"DELETE FROM cursor WHERE job=? AND scope=?"',
    ),
    Mutant(
        "a renamed job forgets its mark",
        renames,
        'max(row["high_water"], heir["high_water"] if heir else 0)',
        "0",
    ),
    Mutant(
        "a renamed job is claimed beside its run",
        claims,
        "if (holder := _run_of_former_name(db, want.job, want.scope)) is not None:",
        "if (holder := None) is not None:",
    ),
    Mutant(
        "a renamed job loses the end of the run that goes on",
        claims,
        'if held["successor"] is not None:',
        'if held["successor"] == "":',
    ),
    Mutant(
        "an alarm is changed by who does not know how it stands",
        orders,
        "if row is None or alarm_of(row) != before:",
        "if row is None:",
    ),
    Mutant(
        "an alarm is begun twice",
        orders,
        "ON CONFLICT (job, scope) DO NOTHING",
        "ON CONFLICT (job, scope) DO UPDATE SET reason=excluded.reason",
    ),
    Mutant(
        "who is put back stays out",
        orders,
        '"DELETE FROM quarantine WHERE job=? AND scope=?"',
        '"UPDATE quarantine SET host=host WHERE job=? AND scope=?"',
    ),
    Mutant(
        "a backfill that is over goes on",
        orders,
        '"DELETE FROM backfill WHERE job=? AND scope=?"',
        '"UPDATE backfill SET job=job WHERE job=? AND scope=?"',
    ),
    Mutant(
        "a host copies the rows of the others",
        copies,
        "if run.host == host:",
        "if run.host:",
    ),
    Mutant(
        "a copied mark goes back",
        copies,
        'max(cursor["high_water"], high_water),',
        "high_water,",
    ),
    Mutant(
        "a host takes the mark of the others",
        copies,
        'elif cursor["host"] == host or (',
        'elif cursor["host"] != "?" or (',
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_state_machine_finds(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine with this fault does not pass for a sound one."""
    changed = _changed(mutant)
    made = changed if mutant.module is engine else engine
    if made is engine:
        name = mutant.module.__name__.rpartition(".")[2]
        for module in (engine, registry, orders):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, changed)

    class Machine(stateful.Machine):
        """On the mutant."""

        @staticmethod
        def open_new(place: Path) -> Store:
            store: Store = made.SqlStore(Connection(place / "state.db", read_only=False))
            return store

    with pytest.raises((AssertionError, StoreError)):
        run_state_machine_as_test(Machine, settings=stateful.HUNT)


def _changed(mutant: Mutant) -> ModuleType:
    assert mutant.module.__file__
    source = Path(mutant.module.__file__).read_text()
    assert source.count(mutant.text) == 1, "the engine's text has changed: change the mutant"
    changed = ModuleType(mutant.module.__name__)
    exec(compile(source.replace(mutant.text, mutant.instead), "mutant", "exec"), changed.__dict__)
    return changed
