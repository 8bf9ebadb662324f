"""How fast a person lets go (policy.pace)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hostagent.policy.pace import parse


@pytest.mark.parametrize(
    ("text", "seconds"), [("6/min", 10), ("60/min", 1), ("1/h", 3600), (" 30 / h ", 120)]
)
def test_a_rate_says_how_far_apart_runs_go(text: str, seconds: int) -> None:
    """So many in a minute or in an hour, and it is said as it was written."""
    pace = parse(text)
    assert pace.every == timedelta(seconds=seconds)
    assert parse(str(pace)) == pace


@pytest.mark.parametrize(
    "text", ["", "6", "6/day", "0/min", "-1/min", "1.5/min", "6/min x", "6min"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Never taken for something near it."""
    with pytest.raises(ValueError, match="is not a rate"):
        parse(text)


def test_more_than_one_in_a_second_is_refused() -> None:
    """The gate is asked once a second, so it would be a promise that is not kept."""
    with pytest.raises(ValueError, match="more than one in a second"):
        parse("61/min")
