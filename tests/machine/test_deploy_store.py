"""apply and the store: what the old schedules owed is closed, nothing in the past becomes due."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from hostagent.model import Job
from tests.machine.deploying import deploy, job
from tests.machine.images import VENV
from tests.machine.machine import Machine

STORE = "sqlite:///var/lib/hostagent/state.db"

READ = """
import json
from hostagent.codec import to_json
from hostagent.store.open import open_store
from hostagent.store.port import RunFilter
store = open_store("sqlite:///var/lib/hostagent/state.db")
print(json.dumps({
    "specs": [to_json(s) for s in store.specs()],
    "cursors": [to_json(c) for c in store.cursors()],
    "runs": [to_json(r) for r in store.runs(RunFilter())],
    "now": to_json(store.now()),
}))
store.close()
"""


def read(machine: Machine) -> dict[str, Any]:
    """What the store holds, as JSON."""
    told: dict[str, Any] = json.loads(machine.succeed(f"{VENV}/bin/python3 -", stdin=READ))
    return told


def apply(machine: Machine, *jobs: Job) -> None:
    """Apply with the machine's SQLite store; twice, for the second one changes nothing."""
    done = deploy(machine, jobs, store=STORE, prune_all=True)
    assert done["exit"] == 0, done
    before = read(machine)
    again = deploy(machine, jobs, store=STORE, prune_all=True)
    assert again["out"]["is_unchanged"]
    assert read(machine) | {"now": ""} == before | {"now": ""}


def test_what_a_changed_schedule_owed_is_skipped(machine: Machine) -> None:
    """Each occurrence of the old schedule since the high-water mark gets its outcome and reason."""
    apply(machine, job("one", "*:*:*"), job("same", "*:*:*"))
    machine.succeed("sleep 2.2")
    apply(machine, job("one", "*-*-* 03:00:00"), job("same", "*:*:*", memory_max=1 << 28))
    told = read(machine)
    [run] = told["runs"]
    assert run["job"] == "one"
    assert run["outcome"] == "skipped"
    assert run["covers"] >= 2
    assert run["reason"].startswith("the schedule was changed by apply at 20")
    seqs = [(spec["job"], spec["seq"], "valid_to" in spec) for spec in told["specs"]]
    assert seqs == [("one", 1, True), ("one", 2, False), ("same", 1, False)]
    [one, same] = told["cursors"]
    last = datetime.fromisoformat(run["scheduled_for"])
    assert datetime.fromisoformat(one["high_water"]) > last
    assert datetime.fromisoformat(same["high_water"]) < last, "a job that stays keeps what it owes"


def test_what_a_removed_job_owed_is_abandoned(machine: Machine) -> None:
    """Removing a job or a scope closes its ledger: abandoned, removed."""
    apply(machine, job("gone", "*:*:*"), job("many", "*:*:*", for_each=("eu", "us")), job("stay"))
    machine.succeed("sleep 2.2")
    apply(machine, job("many", "*:*:*", for_each=("eu",)), job("stay"))
    told = read(machine)
    ended = {(run["job"], run.get("scope", "")): run for run in told["runs"]}
    assert set(ended) == {("gone", ""), ("many", "us")}
    for run in ended.values():
        assert run["outcome"] == "abandoned"
        assert run["covers"] >= 2
        assert run["reason"].startswith("removed by apply at 20")
    assert [(c["job"], c.get("scope", "")) for c in told["cursors"]] == [
        ("many", "eu"),
        ("stay", ""),
    ]


def test_a_renamed_job_abandons_nothing(machine: Machine) -> None:
    """``renamed_from``: the cursor goes on under the new name."""
    apply(machine, job("old", "*:*:*"))
    machine.succeed("sleep 2.2")
    apply(machine, job("new", "*:*:*", renamed_from="old"))
    told = read(machine)
    assert told["runs"] == []
    assert [cursor["job"] for cursor in told["cursors"]] == ["new"]
