"""How a backlog went (policy.samples)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hostagent.policy.samples import KEPT, Sample, columns, kept, last_hour

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def test_ten_seconds_are_one_sample_with_the_worst_of_them() -> None:
    """And all that was released; what the host does not say stays unsaid."""
    samples: tuple[Sample, ...] = ()
    for second, cpu in enumerate((3.0, 61.0, None)):
        samples = kept(
            samples, Sample(T + second * SECOND, cpu=cpu, level=2.0 - second, held=5, released=1)
        )
    assert samples == (Sample(T, cpu=61.0, level=2.0, held=5, released=3),)
    samples = kept(samples, Sample(T + 10 * SECOND, held=4))
    assert [one.held for one in samples] == [5, 4]


def test_an_hour_is_kept_however_long_it_goes_on() -> None:
    """360 samples; and nothing of a time that lies ahead, as after a clock was set back."""
    samples: tuple[Sample, ...] = ()
    for second in range(0, 7300, 5):
        samples = kept(samples, Sample(T + second * SECOND))
    assert len(samples) == 360
    assert samples[0].at > samples[-1].at - KEPT
    assert kept(samples, Sample(T)) == (Sample(T),)


def test_the_hour_is_told_in_equal_parts() -> None:
    """The oldest first, the last one is now; a time without a backlog is a gap, not a zero."""
    now = T + 60 * MINUTE
    samples = (
        Sample(T, released=1),
        Sample(T + MINUTE / 2, released=2),
        Sample(T + 30 * MINUTE + MINUTE / 3, cpu=5.0, released=1),
        Sample(T + 30 * MINUTE + MINUTE / 2, cpu=9.0, released=2),
        Sample(now, released=7),
        Sample(now + SECOND, released=99),
    )
    assert len(last_hour(samples, now)) == 4
    found = columns(samples, now, 60)
    assert [(n, one.released) for n, one in enumerate(found) if one] == [(0, 2), (30, 3), (59, 7)]
    assert found[30] is not None
    assert found[30].cpu == 9.0
