"""How an attempt ended, from what systemd says of the service: one table, one sentence.

And what kind of end that was (its error class): what may be tried again, and what is a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hostagent.model import End, Outcome, Usage
from hostagent.policy.words import ago

SENTENCES = {
    "timeout": "ran into its timeout",
    "watchdog": "sent no heartbeat in time",
    "oom-kill": "was killed because memory ran out",
    "resources": "could not be started: a resource was missing",
    "protocol": "did not follow the start protocol",
    "start-limit-hit": "was started too often",
    "host-lost": "the host went down while it ran",
    "host-stopped": "its host was shut down while it ran",
    "lease-lost": "its host lost its lease",
    "fenced": "was stopped by its own host: its lease was not renewed in time",
    "gate-stopped": "was stopped by the catch-up gate",
    "start-refused": (
        "could not be set up: PID 1 gave up three starts before the agent was asked "
        "(a user, group, directory or credential that is missing?)"
    ),
    "unknown": "ended while no agent was up, and the journal does not say how",
}
"""Results that say all by themselves: systemd's (systemd.service(5), $SERVICE_RESULT) and ours."""

NOT_EXECUTED = {
    200: "CHDIR",
    201: "NICE",
    202: "FDS",
    203: "EXEC",
    204: "MEMORY",
    205: "LIMITS",
    206: "OOM_ADJUST",
    207: "SIGNAL_MASK",
    208: "STDIN",
    209: "STDOUT",
    210: "CHROOT",
    211: "IOPRIO",
    212: "TIMERSLACK",
    213: "SECUREBITS",
    214: "SETSCHEDULER",
    215: "CPUAFFINITY",
    216: "GROUP",
    217: "USER",
    218: "CAPABILITIES",
    219: "CGROUP",
    220: "SETSID",
    221: "CONFIRM",
    222: "STDERR",
    224: "PAM",
    225: "NETWORK",
    226: "NAMESPACE",
    227: "NO_NEW_PRIVILEGES",
    228: "SECCOMP",
    229: "SELINUX_CONTEXT",
    230: "PERSONALITY",
    231: "APPARMOR",
    232: "ADDRESS_FAMILIES",
    233: "RUNTIME_DIRECTORY",
    235: "CHOWN",
    236: "SMACK_PROCESS_LABEL",
    237: "KEYRING",
    238: "STATE_DIRECTORY",
    239: "CACHE_DIRECTORY",
    240: "LOGS_DIRECTORY",
    241: "CONFIGURATION_DIRECTORY",
    242: "NUMA_POLICY",
    243: "CREDENTIALS",
}
"""The step at which systemd gave up by this exit status, before the job's own program was there
(systemd.exec(5), PROCESS EXIT CODES)."""


class ErrorClass(StrEnum):
    """What kind of failure an attempt ended in."""

    TIMEOUT = "timeout"
    EXIT = "exit"
    SIGNAL = "signal"
    OOM = "oom"
    HEARTBEAT = "heartbeat"
    LEASE_LOST = "lease_lost"
    HOST_LOST = "host_lost"
    START_FAILED = "start_failed"
    GATE_STOPPED = "gate_stopped"


CLASSES = {
    "timeout": ErrorClass.TIMEOUT,
    "exit-code": ErrorClass.EXIT,
    "signal": ErrorClass.SIGNAL,
    "core-dump": ErrorClass.SIGNAL,
    "oom-kill": ErrorClass.OOM,
    "watchdog": ErrorClass.HEARTBEAT,
    "lease-lost": ErrorClass.LEASE_LOST,
    "fenced": ErrorClass.LEASE_LOST,
    "host-lost": ErrorClass.HOST_LOST,
    "host-stopped": ErrorClass.HOST_LOST,
    "resources": ErrorClass.START_FAILED,
    "protocol": ErrorClass.START_FAILED,
    "start-limit-hit": ErrorClass.START_FAILED,
    "start-refused": ErrorClass.START_FAILED,
    "gate-stopped": ErrorClass.GATE_STOPPED,
}
"""The class of each result. ``lease-lost`` is what others say of a host that went silent,
``fenced`` what it says of itself when it is back before they have taken over. ``host-stopped`` is
an orderly shutdown, ``host-lost`` any other end of the host. ``gate-stopped`` made room in memory
for others."""

GATE_STOPPED = "gate-stopped"


@dataclass(frozen=True, slots=True)
class Ended:
    """A service that is no longer running. ``result`` as systemd names it, or one of ours.

    ``detail`` is a sentence for what the result alone does not say: which host, since when.
    """

    result: str
    exit_code: int | None = None
    signal: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    usage: Usage = field(default_factory=Usage)
    detail: str = ""


def end_of(ended: Ended, stopped: str | None = None) -> End:
    """The final record of an attempt. ``stopped``: the agent's reason, if it stopped the run."""
    outcome = Outcome.SUCCEEDED if ended.result == "success" else Outcome.FAILED
    if stopped is not None:
        outcome = Outcome.ABANDONED
    return End(
        outcome=outcome,
        reason=stopped or _sentence(ended),
        result=ended.result,
        exit_code=ended.exit_code,
        signal=ended.signal,
        ended_at=ended.ended_at,
        usage=ended.usage,
    )


def error_class(outcome: Outcome | None, result: str | None) -> ErrorClass | None:
    """The class of a failed attempt, from its ledger row or its ``End``.

    None: it did not fail (a run that the agent stopped is abandoned, whatever signal did it), or
    nobody knows how it ended. A result that a later systemd brings is a failure like an exit's.
    """
    if outcome is not Outcome.FAILED or result in {None, "", "unknown", "success"}:
        return None
    assert result is not None
    if result.startswith("start-failed: "):
        return ErrorClass.START_FAILED
    return CLASSES.get(result, ErrorClass.EXIT)


def is_crash(outcome: Outcome | None, result: str | None) -> bool:
    """The job was torn down instead of ending: killed, out of memory, hung, or its host with it.

    To others, a host that a job has brought down is one that lost its lease. A job that its own
    host had to stop, because the store was away or the machine shut down, has crashed nothing.
    """
    if result in {"fenced", "host-stopped"}:
        return False
    return error_class(outcome, result) in _CRASHES


_CRASHES = frozenset(
    {
        ErrorClass.SIGNAL,
        ErrorClass.OOM,
        ErrorClass.HEARTBEAT,
        ErrorClass.HOST_LOST,
        ErrorClass.LEASE_LOST,
    }
)


def failure(result: str | None, exit_code: int | None = None, signal: str | None = None) -> str:
    """A failure in two or three words, to stand in a sentence: ``exit 3``, ``signal SEGV``."""
    if result == "exit-code":
        return f"exit {exit_code}"
    if result in {"signal", "core-dump"}:
        return f"signal {signal}"
    known = error_class(Outcome.FAILED, result)
    return str(known).replace("_", " ") if known else "its end is not known"


def _sentence(ended: Ended) -> str:
    lasted = ""
    if ended.started_at is not None and ended.ended_at is not None:
        lasted = f" after {ago(ended.ended_at - ended.started_at)}"
    if ended.result == "success":
        return f"finished{lasted}"
    if ended.result.startswith("start-failed: "):
        return f"could not be started: {ended.result.removeprefix('start-failed: ')}"
    if ended.result == "exit-code":
        if step := NOT_EXECUTED.get(ended.exit_code or 0):
            return f"could not be executed ({ended.exit_code}/{step}); hostagent logs says why"
        return f"exited with status {ended.exit_code}{lasted}"
    if ended.result in {"signal", "core-dump"}:
        dumped = " and dumped core" if ended.result == "core-dump" else ""
        return f"was killed by signal {ended.signal}{dumped}{lasted}"
    said = SENTENCES.get(ended.result, f"failed with result {ended.result}")
    return f"{said}: {ended.detail}" if ended.detail else said + lasted
