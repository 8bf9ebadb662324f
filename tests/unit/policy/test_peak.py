"""How much memory a run is expected to need (policy.peak)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hostagent.policy.peak import expected, growth, size_text

MIB = 2**20
NEW, OLD = timedelta(seconds=59), timedelta(seconds=60)


def test_memory_max_then_what_was_observed_then_a_tenth_of_ram() -> None:
    """What the administrator says, what is known, what is a guess."""
    assert str(expected(400 * MIB, 100 * MIB, 1000 * MIB)) == "400 MiB (memory_max)"
    assert str(expected(None, 100 * MIB, 1000 * MIB)) == "110 MiB (observed peak x 1.1)"
    assert str(expected(None, None, 1000 * MIB)) == "100 MiB (10 % of RAM)"


def test_what_a_run_uses_already_is_not_reserved_twice() -> None:
    """Nor less than nothing."""
    known = expected(400 * MIB, None, 1000 * MIB)
    assert growth(known, 150 * MIB, OLD) == 250 * MIB
    assert growth(known, 500 * MIB, OLD) == 0
    assert growth(known, None, OLD) == 400 * MIB


def test_what_memory_ran_out_on_is_doubled() -> None:
    """A guess stays one; what the kernel itself enforces was not the estimate's fault."""
    twice = expected(None, 100 * MIB, 1000 * MIB, was_too_low=True)
    assert str(twice) == "220 MiB (twice observed peak x 1.1: memory ran out on that)"
    assert expected(None, None, 1000 * MIB, was_too_low=True).size == 200 * MIB
    assert expected(64 * MIB, None, 1000 * MIB, was_too_low=True).size == 64 * MIB


def test_a_guess_is_corrected_after_a_minute() -> None:
    """1.5 times what it uses then; where nobody counts that, it is taken for reached."""
    guess = expected(None, None, 1000 * MIB)
    assert growth(guess, 20 * MIB, NEW) == 80 * MIB
    assert growth(guess, 20 * MIB, OLD) == 10 * MIB
    assert growth(guess, None, NEW) == 100 * MIB
    assert growth(guess, None, OLD) == 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (312 * MIB, "312 MiB"),
        (1536 * MIB, "1.5 GiB"),
        (2048 * MIB, "2 GiB"),
        (-188 * MIB, "-188 MiB"),
        (2**80, "1048576 EiB"),
    ],
)
def test_sizes_are_short(size: int, text: str) -> None:
    """Two figures at least, and a unit."""
    assert size_text(size) == text
