"""What ``hostagent why`` tells beside the recorded sentences (hostagent.report.why)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hostagent.model import Kind, Outcome, Run
from hostagent.report.why import of_held, of_next, of_run
from hostagent.store.port import Pause, PauseTarget


def test_what_is_held_says_where_its_time_is_told() -> None:
    """The gate's sentence says why it waits; when it will start is known to the agent."""
    story = of_held("backup", "held: pool db: 2 of 2 places are taken by a, b")
    assert (story.subject, story.state) == ("missed run of backup", "held")
    assert story.sentences == (
        "held: pool db: 2 of 2 places are taken by a, b",
        "when it will start: hostagent backlog list",
    )


@pytest.mark.parametrize(
    ("target", "name", "typed"),
    [
        (PauseTarget.JOB, "etc-backup", "hostagent resume etc-backup"),
        (PauseTarget.LANE, "bulk", "hostagent resume --lane bulk"),
        (PauseTarget.HOST, "host1", "hostagent resume --host"),
        (PauseTarget.CLUSTER, "", "hostagent resume --all"),
    ],
)
def test_a_pause_is_told_with_the_whole_command_that_lifts_it(
    target: PauseTarget, name: str, typed: str
) -> None:
    """It can be typed as it stands: a pause of a lane is not lifted by a job's name."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    pause = Pause(target, name, "the disks move", "uid 0", now)
    due = now + timedelta(hours=1)
    assert of_next(due, None, pause, now).sentences[-1].endswith(f"; lift it: {typed}")
    mine = of_next(due, None, pause, now, user=True)
    assert mine.sentences[-1].endswith(f"; lift it: {typed} --user")


def test_no_microsecond_is_told() -> None:
    """When a run began and ended was measured; people read seconds."""
    began = datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=UTC)
    run = Run(
        *("backup", "", Kind.SCHEDULED, began.replace(microsecond=0), 1, 1, "one", "due"),
        started_at=began,
        ended_at=began + timedelta(seconds=7),
        outcome=Outcome.SUCCEEDED,
    )
    begun, ended = of_run([run]).sentences
    assert begun == "started at 2026-11-21 02:00:00Z on one: due"
    assert ended == "ended at 2026-11-21 02:00:07Z: succeeded"
