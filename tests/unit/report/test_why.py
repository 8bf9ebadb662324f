"""What ``hostagent why`` tells beside the recorded sentences (hostagent.report.why)."""

from __future__ import annotations

from hostagent.report.why import of_held


def test_what_is_held_says_where_its_time_is_told() -> None:
    """The gate's sentence says why it waits; when it will start is known to the agent."""
    story = of_held("backup", "held: pool db: 2 of 2 places are taken by a, b")
    assert (story.subject, story.state) == ("missed run of backup", "held")
    assert story.sentences == (
        "held: pool db: 2 of 2 places are taken by a, b",
        "when it will start: hostagent backlog list",
    )
