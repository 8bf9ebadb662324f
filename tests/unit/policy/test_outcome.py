"""How attempts end: sentences, classes, and what is a crash (policy.outcome)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Outcome
from hostagent.policy.outcome import (
    CLASSES,
    SENTENCES,
    Ended,
    ErrorClass,
    end_of,
    error_class,
    failure,
    is_crash,
)

T = datetime(2026, 11, 21, 2, tzinfo=UTC)

RESULTS = {
    "timeout": (ErrorClass.TIMEOUT, False),
    "exit-code": (ErrorClass.EXIT, False),
    "signal": (ErrorClass.SIGNAL, True),
    "core-dump": (ErrorClass.SIGNAL, True),
    "oom-kill": (ErrorClass.OOM, True),
    "watchdog": (ErrorClass.HEARTBEAT, True),
    "host-lost": (ErrorClass.HOST_LOST, True),
    "lease-lost": (ErrorClass.LEASE_LOST, True),
    "fenced": (ErrorClass.LEASE_LOST, False),
    "host-stopped": (ErrorClass.HOST_LOST, False),
    "resources": (ErrorClass.START_FAILED, False),
    "protocol": (ErrorClass.START_FAILED, False),
    "start-limit-hit": (ErrorClass.START_FAILED, False),
    "start-refused": (ErrorClass.START_FAILED, False),
    "gate-stopped": (ErrorClass.GATE_STOPPED, False),
    "start-failed: Unit hostagent-x.service not found.": (ErrorClass.START_FAILED, False),
    "a-result-of-systemd-300": (ErrorClass.EXIT, False),
    "unknown": (None, False),
}
"""Each result, its class, and whether it is a crash."""


@pytest.mark.parametrize("result", RESULTS)
def test_every_result_has_its_class(result: str) -> None:
    """As systemd names them, and the agent."""
    known, crash = RESULTS[result]
    assert error_class(Outcome.FAILED, result) is known
    assert is_crash(Outcome.FAILED, result) is crash


def test_no_result_is_left_out() -> None:
    """Every class is reached, and every sentence of ours stands for a class (or for none)."""
    assert {known for known, _ in RESULTS.values()} == {None, *ErrorClass}
    assert set(CLASSES) <= set(RESULTS)
    assert set(SENTENCES) - set(CLASSES) == {"unknown"}


@pytest.mark.parametrize("outcome", [None, *(o for o in Outcome if o is not Outcome.FAILED)])
@given(result=st.sampled_from([*RESULTS, "success", ""]) | st.none())
def test_what_did_not_fail_has_no_class(outcome: Outcome | None, result: str | None) -> None:
    """Above all a run that the agent stopped: the signal was ours."""
    assert error_class(outcome, result) is None
    assert not is_crash(outcome, result)


def test_a_run_that_the_agent_stopped_is_no_crash() -> None:
    """The whole way from systemd's word to the class."""
    killed = Ended("signal", signal="TERM")
    stopped = end_of(killed, "replaced by the occurrence of 2026-11-21 03:00:00Z")
    assert not is_crash(stopped.outcome, stopped.result)
    own = end_of(killed)
    assert is_crash(own.outcome, own.result)


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (Ended("success"), "finished after 4s"),
        (Ended("exit-code", exit_code=3), "exited with status 3 after 4s"),
        (Ended("exit-code", exit_code=199), "exited with status 199 after 4s"),
        (
            Ended("exit-code", exit_code=203),
            "could not be executed (203/EXEC); hostagent logs says why",
        ),
        (
            Ended("exit-code", exit_code=217),
            "could not be executed (217/USER); hostagent logs says why",
        ),
        (Ended("exit-code", exit_code=234), "exited with status 234 after 4s"),
        (
            Ended("exit-code", exit_code=243),
            "could not be executed (243/CREDENTIALS); hostagent logs says why",
        ),
        (Ended("exit-code", exit_code=244), "exited with status 244 after 4s"),
        (
            Ended("core-dump", signal="SEGV"),
            "was killed by signal SEGV and dumped core after 4s",
        ),
        (Ended("start-failed: no such unit"), "could not be started: no such unit"),
        (Ended("new-in-300"), "failed with result new-in-300 after 4s"),
        (
            Ended("lease-lost", detail="db1 has not renewed it for 15s"),
            "its host lost its lease: db1 has not renewed it for 15s",
        ),
    ],
    ids=lambda value: value.result if isinstance(value, Ended) else "",
)
def test_an_end_is_one_sentence(ended: Ended, sentence: str) -> None:
    """With the figures that systemd gave."""
    at = T + timedelta(seconds=4)
    ended = replace(ended, started_at=T, ended_at=at)
    assert end_of(ended).reason == sentence
    assert end_of(ended).outcome is (
        Outcome.SUCCEEDED if ended.result == "success" else Outcome.FAILED
    )


def test_a_failure_in_two_words() -> None:
    """For sentences about attempts."""
    assert failure("exit-code", exit_code=3) == "exit 3"
    assert failure("core-dump", signal="SEGV") == "signal SEGV"
    assert failure("oom-kill") == "oom"
    assert failure("lease-lost") == "lease lost"
    assert failure("start-failed: no such unit") == "start failed"
    assert failure("unknown") == failure(None) == "its end is not known"
