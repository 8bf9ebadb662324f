"""What ``hostagent doctor`` makes of what it found: each thing ok, doubtful or wrong, and the fix.

Pure: the facts are gathered by ``cli.examining``. A fix is what a person types next.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hostagent.errors import HostagentError
from hostagent.policy.skew import Sample, Skew, decide
from hostagent.policy.words import ago

OLDEST_SYSTEMD = 252
SERVICE, SOCKET, FENCE = "hostagent.service", "hostagent.socket", "hostagentd-once.target"
SHOWN = 5
"""So many differences of one kind are told one by one."""

CONTROLLERS = {
    "cpu": "cpu_quota, cpu_weight and the low weight of catch-up",
    "memory": "memory_max and memory_high",
    "io": "io_weight",
    "pids": "tasks_max",
}
"""What does nothing without each of the kernel's controllers."""


class Verdict(StrEnum):
    """``WRONG``: a promise is not kept as it stands. ``WARNING``: it is kept, but worse."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    sentence: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What systemd says of a unit (``systemctl show``: LoadState, ActiveState, UnitFileState)."""

    load: str
    active: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """How a person types it here: for the system, or with ``--user``."""

    user: bool

    def systemctl(self, words: str) -> str:
        """A command line."""
        return f"systemctl {'--user ' if self.user else ''}{words}"

    def hostagent(self, words: str) -> str:
        """A command line."""
        return f"hostagent {words}{' --user' if self.user else ''}"


def failed(what: str, error: HostagentError, fix: str = "") -> Finding:
    """Something could not be looked at, or is as wrong as the error says."""
    way_out = (error.hint or fix).removeprefix("run: ")
    sentence = "; ".join(line.strip() for line in error.message.splitlines())
    return Finding(what, Verdict.WRONG, sentence, way_out)


def systemd(version: int, compiled_for: int | None, tools: Tools) -> Finding:
    """``compiled_for`` None: nothing is deployed."""
    if version < OLDEST_SYSTEMD:
        sentence = f"systemd {version} is older than {OLDEST_SYSTEMD}, the oldest that will do"
        return Finding("systemd", Verdict.WRONG, sentence, "upgrade systemd")
    if compiled_for not in {None, version}:
        sentence = f"the units are written for systemd {compiled_for}, and {version} runs"
        return Finding("systemd", Verdict.WARNING, sentence, tools.hostagent("apply"))
    return Finding("systemd", Verdict.OK, f"systemd {version}")


def unit(name: str, facts: UnitFacts | None, tools: Tools) -> Finding:
    """One of the agent's own units: there, up, and enabled for the next boot."""
    if facts is None or facts.load == "not-found":
        return Finding(name, Verdict.WRONG, "is not installed", tools.hostagent("agent install"))
    if facts.load == "masked":
        fix = tools.systemctl(f"unmask {name} && {tools.systemctl(f'start {name}')}")
        return Finding(name, Verdict.WRONG, "is masked", fix)
    if facts.load != "loaded":
        return Finding(name, Verdict.WRONG, f"is {facts.load}", tools.systemctl(f"status {name}"))
    if name == FENCE:
        return Finding(name, Verdict.OK, "stands by")
    if facts.active != "active":
        fix = tools.systemctl(f"start {name}")
        if facts.active == "failed":
            fix = f"journalctl {'--user ' if tools.user else ''}-u {name} -n 20; then {fix}"
        return Finding(name, Verdict.WRONG, f"is {facts.active}", fix)
    if facts.file == "disabled":
        sentence = "is up, but will not be after the next boot"
        return Finding(name, Verdict.WARNING, sentence, tools.systemctl(f"enable {name}"))
    return Finding(name, Verdict.OK, "is up")


def agent(
    told: Mapping[str, Any], ours: str, generation: int | None, *, ready: bool, tools: Tools
) -> Iterator[Finding]:
    """What the agent said of itself (``Status``), beside what is on this host's disk."""
    restart = tools.systemctl("restart hostagent")
    version = told.get("version", "?")
    if version != ours:
        sentence = f"the agent is hostagent {version}, and this is hostagent {ours}"
        yield Finding("agent", Verdict.WARNING, sentence, restart)
    else:
        yield Finding("agent", Verdict.OK, f"hostagent {version} answers")
    if not ready:
        sentence = "up/ready is missing beside its socket, so PID 1 skips every start"
        yield Finding("agent", Verdict.WRONG, sentence, restart)
    if generation is not None and told.get("generation") != generation:
        sentence = f"it works with generation {told.get('generation')}, {generation} is deployed"
        yield Finding("agent", Verdict.WRONG, sentence, tools.systemctl("reload hostagent"))
    if told.get("barred"):
        fix = tools.hostagent("status")
        yield Finding(
            "agent", Verdict.WARNING, f"starts nothing of the cluster's: {told['barred']}", fix
        )


def notifiers(told: Mapping[str, Any], now: datetime, tools: Tools) -> Iterator[Finding]:
    """Those whom no message reaches, as the agent says."""
    for one in told.get("untold", ()):
        again = tools.hostagent(f"notify test {shlex.quote(one['name'])}")
        fix = f"mend that, then: {again}"
        yield Finding("notify", Verdict.WRONG, not_told(one, now), fix)


def not_told(one: Mapping[str, Any], now: datetime) -> str:
    """Who, how often, when last, and why."""
    times = "once" if one["times"] == 1 else f"{one['times']} times"
    at = datetime.fromisoformat(one["at"])
    return f"{one['name']} was not told {times}, last {ago(now - at)} ago: {one['why']}"


def store(place: str, *, is_shared: bool) -> Finding:
    """It was opened and read."""
    whose = "the store that hosts share" if is_shared else "this host's own ledger"
    return Finding("store", Verdict.OK, f"{whose} is reached: {place}")


def clock(skew: Sample | None, is_set: bool | None) -> Finding:
    """``skew`` to the shared store's clock; None: there is none, or it is not reached.

    ``is_set``: timesyncd has set the clock; None: it does not run.
    """
    fix = "timedatectl set-ntp true, here and where the store is; chronyc makestep with chrony"
    if skew is not None:
        verdict = decide(skew.theta, skew.error)
        kinds = {Skew.OK: Verdict.OK, Skew.WARN: Verdict.WARNING, Skew.FENCED: Verdict.WRONG}
        if verdict.skew is not Skew.OK:
            return Finding("clock", kinds[verdict.skew], verdict.reason, fix)
    if is_set is False:
        sentence = "timesyncd has not set the clock since the boot: nothing is caught up before"
        return Finding("clock", Verdict.WARNING, sentence, "timedatectl timesync-status")
    if skew is not None:
        return Finding("clock", Verdict.OK, verdict.reason)
    said = "set by timesyncd" if is_set else "not set by timesyncd, so nobody says how good it is"
    return Finding("clock", Verdict.OK, said)


def linger(user: str, *, is_on: bool) -> Finding:
    """Whether a user's manager runs without a login."""
    if is_on:
        return Finding("linger", Verdict.OK, f"the jobs of {user} run without a login")
    sentence = f"the jobs of {user} run only while {user} is logged in"
    return Finding("linger", Verdict.WARNING, sentence, f"loginctl enable-linger {user}")


def cgroups(controllers: Collection[str] | None) -> Finding:
    """Those of the manager's own cgroup; None: the machine has cgroup v1."""
    if controllers is None:
        sentence = "the machine runs with cgroup v1: limits of jobs may do nothing"
        fix = "boot with systemd.unified_cgroup_hierarchy=1"
        return Finding("cgroup", Verdict.WARNING, sentence, fix)
    missing = [name for name in CONTROLLERS if name not in controllers]
    if not missing:
        return Finding("cgroup", Verdict.OK, f"v2 with {', '.join(CONTROLLERS)}")
    idle = ", ".join(CONTROLLERS[name] for name in missing)
    sentence = f"v2 without {', '.join(missing)}: {idle} do nothing"
    fix = "delegate them: systemctl edit user@.service, Delegate=cpu cpuset io memory pids"
    if "memory" in missing and len(missing) == len(CONTROLLERS):
        fix = "give them to this machine, if it is a container; else look at the kernel's cmdline"
    return Finding("cgroup", Verdict.WARNING, sentence, fix)


def pressure(*, is_told: bool) -> Finding:
    """PSI: what the catch-up gate goes by."""
    if is_told:
        return Finding("pressure", Verdict.OK, "the kernel tells it (PSI)")
    sentence = "the kernel tells no pressure (PSI): catch-up goes by the load average, slowly"
    return Finding("pressure", Verdict.WARNING, sentence, "boot with psi=1")


def trust(reasons: Mapping[str, str]) -> Iterator[Finding]:
    """Reasons to distrust files, with the fix of each."""
    for reason, fix in reasons.items():
        yield Finding("trust", Verdict.WRONG, f"{reason}: others decide what runs here", fix)
    if not reasons:
        yield Finding("trust", Verdict.OK, "nobody else can change what runs here")


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit that is not as it was applied; ``is_meant``: a person may well want it so."""

    unit: str
    what: str
    fix: str
    is_meant: bool = False


def drift(differences: Sequence[Difference], tools: Tools) -> Iterator[Finding]:
    """The first few by themselves."""
    for one in differences[:SHOWN]:
        verdict = Verdict.WARNING if one.is_meant else Verdict.WRONG
        yield Finding("drift", verdict, f"{one.unit or 'the last apply'}: {one.what}", one.fix)
    if more := differences[SHOWN:]:
        verdict = Verdict.WARNING if all(one.is_meant for one in more) else Verdict.WRONG
        yield Finding("drift", verdict, f"and {len(more)} more", tools.hostagent("drift"))
    if not differences:
        yield Finding("drift", Verdict.OK, "the units are as applied")


def nothing_deployed(first_steps: str) -> Finding:
    """Before the first apply; ``first_steps`` is what leads there."""
    return Finding("drift", Verdict.WARNING, "nothing is deployed yet", first_steps)


def sum_up(findings: Sequence[Finding]) -> str:
    """The last line."""
    wrong = sum(one.verdict is Verdict.WRONG for one in findings)
    warnings = sum(one.verdict is Verdict.WARNING for one in findings)
    if not wrong and not warnings:
        return f"All {len(findings)} are ok."
    many = "" if warnings == 1 else "s"
    return f"{wrong} wrong, {warnings} warning{many}, {len(findings) - wrong - warnings} ok."
