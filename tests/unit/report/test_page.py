"""What the page says of what was read, and how it is drawn (report.page)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hostagent.codec import content_json
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy.samples import Sample
from hostagent.report.page import charts, drawing
from hostagent.report.page.facts import DAY, MOST_RUNS, Facts, runs_each
from hostagent.report.page.render import html
from hostagent.report.page.view import page
from hostagent.report.runs import Hung
from hostagent.report.timeline import Lane
from hostagent.store.port import (
    Pause,
    PauseTarget,
    Presence,
    Profile,
    Quarantine,
    Session,
    SpecRecord,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SINCE = NOW - DAY
HOURLY = Schedule(Form.CALENDAR, "hourly", ("hourly",))
EVIL = "<script>alert('&\"x')</script>"


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def spec(job: str = "backup") -> SpecRecord:
    """In force for days."""
    return SpecRecord(job, 1, HOURLY.hash, content_json(HOURLY), ("",), NOW - 9 * DAY)


def run(
    due: float,
    took: float | None = 1,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    waited: float = 0,
    **more: Any,
) -> Run:
    """Due so many minutes ago; ``took`` None: it never started, or goes on."""
    at = NOW - due * MINUTE
    begin = at + waited * MINUTE
    is_run = took is not None or outcome is None
    facts = {
        "started_at": begin if is_run else None,
        "ended_at": begin + took * MINUTE if took is not None else None,
        "outcome": outcome,
        "attempt": int(is_run),
        "invocation_id": "i",
        "job": "backup",
        "host": "one",
        **more,
    }
    return Run(scope="", kind=Kind.SCHEDULED, scheduled_for=at, token=1, reason="due", **facts)


def facts(ran: Sequence[Run] = (), **more: Any) -> Facts:
    """An agent that has nothing to say, and these runs of one job."""
    told: dict[str, Any] = {
        "specs": [spec()],
        "day": sorted(ran, key=lambda run: run.scheduled_for),
        "runs": {"backup": sorted(ran, key=lambda run: run.scheduled_for, reverse=True)},
        "status": {"barred": "", "alarms": []},
        "backlog": {"settles": "", "pace": "", "held": [], "catching_up": [], "backfills": []},
        **more,
    }
    return Facts(NOW, "1", "one", **told)


def strokes(path: str) -> list[tuple[int, int, int, int]]:
    """Where each begins, and how far it goes to the right and down."""
    found, x, y = [], 0, 0
    for right, down, way, length in re.findall(r"m(-?\d+)(?: |(?=-))(-?\d+)([hv])(-?\d+)", path):
        x, y = x + int(right), y + int(down)
        wide, high = (int(length), 0) if way == "h" else (0, int(length))
        found.append((x, y, wide, high))
        x, y = x + wide, y + high
    return found


def presence(host: str, **more: Any) -> Presence:
    """A live one."""
    told = {"is_live": True, "has_expired": False, "claims": 0, **more}
    return Presence(Session(host, host, "b"), Profile("1", "abc"), 1, timedelta(seconds=15), **told)


def test_whatever_is_read_is_text_and_never_markup() -> None:
    """Names, reasons, labels, what an agent says: a job called <script> is a name."""
    held = {"name": EVIL, "due": "", "covers": 1, "expected": "", "bound": EVIL, "reason": EVIL}
    told = facts(
        [
            run(90, outcome=Outcome.FAILED, job=EVIL, host=EVIL, end_reason=EVIL),
            run(5, None, None, job=EVIL, host=EVIL),
        ],
        specs=[spec(EVIL)],
        jobs=[Job(EVIL, (EVIL,), HOURLY, HOUR, description=EVIL)],
        sessions=[presence(EVIL)],
        pauses=[Pause(PauseTarget.JOB, EVIL, EVIL, EVIL, NOW)],
        quarantines=[Quarantine(EVIL, EVIL, NOW, EVIL, EVIL)],
        status={"barred": EVIL, "alarms": [{"job": EVIL, "scope": "", "sentence": EVIL}]},
        hung={EVIL: Hung(NOW, EVIL)},
        backlog={
            "settles": EVIL,
            "pace": EVIL,
            "held": [held],
            "catching_up": [EVIL],
            "backfills": [{"name": EVIL, "left": 1, "by": EVIL}],
        },
        away=EVIL,
        no_agent="",
    )
    shown = html(page(told))
    assert EVIL not in shown
    assert "alert('&" not in shown
    assert shown.count("&lt;script&gt;") >= 20
    assert re.findall(r"</?script", shown) == ["<script", "</script"]


def test_nothing_outside_the_page_is_asked_for() -> None:
    """It works without a network, and tells nobody that it is read."""
    shown = html(page(facts([run(60)])))
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:,)|https?:|url\(|@import""", shown)
    assert "default-src &#39;none&#39;" in shown


def test_what_is_wrong_stands_at_the_top_with_what_to_type() -> None:
    """And where nothing is, that is said."""
    assert page(facts()).verdict == "Nothing needs attention."
    out = [Quarantine(name, "", NOW, "one", "crashed twice") for name in ("a", "b")]
    told = page(
        facts(
            no_agent="no agent is up on this host",
            agent_fix="systemctl start hostagent",
            status={
                "barred": "the clocks differ",
                "alarms": [{"job": "a", "scope": "", "sentence": "a is in quarantine"}],
            },
            away="no route",
            sessions=[presence("two", has_expired=True), presence("three")],
            quarantines=out,
            hung={"backup.1": Hung(NOW, "has used no CPU")},
        )
    )
    assert told.verdict == "7 things need attention."
    assert [one.sentence.split(":")[0] for one in told.attention] == [
        "no agent is up on this host",
        "the store that hosts share is not reached",
        "one starts nothing of the cluster's",
        "two has been silent for longer than its TTL of 15s",
        "a is in quarantine",
        "b is in quarantine",
        "backup.1 may hang",
    ]
    assert told.attention[0].command == "systemctl start hostagent"
    assert told.attention[5].command == "hostagent quarantine show b"


def test_what_runs_is_there_with_how_long_it_usually_takes() -> None:
    """From whatever host; one that seems to hang is marked."""
    going = run(30, None, None, host="two")
    ran = [run(60 * n, took) for n, took in ((1, 2), (2, 4), (3, 9))]
    (one,) = page(facts([going, *ran])).running
    assert (one.host, one.lasts, one.usual, one.state) == ("two", "30min", "4min", "running")
    (one,) = page(facts([going, *ran], hung={going.run_id: Hung(NOW, "no CPU")})).running
    assert one.state == "hung?"
    assert "no CPU" in one.because


def test_the_summary_counts_the_last_day() -> None:
    """What ended in it, and what of that failed; what got no attempt did not run."""
    runs = [run(60), run(120, outcome=Outcome.FAILED), run(180, None, Outcome.SKIPPED)]
    early = run(60 * 25, 2)
    figures = {one.what: (one.value, one.is_bad) for one in page(facts([*runs, early])).figures}
    assert figures["ran in 24 h"] == ("2", False)
    assert figures["failed"] == ("1", True)
    assert figures["job"] == ("1", False)


def test_pauses_that_lapsed_are_gone() -> None:
    """Others say by whom, until when and why."""
    pauses = [
        Pause(PauseTarget.CLUSTER, "", "move", "uid 0", NOW - HOUR, NOW + HOUR),
        Pause(PauseTarget.JOB, "x", "old", "uid 0", NOW - HOUR, NOW - MINUTE),
    ]
    pauses.append(Pause(PauseTarget.BACKLOG, "y", "wait", "uid 0", NOW - HOUR))
    order, held = page(facts(pauses=pauses)).orders
    assert held == "backlog y is held by uid 0, since 1h ago, until that is lifted: wait"
    assert order.startswith("cluster is paused by uid 0, since 1h ago, until ")
    assert order.endswith(": move")


@pytest.mark.parametrize(
    ("runs", "drawn"),
    [
        ([run(60, 10)], {"ran": [(1380, 10)]}),
        ([run(60, 10, waited=5)], {"ran": [(1385, 10)], "waited": [(1380, 5)]}),
        ([run(60, 10, Outcome.FAILED)], {"failed": [(1380, 10)]}),
        ([run(60, None, None)], {"runs": [(1380, 60)]}),
        ([run(60, None, Outcome.SKIPPED)], {"left": [(1380, 6)]}),
        ([run(60 * 25, 120)], {"ran": [(0, 60)]}),
        ([run(60, 0.1), run(56, 0.1)], {"ran": [(1380, 2), (1384, 6)]}),
    ],
)
def test_a_bar_begins_and_ends_where_the_run_did(
    runs: list[Run], drawn: dict[str, list[tuple[int, int]]]
) -> None:
    """A unit is a minute; a short one is seen, and does not grow over the next one."""
    found = asdict(drawing.bars(Lane("backup", tuple(runs)), SINCE, NOW, ()))
    lines = {name: [(x, wide) for x, _, wide, _ in strokes(path)] for name, path in found.items()}
    assert {name: line for name, line in lines.items() if line} == drawn


def test_what_was_planned_is_marked_above_and_what_is_missing_below() -> None:
    """Past and to come, from the schedules."""
    (line,) = page(facts([run(60 * n) for n in range(24) if n != 7])).lines
    assert [x for x, *_ in strokes(line.bars.planned)] == [60 * n for n in range(1, 27)]
    assert strokes(line.bars.unmet) == [(17 * 60, 10, 0, 8)]


def test_marks_that_would_touch_are_fewer() -> None:
    """A job of each minute costs a bounded number of bytes."""
    every = tuple(SINCE + MINUTE * n for n in range(1440))
    assert drawing.bars(Lane("x", (), due=every), SINCE, NOW, ()).planned.count("m") == 360


def test_a_timeline_that_is_cut_short_claims_nothing_before() -> None:
    """What was due before is not called missing, and the summary says since when it counts."""
    told = page(facts([run(60), run(60 * 4)], day_since=NOW - 4 * HOUR))
    (line,) = told.lines
    assert [x for x, *_ in strokes(line.bars.unmet)] == [60 * n for n in (21, 22, 24)]
    assert "ran since 08:00" in {one.what for one in told.figures}
    assert "it begins at 08:00" in html(told)


def test_durations_stand_against_the_interval() -> None:
    """On a logarithmic scale: what is ten times as long is as far up, wherever that is."""
    runs = [run(180, 0.6), run(120, 6), run(60, 60, Outcome.FAILED)]
    (section,) = page(facts([*runs, run(30, None, Outcome.SKIPPED)])).jobs
    assert section.plot is not None
    assert section.plot.interval_mark is not None
    assert section.plot.interval_mark.text == "interval 1h"
    (x1, y1, *_), (x2, y2, *_) = strokes(section.plot.succeeded)
    ((x3, y3, *_),) = strokes(section.plot.failed)
    assert (x1, x2, x3) == (0, 333, 667)
    assert abs((y1 - y2) - (y2 - y3)) <= 1
    assert strokes(section.plot.interval) == [(0, y3, 1000, 0)]
    assert strokes(section.plot.others) == [(833, 192, 0, 8)]


def test_a_job_that_nearly_fills_its_interval_is_marked() -> None:
    """At 80 % of it, by what 19 of 20 runs took at most."""
    for took, is_near in ((47, False), (48, True)):
        (section,) = page(facts([run(60 * n, took) for n in range(1, 40)])).jobs
        assert section.is_near == is_near
        assert section.share == f"{took / 60:.0%}"


def test_a_job_without_a_run_or_a_schedule_has_its_section() -> None:
    """One was never run, one is no longer deployed."""
    gone = [run(60, job="gone")]
    told = page(facts(runs={"gone": gone}, day=gone, specs=[spec("new")]))
    sections = {one.name: one for one in told.jobs}
    assert (sections["new"].last, sections["new"].plot) == ("never ran", None)
    assert (sections["gone"].schedule, sections["gone"].next) == ("no longer scheduled", "\u2013")
    assert html(told).count('<details class="job">') == 2


def test_instants_of_one_width_are_drawn() -> None:
    """A run that took no time, or whose clock went back, one run alone, all at once."""
    for runs in ([run(0, 0)], [run(60, -5)], [run(0, None, None)], [run(5, 0), run(5, 0)]):
        (section,) = page(facts(runs)).jobs
        assert section.plot is not None
        assert "nan" not in str(section.plot)


def test_rows_are_few_and_dots_are_all() -> None:
    """How many runs a table leaves out, and what shows them, is said."""
    (section,) = page(facts([run(60 * n) for n in range(250)])).jobs
    assert len(section.rows) == 100
    assert section.plot is not None
    assert len(strokes(section.plot.succeeded)) == 250
    assert section.shown == "The last 100 of 250"
    assert section.more == "hostagent runs backup -n 250"


@pytest.mark.parametrize("jobs", [0, 1, 7, 20, 250, 1000])
def test_how_many_runs_are_shown_is_bounded(jobs: int) -> None:
    """Together, but that each job has some."""
    assert runs_each(jobs) * jobs <= max(MOST_RUNS, 20 * jobs)
    assert 20 <= runs_each(jobs) <= 250


def test_the_gate_of_the_last_hour_is_drawn() -> None:
    """What the host does not tell has no chart; where nothing waited there is a gap."""
    samples = [
        Sample(NOW - 50 * MINUTE, cpu=50, level=4, used=2, held=3, released=1),
        Sample(NOW - 10 * MINUTE, cpu=100, level=8, used=8, held=1),
    ]
    found = {one.title: one for one in charts.charts(samples, NOW)}
    assert set(found) == {"CPU pressure", "slots used, and the level", "released", "held"}
    assert found["CPU pressure"].area == "M19 40V20.5h1V40zM99 40V1h1V40z"
    assert found["CPU pressure"].most == "100"
    assert found["slots used, and the level"].bound == "M19 20.5h1M99 1h1"
    assert charts.charts([], NOW) == []
