"""How a host's clock is held against the store's (policy.skew)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.policy.skew import DRIFT, KEPT, MAX_SKEW, Sample, Skew, best, decide, here, kept
from hostagent.policy.skew import measured as measure
from hostagent.store import port

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
MS = timedelta(milliseconds=1)
spans = st.integers(-10_000_000, 10_000_000).map(lambda us: timedelta(microseconds=us))
delays = st.integers(0, 2_000_000).map(lambda us: timedelta(microseconds=us))


def test_the_bound_is_the_stores_own() -> None:
    """A host that bars itself earlier, or later, than the store refuses it would be a riddle."""
    assert MAX_SKEW == port.MAX_SKEW


@given(offset=spans, out=delays, back=delays)
def test_the_offset_is_known_to_half_the_round_trip(
    offset: timedelta, out: timedelta, back: timedelta
) -> None:
    """However uneven the two ways are."""
    sample = measure(T, out + back, T + out + offset)
    assert abs(sample.theta - offset) <= sample.error + timedelta(microseconds=1)


@given(offset=spans, out=delays, back=delays)
def test_a_host_that_waits_by_the_sample_is_never_early(
    offset: timedelta, out: timedelta, back: timedelta
) -> None:
    """When its own clock shows the converted time, the store's shows ``at`` or later."""
    sample = measure(T, out + back, T + out + offset)
    at = T + timedelta(hours=1)
    assert here(at, sample) + offset >= at - timedelta(microseconds=1)


def test_the_shortest_round_trip_counts() -> None:
    """Of the last eight; the ninth pushes the first out."""
    samples: tuple[Sample, ...] = ()
    for error in (1, 9, 8, 7, 2, 5, 4, 3):
        samples = kept(samples, Sample(timedelta(0), error * MS))
    assert best(samples).error == 1 * MS
    samples = kept(samples, Sample(timedelta(0), 6 * MS))
    assert len(samples) == KEPT
    assert best(samples).error == 2 * MS


def test_a_clock_that_was_set_makes_earlier_samples_worthless() -> None:
    """The step is believed at once, though its round trip is the longer one."""
    samples = kept((), Sample(timedelta(0), 1 * MS))
    samples = kept(samples, Sample(timedelta(seconds=-3), 20 * MS))
    assert best(samples) == Sample(timedelta(seconds=-3), 20 * MS)


@given(st.lists(delays, min_size=1, max_size=20), spans)
def test_true_samples_of_one_offset_never_contradict_each_other(
    errors: list[timedelta], offset: timedelta
) -> None:
    """Each as far beside the truth as its error allows: the best of the last eight stays."""
    samples: tuple[Sample, ...] = ()
    for index, error in enumerate(errors):
        theta = offset + error if index % 2 else offset - error
        samples = kept(samples, Sample(theta, error))
    assert len(samples) == min(len(errors), KEPT)
    assert best(samples).error == min(errors[-KEPT:])


@pytest.mark.parametrize(
    ("theta_ms", "error_ms", "skew"),
    [
        (0, 0, Skew.OK),
        (250, 0, Skew.OK),
        (251, 0, Skew.WARN),
        (-251, 0, Skew.WARN),
        (1000, 0, Skew.WARN),
        (1001, 0, Skew.FENCED),
        (-1001, 0, Skew.FENCED),
        (1400, 500, Skew.WARN),  # it may be 0.9 s
        (1600, 500, Skew.FENCED),  # it is 1.1 s at least
    ],
)
def test_what_is_certain_of_the_offset_decides(theta_ms: int, error_ms: int, skew: Skew) -> None:
    """A slow network alone bars no host."""
    assert decide(theta_ms * MS, error_ms * MS).skew is skew


def test_the_sentences_say_which_way_and_by_how_much() -> None:
    """A negative offset is a host that is ahead: it would be early."""
    assert decide(-3200 * MS, 2 * MS).reason == (
        "this host's clock is 3.2s ahead of the store's (±2ms): over 1s, so no job of the "
        "cluster starts here; see: timedatectl"
    )
    assert decide(400 * MS, 2 * MS).reason == (
        "this host's clock is 400ms behind the store's (±2ms); over 1s no job of the "
        "cluster starts here; see: timedatectl"
    )
    assert DRIFT < MAX_SKEW
