"""What a plan says: per job, in the administrator's words, and when it runs next."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hostagent.compile.versions import Note
from hostagent.deploy.actions import Facts, decide
from hostagent.deploy.disk import Found, Kind
from hostagent.deploy.fields import differences
from hostagent.deploy.generations import Generation
from hostagent.deploy.plan import ChangeKind, Plan, plan
from hostagent.deploy.render import render_plan
from hostagent.model import (
    Backoff,
    Form,
    Job,
    Lane,
    Missed,
    Overlap,
    Pool,
    RunOn,
    Sandbox,
    Schedule,
)
from tests.unit.deploy.builders import AT, facts, generation, job, on_disk

HOUR = timedelta(hours=1)


def planned(found: Facts, new: Generation, *notes: Note) -> Plan:
    """The plan of an apply of ``new``."""
    actions = decide(found, new.manifest, new.files)
    return plan(found.current, new, found.files, actions, notes=notes, at=AT)


def test_each_job_is_added_changed_removed_renamed_or_unchanged() -> None:
    """Every job of both sides appears once, with what becomes of it."""
    old = generation(job("gone"), job("old"), job("same"), job("slow"))
    new = generation(job("same"), job("slow", "hourly"), job("new", renamed_from="old"), job("add"))
    kinds = {change.job: str(change.kind) for change in planned(facts(old), new).jobs}
    assert kinds == {
        "same": "unchanged",
        "slow": "changed",
        "new": "renamed",
        "add": "added",
        "gone": "removed",
    }


def test_the_next_five_runs_are_shown_before_and_after() -> None:
    """In UTC, without jitter; the same twice where the schedule stays."""
    old = generation(job("a", "daily"), job("b"))
    new = generation(job("a", "*-*-* 00/12:00:00"), job("b", memory_max=1 << 20))
    moved, kept = planned(facts(old), new).jobs
    day = datetime(2026, 11, 22, tzinfo=UTC)
    assert moved.next_before == tuple(day + timedelta(days=n) for n in range(5))
    assert moved.next_after == tuple(day + timedelta(hours=12 * n) for n in range(5))
    assert kept.next_before == kept.next_after != ()


def test_a_plan_of_nothing_is_empty() -> None:
    """Then apply does nothing either: both come from the same decision."""
    same = generation(job("a"))
    assert planned(facts(same), same).is_empty
    assert render_plan(planned(facts(same), same), diff=True) == (
        "No changes: what is deployed is what is wanted (1 job).\n"
    )


def test_drift_and_settings_are_changes_too() -> None:
    """A plan is not empty when a unit would be repaired or a pool changes."""
    same = generation(job("a"))
    files = on_disk(same)
    files["hostagent-a.service"] = Found(Kind.FILE, b"[Unit]\nX-Hostagent=a\n")
    drifted = planned(facts(same, files=files), same)
    assert drifted.repairs == (("hostagent-a.service", "edited"),)
    assert not drifted.is_empty
    pooled = replace(same, manifest=replace(same.manifest, pools=(Pool("db", 2),)))
    assert planned(facts(same), pooled).settings == ("pools changed",)


RENDERED = """\
  ~ slow
      calendar  daily -> hourly
      timeout   1h -> 30min
      before  2026-11-22 00:00, 2026-11-23 00:00, 2026-11-24 00:00, 2026-11-25 00:00, \
2026-11-26 00:00 UTC
      after   2026-11-21 13:00, 14:00, 15:00, 16:00, 17:00 UTC

  > new (was old)
      next    2026-11-22 03:00, 2026-11-23 03:00, 2026-11-24 03:00, 2026-11-25 03:00, \
2026-11-26 03:00 UTC

  + add  calendar "*-*-* 12:00:30", 2 scopes
      next    2026-11-21 12:00:30, 2026-11-22 12:00:30, 2026-11-23 12:00:30, \
2026-11-24 12:00:30, 2026-11-25 12:00:30 UTC

  - gone  a running run ends by itself; what is owed is abandoned (removed)

Notes
  DeferReactivation: systemd 252 does not know it (add, slow, new and 1 more)

Plan: 1 to add, 1 to change, 1 to remove, 1 to rename, 1 unchanged. Nothing will start now.
"""


def test_a_plan_reads_like_this() -> None:
    """The whole text of a plan with every kind of change."""
    old = generation(job("gone"), job("old"), job("same"), job("slow", "daily"))
    new = generation(
        job("same"),
        job("slow", "hourly", timeout=HOUR / 2),
        job("new", renamed_from="old"),
        job("add", "*-*-* 12:00:30", for_each=("eu", "us")),
    )
    text = "systemd 252 does not know it"
    notes = [Note(name, "DeferReactivation", text) for name in ("add", "slow", "new", "same")]
    assert render_plan(planned(facts(old), new, *notes), diff=False) == RENDERED


def test_what_is_left_out_is_said_where_units_are_written() -> None:
    """Not each time again; what else is noted of the jobs is."""
    old = generation(job("a"))
    left, near = Note("a", "X", "left out: systemd 252"), Note("a", "near_interval", "95 %")
    same, new = planned(facts(old), old, left, near), generation(job("a", "hourly"))
    assert "left out" not in render_plan(same, diff=False)
    assert "95 %" in render_plan(same, diff=False)
    assert "left out" in render_plan(same, diff=True)
    assert "left out" in render_plan(planned(facts(old), new, left), diff=False)


def test_with_diff_each_unit_file_is_shown() -> None:
    """Unified diffs against what stands on the disk; a new file against /dev/null."""
    old, new = generation(job("a")), generation(job("a", memory_max=1 << 28), job("b"))
    text = render_plan(planned(facts(old), new), diff=True)
    assert "--- a/hostagent-a.service\n+++ b/hostagent-a.service\n" in text
    assert "\n+MemoryMax=268435456\n" in text
    assert "--- /dev/null\n+++ b/hostagent-b.timer\n" in text


def test_what_makes_apply_refuse_stands_in_the_plan() -> None:
    """A foreign file is named, and that apply will refuse."""
    new = generation(job("a"))
    files = {"hostagent-a.timer": Found(Kind.FILE, b"[Timer]\n")}
    text = render_plan(planned(facts(files=files), new), diff=False)
    assert "In the way, not made by apply\n  hostagent-a.timer\n" in text
    assert text.endswith("Apply refuses while files are in the way.\n")


def test_json_says_all_of_it() -> None:
    """For scripts: plain JSON, with a summary and whether there is anything to do."""
    old, new = generation(job("a")), generation(job("a", "hourly"), job("b"))
    told = json.loads(json.dumps(planned(facts(old), new).to_json()))
    assert told["changes"] is True
    assert told["starts_now"] == []
    assert told["summary"]["changed"] == told["summary"]["added"] == 1
    [changed, added] = told["jobs"]
    assert changed["fields"] == [{"key": "calendar", "before": "*-*-* 03:00:00", "after": "hourly"}]
    assert changed["next_after"][0] == "2026-11-21T13:00:00Z"
    assert added["next_before"] == []
    assert {unit["unit"]: unit["kind"] for unit in told["units"]} == {
        "hostagent-a.timer": "changed",
        "hostagent-b.service": "added",
        "hostagent-b.timer": "added",
    }


BASE = job("a", "daily")
BACKOFF = "first 30s, factor 2.0, most 1h"
EVERY = replace(
    BASE, schedule=Schedule(Form.EVERY, "1h", every=HOUR, anchor=datetime(2026, 1, 1, tzinfo=UTC))
)


def scheduled(was: Job, **changes: object) -> Job:
    """The job with another schedule."""
    return replace(was, schedule=replace(was.schedule, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (BASE, job("a", "hourly"), "calendar: daily -> hourly"),
        (BASE, EVERY, 'schedule: calendar "daily" -> every "1h"'),
        (EVERY, scheduled(EVERY, every=HOUR * 2, text="2h"), "every: 1h -> 2h"),
        (
            EVERY,
            scheduled(EVERY, anchor=datetime(2026, 1, 2, tzinfo=UTC)),
            "anchor: 2026-01-01T00:00:00Z -> 2026-01-02T00:00:00Z",
        ),
        (BASE, scheduled(BASE, zone="Europe/Berlin"), "timezone: UTC -> Europe/Berlin"),
        (BASE, scheduled(BASE, jitter=timedelta(minutes=2)), "jitter: 0 -> 2min"),
        (BASE, scheduled(BASE, blackout=("Sat", "Sun")), "blackout: (none) -> Sat, Sun"),
        (BASE, replace(BASE, command=("/bin/a b", "c")), "command: /bin/true -> '/bin/a b' c"),
        (BASE, replace(BASE, user="backup"), "user: (none) -> backup"),
        (BASE, replace(BASE, memory_max=3 << 29), "memory_max: (none) -> 1536M"),
        (BASE, replace(BASE, memory_high=1000), "memory_high: (none) -> 1000"),
        (BASE, replace(BASE, timeout=timedelta(seconds=5430)), "timeout: 1h -> 1h 30min 30s"),
        (BASE, replace(BASE, run_on=RunOn.EACH), "run_on: one -> each"),
        (BASE, replace(BASE, missed=Missed.SKIP), "missed: latest -> skip"),
        (BASE, replace(BASE, overlap=Overlap.QUEUE), "overlap: skip -> queue"),
        (BASE, replace(BASE, lane=Lane.BULK), "lane: normal -> bulk"),
        (BASE, replace(BASE, sandbox=Sandbox.STRICT), "sandbox: off -> strict"),
        (BASE, replace(BASE, interruptible=False), "interruptible: true -> false"),
        (BASE, replace(BASE, for_each=("eu", "us")), "for_each: (none) -> eu, us"),
        (BASE, replace(BASE, credentials=(("key", "/k"),)), "credentials: (none) -> key:/k"),
        (BASE, replace(BASE, environment=(("A", "1"),)), "environment.A: (none) -> 1"),
        (
            BASE,
            replace(BASE, passthrough=(("Service", "Nice", ("5",)),)),
            "systemd.service.Nice: (none) -> 5",
        ),
        (
            BASE,
            replace(BASE, backoff=Backoff(steps=(HOUR, HOUR * 2))),
            f"backoff: {BACKOFF} -> {BACKOFF}, steps 1h, 2h",
        ),
    ],
)
def test_a_changed_field_is_told_in_the_words_of_jobs_toml(old: Job, new: Job, said: str) -> None:
    """The key, what it said and what it will say; nothing else."""
    assert [str(change) for change in differences(old, new)] == [said]


def test_a_ping_url_is_a_secret_of_which_only_the_host_is_shown() -> None:
    """That it is another shows all the same."""
    old = replace(BASE, ping_url="https://hc.example/secret-1")
    new = replace(BASE, ping_url="https://hc.example/secret-2")
    (change,) = differences(old, new)
    assert re.fullmatch(
        r"ping_url: hc\.example/… \(\w{8}\) -> hc\.example/… \(\w{8}\)", str(change)
    )
    (gone,) = differences(old, BASE)
    assert str(gone).endswith(" -> (none)")


OTHER: dict[str, Any] = {
    "str": "x",
    "int": 7,
    "float": 7.5,
    "timedelta": timedelta(minutes=7),
    "tuple": ("x",),
}


@pytest.mark.parametrize("name", [f.name for f in fields(Job)])
def test_no_field_of_a_job_changes_unseen(name: str) -> None:
    """A field that is added to the model one day is compared, too."""
    special: dict[str, Any] = {
        "name": None,
        "renamed_from": None,
        "schedule": job("a", "hourly").schedule,
        "run_on": RunOn.EACH,
        "missed": Missed.ALL,
        "overlap": Overlap.REPLACE,
        "lane": Lane.CRITICAL,
        "sandbox": Sandbox.DEFAULT,
        "backoff": Backoff(factor=3),
        "environment": (("A", "1"),),
        "credentials": (("a", "b"),),
        "passthrough": (("Unit", "After", ("x",)),),
    }
    if name in {"name", "renamed_from"}:
        return  # a rename is a kind of change by itself
    [kind] = [str(f.type) for f in fields(Job) if f.name == name]
    other: Any = special.get(name, OTHER.get(kind.partition("[")[0].partition(" ")[0]))
    if kind == "bool":
        other = not getattr(BASE, name)
    assert differences(BASE, replace(BASE, **{name: other}))


def test_removing_shows_when_it_would_have_run() -> None:
    """A person sees what is lost."""
    [kept, removed] = planned(facts(generation(job("a"), job("b"))), generation(job("b"))).jobs
    assert kept.kind is ChangeKind.UNCHANGED
    assert len(removed.next_before) == 5
    assert removed.next_after == ()
