"""What the jobs of a simulation do and write down; and what is judged while it goes on.

The lines are those of tests/machine/history.py, in true time, so that tests/machine/checker.py
judges them at the end. What cannot wait is judged at once: a start beside a live attempt, a start
under a token that is not the newest, an agent that fails for another reason than its surroundings.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from hostagent.errors import HostagentError
from hostagent.model import Kind, parse_run_id
from tests.machine.history import Line
from tests.machine.verdict import Frozen
from tests.simulation.clocks import micros
from tests.simulation.loop import MICROS, VirtualLoop
from tests.simulation.pid1 import Behaviour
from tests.simulation.store import StoreClock

LEASE_S = 10.0
GRACE_S = 3.0


class Broken(AssertionError):  # noqa: N818 -- reads as what it tells
    """A promise was broken; the simulation ends here."""


@dataclass(slots=True)
class _Live:
    host: str
    line: Line


@dataclass(slots=True)
class History:
    """``durations`` say how long each job takes, at random between two bounds."""

    loop: VirtualLoop
    rnd: Random
    clock: StoreClock
    durations: dict[str, tuple[float, float]]
    say: Callable[[str], None]
    failing: float = 0.03
    stubborn: frozenset[str] = frozenset()
    lines: list[Line] = field(default_factory=list)
    frozen: list[Frozen] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ordered: Counter[str] = field(default_factory=Counter)
    crashed: set[tuple[str, int]] = field(default_factory=set)
    _live: dict[tuple[str, str], _Live] = field(default_factory=dict)
    _newest: dict[tuple[str, str], int] = field(default_factory=dict)
    _still: dict[str, int] = field(default_factory=dict)
    _thawed: dict[str, int] = field(default_factory=dict)

    def start(self, host: str, unit: str, env: Mapping[str, str]) -> Behaviour:
        """A job's command was executed with this environment."""
        line = Line(
            "start",
            env["HOSTAGENT_JOB"],
            env["HOSTAGENT_SCOPE"],
            env["HOSTAGENT_RUN_ID"],
            int(env["HOSTAGENT_ATTEMPT"]),
            int(env["HOSTAGENT_TOKEN"]),
            host,
            self.loop.true_now / MICROS,
            self.loop.true_now / MICROS,
        )
        self.say(f"START {_name(line)}")
        self._judge_start(line)
        self.lines.append(line)
        self._live[host, unit] = _Live(host, line)
        name = line.job, line.scope
        self._newest[name] = max(line.token, self._newest.get(name, 0))
        low, high = self.durations[line.job]
        fails = self.rnd.random() < self.failing
        crashes = fails and self.rnd.random() < 0.3
        if crashes:
            self.crashed.add((line.run_id, line.attempt))
        return Behaviour(
            lasts_s=self.rnd.uniform(low, high),
            exit_code=int(fails and not crashes),
            signal="SEGV" if crashes else None,
            ignores_term=line.job in self.stubborn,
        )

    def stop(self, host: str, unit: str, *, is_end: bool) -> None:
        """It is gone."""
        self.say(f"{'END' if is_end else 'KILLED'} {_name(self._live[host, unit].line)}")
        self._say("end" if is_end else "beat", host, unit)
        del self._live[host, unit]

    def last_sign(self, host: str, unit: str) -> None:
        """Its host was cut off from power."""
        self.stop(host, unit, is_end=False)

    def stands_still(self, host: str, at: int) -> None:
        """A host is frozen or suspended: what ran until now was alive."""
        self._still[host] = at
        for key in [key for key in self._live if key[0] == host]:
            self._say("beat", *key)

    def goes_on(self, host: str, at: int) -> None:
        """It is not any more."""
        self.frozen.append(Frozen(host, self._still.pop(host) / MICROS, at / MICROS))
        self._thawed[host] = at

    def will_crash(self, host: str, unit: str) -> None:
        """Somebody kills it."""
        line = self._live[host, unit].line
        self.crashed.add((line.run_id, line.attempt))

    def live(self) -> list[Line]:
        """The first lines of what runs now."""
        return [one.line for one in self._live.values()]

    def agent_failed(self, host: str, error: BaseException) -> None:
        """The agent's process ended by itself."""
        if not isinstance(error, HostagentError | TimeoutError):
            self.problems.append(f"the agent of {host} failed: {error!r}")
            raise Broken(self.problems[-1]) from error

    def _say(self, what: str, host: str, unit: str) -> None:
        line, at = self._live[host, unit].line, self.loop.true_now / MICROS
        self.lines.append(
            Line(what, line.job, line.scope, line.run_id, line.attempt, line.token, host, at, at)
        )

    def _judge_start(self, line: Line) -> None:
        parsed = parse_run_id(line.run_id)
        if parsed is None:
            self._broken(f"{line.run_id} is no run id")
        elif parsed[2] is Kind.SCHEDULED:
            self._judge_time(line, micros(parsed[3]))
        elif self.ordered[line.job] <= 0:
            self._broken(f"{_name(line)} starts, and nobody has asked for it")
        else:
            self.ordered[line.job] -= 1
        if line.host in self._thawed and self._is_within_grace(line.host):
            return  # the checker decides what is excused
        name = line.job, line.scope
        for one in self._live.values():
            if (one.line.job, one.line.scope) != name or one.host in self._still:
                continue
            if not self._is_within_grace(one.host):
                self._broken(f"{_name(line)} starts while {_name(one.line)} is live")
        if line.token <= self._newest.get(name, 0):
            self._broken(f"{_name(line)} starts, the newest token is {self._newest[name]}")

    def _judge_time(self, line: Line, due: int) -> None:
        if due > self.clock.latest:
            early_s = (due - self.clock.latest) / MICROS
            self._broken(f"{_name(line)} starts {early_s:.3f} s early by the store's clock")

    def _is_within_grace(self, host: str) -> bool:
        thawed = self._thawed.get(host)
        return thawed is not None and self.loop.true_now - thawed <= GRACE_S * MICROS

    def _broken(self, what: str) -> None:
        self.problems.append(what)
        raise Broken(what)


class Bugs(logging.Handler):
    """Hears the agents' log: whatever carries a traceback is a bug."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.WARNING)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        self._history.say(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text = "".join(traceback.format_exception(record.exc_info[1]))
            self._history.problems.append(f"a bug was logged: {text}")


def _name(line: Line) -> str:
    return f"attempt {line.attempt} of {line.run_id} on {line.host} (token {line.token})"
