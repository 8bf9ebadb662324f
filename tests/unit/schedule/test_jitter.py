"""The stable delay."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.schedule.jitter import delay


@settings(deadline=None)  # the machine may be busy
@given(st.text(), st.text(), st.timedeltas(timedelta(0), timedelta(days=365)))
def test_a_delay_is_stable_and_within_its_bound(job: str, scope: str, jitter: timedelta) -> None:
    """0 <= delay <= jitter, and the same whenever and wherever it is asked for."""
    assert timedelta(0) <= delay(job, scope, jitter) <= jitter
    assert delay(job, scope, jitter) == delay(job, scope, jitter)


def test_no_jitter_is_no_delay() -> None:
    """A jitter of zero delays nothing."""
    assert delay("backup", "eu", timedelta(0)) == timedelta(0)


def test_delays_are_even_over_jobs_and_differ_between_scopes() -> None:
    """A thousand jobs fill the range: each tenth of it holds 70 to 130 of them."""
    bound = timedelta(minutes=2)
    delays = [delay(f"job-{n}", "", bound) for n in range(1000)]
    tenths = [sum(bound / 10 * n <= d < bound / 10 * (n + 1) for d in delays) for n in range(10)]
    assert all(70 <= count <= 130 for count in tenths), tenths
    assert delay("backup", "eu", bound) != delay("backup", "us", bound)
