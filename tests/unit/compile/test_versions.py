"""Which directives a version understands."""

from __future__ import annotations

import pytest

from hostagent.compile import versions


@pytest.mark.parametrize(
    ("section", "directive", "first"),
    [
        ("Timer", "DeferReactivation", 257),
        ("Timer", "RandomizedOffsetSec", 258),
        ("Timer", "OnCalendar", 252),
        ("Service", "MemoryZSwapWriteback", 256),
        ("Service", "LUOSession", 262),
        ("Unit", "SurviveFinalKillSignal", 255),
        ("Service", "X-Mine", 252),
    ],
)
def test_a_directive_is_given_from_the_version_that_brought_it(
    section: str, directive: str, first: int
) -> None:
    """The version before is told no, with both figures in the sentence."""
    assert versions.since(section, directive) == first
    assert versions.why_not(section, directive, first) is None
    if first > versions.FLOOR:
        reason = versions.why_not(section, directive, first - 1)
        assert reason == f"systemd {first - 1} does not know {directive}=, it came with {first}"


def test_what_went_with_cgroup_v1_is_not_given_to_258() -> None:
    """262 prints a warning for CPUAccounting=, where verify must print nothing."""
    assert versions.why_not("Service", "CPUAccounting", 257) is None
    reason = versions.why_not("Service", "CPUAccounting", 258)
    assert reason == "systemd 258 ignores CPUAccounting=, it went with 258"
