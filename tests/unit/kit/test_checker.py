"""The checker finds every kind of violation that is planted, and nothing in a clean history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Kind, run_id
from tests.machine.checker import check
from tests.machine.history import Line, parse
from tests.machine.verdict import Breach, Frozen, Report, due_every, percentile

BOOT = 1000.0
EPOCH = 1_700_000_000
PERIOD = 10


@dataclass
class Story:
    """A cluster's history in the making: one job ``a``, due every ten seconds."""

    lines: list[Line] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)

    def ran(
        self,
        at: int,
        *,
        token: int,
        attempt: int = 1,
        host: str = "host1",
        begin: float = 0.2,
        lasts: float = 2.0,
        end: str = "end",
        outcome: str | None = "succeeded",
    ) -> None:
        """The occurrence ``at`` ran ``begin`` s after its time; without ``end``, it was killed."""
        name = self.row(at, token=token, attempt=attempt, host=host, outcome=outcome)
        first = EPOCH + at + begin
        beats = [first + 0.1 * n for n in range(1, int(lasts * 10))]
        self.line("start", name, attempt, token, host, first)
        for beat in beats:
            self.line("beat", name, attempt, token, host, beat)
        if end:
            self.line(end, name, attempt, token, host, first + lasts)

    def line(self, what: str, name: str, attempt: int, token: int, host: str, at: float) -> None:
        self.lines.append(Line(what, "a", "", name, attempt, token, host, at, at - BOOT))

    def row(self, at: int, *, token: int, attempt: int, host: str, outcome: str | None) -> str:
        """The ledger's row of an attempt; returns the run's id."""
        scheduled = datetime.fromtimestamp(EPOCH + at, UTC)
        name = run_id("a", "", Kind.SCHEDULED, scheduled)
        self.rows.append(
            {
                "run_id": name,
                "job": "a",
                "scope": "",
                "kind": "scheduled",
                "scheduled_for": scheduled.isoformat(),
                "covers_from": None,
                "attempt": attempt,
                "token": token,
                "host": host,
                "outcome": outcome,
                "result": "lease-lost" if outcome == "failed" else "success",
                "ended_at": datetime.fromtimestamp(EPOCH + at + 17.5, UTC).isoformat(),
            }
        )
        return name

    def judge(self, until: int) -> Report:
        due = due_every("a", "", PERIOD, EPOCH - 1, EPOCH + until)
        return check(self.lines, self.rows, due, self.frozen)


def clean() -> Story:
    """Three occurrences; the second was taken over from a host that was lost."""
    story = Story()
    story.ran(0, token=1)
    story.ran(10, token=2, end="", outcome="failed")
    story.ran(10, token=3, attempt=2, host="host2", begin=18.0)
    story.ran(20, token=4, begin=11)
    return story


def test_a_clean_history_has_no_violation_and_tells_its_takeovers() -> None:
    """Takeover time is from the lost attempt's last line to the next attempt's first."""
    report = clean().judge(until=29)
    assert report.violations == []
    assert (report.starts, report.rows, report.due) == (4, 4, 3)
    (takeover,) = report.takeovers
    assert (takeover.attempt, round(takeover.rest_s, 1)) == (2, 15.9)
    assert "1 takeovers: p50 15.9 s" in str(report)


def test_a_retry_after_a_failure_is_no_takeover() -> None:
    """Its wait is the job's backoff, not the cluster's slowness."""
    story = clean()
    story.rows[1]["result"] = "signal"
    assert story.judge(until=29).takeovers == []


def test_a_later_occurrence_that_had_to_wait_is_a_takeover_too() -> None:
    """It supersedes the lost run; one that fell due after the lease was over waited for nobody."""
    for due, takeovers in ((10, 1), (20, 0)):
        story = Story()
        story.ran(0, token=1, end="", outcome="failed")
        story.ran(due, token=2, host="host2", begin=20.5)
        assert len(story.judge(until=5).takeovers) == takeovers


def first_goes_on(story: Story) -> None:
    """The attempt that was lost is still live when the next one runs."""
    story.line("beat", story.rows[1]["run_id"], 1, 2, "host1", EPOCH + 29.0)


def starts_again(story: Story) -> None:
    """One attempt starts a second time."""
    name = story.rows[0]["run_id"]
    story.line("start", name, 1, 1, "host1", EPOCH + 1.0)


def next_starts_early(story: Story) -> None:
    """An occurrence starts while the one before it runs."""
    story.ran(30, token=5, lasts=12)
    story.ran(40, token=6)


def token_falls(story: Story) -> None:
    """A later start has the token of an earlier one."""
    story.ran(30, token=4)


def token_is_used_twice(story: Story) -> None:
    """Two runs have one token."""
    story.ran(40, token=5)
    story.ran(50, token=5, host="host2")


def row_has_another_token(story: Story) -> None:
    """The ledger's token is not the one that the job was given."""
    story.rows[0]["token"] = 0


def first_attempt_succeeded(story: Story) -> None:
    """An attempt that was followed by another one counts as a success."""
    story.rows[1]["outcome"] = "succeeded"
    story.line("end", story.rows[1]["run_id"], 1, 2, "host1", EPOCH + 12.3)


def late_success_is_accepted(story: Story) -> None:
    """A thawed host writes its success although its run was taken over."""
    first_goes_on(story)
    story.frozen.append(Frozen("host1", EPOCH + 12.2, EPOCH + 28.9))
    story.rows[1]["outcome"] = "succeeded"


def occurrence_is_missing(story: Story) -> None:
    """Nobody knows of an occurrence."""
    story.rows = [row for row in story.rows if row["token"] != 4]
    story.lines = [line for line in story.lines if line.token != 4]


def occurrence_is_open(story: Story) -> None:
    """An occurrence never gets an outcome."""
    story.rows[-1]["outcome"] = None


def occurrence_is_covered_twice(story: Story) -> None:
    """An occurrence ran, and another run stands for it, too."""
    story.rows[-1]["covers_from"] = story.rows[1]["scheduled_for"]


def starts_early(story: Story) -> None:
    """A start half a millisecond before its time."""
    story.ran(30, token=5, begin=-0.000_5)


def start_is_not_in_the_ledger(story: Story) -> None:
    """A job ran of which the ledger knows nothing."""
    story.ran(30, token=5)
    story.rows.pop()


def success_without_an_end(story: Story) -> None:
    """A success of a job that did not come to its end."""
    story.lines = [line for line in story.lines if (line.token, line.what) != (1, "end")]


def success_without_a_start(story: Story) -> None:
    """A success of a job that never ran."""
    story.lines = [line for line in story.lines if line.token != 1]


def row_is_there_twice(story: Story) -> None:
    """One attempt has two rows."""
    story.rows.append(story.rows[0])


def attempts_swap_tokens(story: Story) -> None:
    """In the ledger, a second attempt has the smaller token."""
    story.row(30, token=7, attempt=1, host="host1", outcome="failed")
    story.row(30, token=6, attempt=2, host="host1", outcome="failed")


def clock_is_stepped(story: Story) -> None:
    """The clock by which everything is ordered was set."""
    story.ran(50, token=5)
    story.lines = [
        replace(line, boottime=line.boottime - 1) if line.token == 5 else line
        for line in story.lines
    ]


PLANTED: dict[Callable[[Story], None], Breach] = {
    first_goes_on: Breach.DOUBLE,
    starts_again: Breach.DOUBLE,
    next_starts_early: Breach.OVERLAP,
    token_falls: Breach.TOKEN,
    token_is_used_twice: Breach.TOKEN,
    attempts_swap_tokens: Breach.TOKEN,
    row_has_another_token: Breach.STALE_WRITE,
    first_attempt_succeeded: Breach.STALE_WRITE,
    late_success_is_accepted: Breach.STALE_WRITE,
    occurrence_is_missing: Breach.LOST,
    occurrence_is_open: Breach.LOST,
    occurrence_is_covered_twice: Breach.TWICE,
    starts_early: Breach.EARLY,
    start_is_not_in_the_ledger: Breach.UNEXPLAINED,
    success_without_an_end: Breach.UNEXPLAINED,
    success_without_a_start: Breach.UNEXPLAINED,
    row_is_there_twice: Breach.UNEXPLAINED,
    clock_is_stepped: Breach.CLOCK,
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_violation_is_found(plant: Callable[[Story], None]) -> None:
    """Each kind of broken promise is reported as what it is, and shown to people."""
    story = clean()
    plant(story)
    report = story.judge(until=29)
    assert PLANTED[plant] in {violation.breach for violation in report.violations}
    assert f"x {PLANTED[plant]}" in str(report)


def test_every_kind_of_violation_is_planted() -> None:
    """No breach exists that no test can bring about."""
    assert {*PLANTED.values(), Breach.STALE_RUN} == set(Breach)


def frozen_story(until: float, goes_on: float, *, takeover: bool = True) -> Story:
    """host1 is frozen amid its run, which is taken over meanwhile, and goes on a little."""
    story = Story()
    story.ran(0, token=1, end="", outcome="failed")
    if takeover:
        story.ran(0, token=2, attempt=2, host="host2", begin=18.0, lasts=60)
    name = story.rows[0]["run_id"]
    for tenth in range(int(goes_on * 10) + 1):
        story.line("beat", name, 1, 1, "host1", EPOCH + until + tenth / 10)
    story.frozen.append(Frozen("host1", EPOCH + 2.15, EPOCH + until))
    return story


def test_a_frozen_host_is_excused_until_pid_1_has_stopped_its_run() -> None:
    """A long frozen host may write a little after it was resumed; that is told apart."""
    report = frozen_story(until=30, goes_on=1).judge(until=5)
    assert report.violations == []
    assert [violation.breach for violation in report.excused] == [Breach.DOUBLE]
    assert "1 excused" in str(report)
    (takeover,) = report.takeovers
    assert round(takeover.rest_s, 1) == 15.9, "counted from the last line before it was frozen"


def test_a_frozen_host_that_goes_on_too_long_is_reported() -> None:
    """The excuse ends when the fence should have."""
    report = frozen_story(until=30, goes_on=5).judge(until=5)
    assert [violation.breach for violation in report.violations] == [Breach.STALE_RUN]


def test_a_host_frozen_for_less_than_its_lease_is_not_excused() -> None:
    """Nobody may take over from a host that was away for a moment."""
    story = frozen_story(until=18.5, goes_on=1)
    story.frozen = [Frozen("host1", EPOCH + 15.0, EPOCH + 18.5)]
    assert Breach.DOUBLE in {v.breach for v in story.judge(until=5).violations}


def test_a_frozen_host_without_a_takeover_goes_on() -> None:
    """A run that nobody took over may go on for as long as it likes."""
    report = frozen_story(until=30, goes_on=20, takeover=False).judge(until=5)
    assert (report.violations, report.excused) == ([], [])


def test_a_stale_start_of_a_frozen_host_is_excused_only_at_once() -> None:
    """A start that was under way when the host froze may come through when it thaws."""
    for begin, excused in ((30.5, 1), (35.0, 0)):
        story = Story()
        story.ran(0, token=2, attempt=2, host="host2", begin=18.0, lasts=1)
        story.ran(0, token=1, begin=begin, lasts=0.3, end="", outcome="failed")
        story.frozen.append(Frozen("host1", EPOCH + 0.1, EPOCH + 30.0))
        report = story.judge(until=5)
        assert len(report.excused) == excused
        assert [v.breach for v in report.violations] == [Breach.TOKEN] * (1 - excused)


def test_a_row_may_stand_for_several_occurrences() -> None:
    """Catch-up of the latest: one run covers a range, each occurrence of it once."""
    story = Story()
    story.ran(20, token=1)
    story.rows[0]["covers_from"] = datetime.fromtimestamp(EPOCH, UTC).isoformat()
    assert story.judge(until=29).violations == []
    assert [v.breach for v in story.judge(until=30).violations] == [Breach.LOST]


def test_a_job_that_had_to_wait_between_two_clocks_is_no_step() -> None:
    """A line's two times may lie apart on a busy host; a step shows in all lines after it."""
    story = clean()
    story.lines[5] = replace(story.lines[5], boottime=story.lines[5].boottime - 0.4)
    assert story.judge(until=29).violations == []


def test_torn_lines_are_left_out() -> None:
    """What a power cut left of a line is no line."""
    whole = "start a - a.20231114T221320Z 1 3 host1 1700000000.25 700.25"
    lines = parse([whole, "beat a - a.20231114T2", "", "end a - x 1 three host1 1.0 2.0"])
    assert [(line.what, line.scope, line.token) for line in lines] == [("start", "", 3)]


@given(st.lists(st.floats(0, 100), min_size=1), st.integers(0, 100))
def test_a_percentile_is_reached_by_that_many(values: list[float], percent: int) -> None:
    """The nearest-rank percentile: a value of the list that so many do not exceed."""
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
