"""Where an occurrence of a ``run_on = "one"`` job runs: who may run it, and who asks first.

Every host decides this alone, from the same facts, and comes to the same order, so that one of
them asks the store and the others need not. A host's own share of the jobs follows from a hash
(rendezvous hashing): where a host comes or goes, only that host's share moves.

``hosts`` and ``prefer`` hold names and globs. In ``hosts`` a leading ``!`` excludes; in ``prefer``
it means "rather not there": asked after all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from hostagent.model import Job
from hostagent.schedule.jitter import delay

STEP = timedelta(milliseconds=50)
"""How long each rank waits at least for the one before it: time to claim, and to be seen."""

ANSWERS = 8
"""How many of the store's last answers tell how busy all are."""

LONGEST_STEP = timedelta(seconds=1)
"""How long each rank waits at most: a host that is gone costs no more."""

LAST_STEP = timedelta(seconds=5)
"""The last ranks ask together: no start is late for the length of a list."""


@dataclass(frozen=True, slots=True)
class Host:
    """A live host. ``draining``: it finishes what runs and starts nothing."""

    name: str
    labels: tuple[str, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Whether a host may run a job, and the sentence why (not)."""

    eligible: bool
    reason: str


def decide(job: Job, host: Host) -> Eligibility:
    """Whether ``host`` may run ``job``."""
    if host.draining:
        return Eligibility(False, f"{host.name} is draining")
    if not _is_named(job.hosts, host.name):
        shown = ", ".join(job.hosts)
        return Eligibility(False, f"{host.name} is not among the job's hosts: {shown}")
    if missing := [label for label in job.labels if not _has(host.labels, label)]:
        own = ", ".join(host.labels) or "none"
        return Eligibility(
            False, f"{host.name} lacks the labels {', '.join(missing)}; its own are: {own}"
        )
    asked = [*job.hosts, *job.labels]
    why = f"has what the job asks for: {', '.join(asked)}" if asked else "will do: any host may"
    return Eligibility(True, f"{host.name} {why}")


def ranked(
    job: Job, scope: str, hosts: Iterable[Host], last_host: str | None = None
) -> tuple[str, ...]:
    """The names of the eligible hosts in the order in which they ask.

    ``last_host`` is given for a retry: where the attempt before it ran. With ``retry_elsewhere``
    that one asks last.
    """
    names = {host.name for host in hosts if decide(job, host).eligible}
    shunned = last_host if job.retry_elsewhere else None

    def order(name: str) -> tuple[bool, int, int, str]:
        preference = _preference(job.prefer, name)
        return name == shunned, preference, -_weight(job.name, scope, name), name

    return tuple(sorted(names, key=order))


def left_to(order: Sequence[str], others: Collection[str]) -> tuple[str, ...]:
    """The live ``others`` that may run it, in the order in which they ask.

    A paused host leaves what is owed to them, since they do not obey its pause. What nobody else
    may run is skipped, as on a host alone.
    """
    return tuple(host for host in order if host in others)


def watcher(job: str, scope: str, hosts: Iterable[str]) -> str:
    """The host that looks whether the (job, scope) is silent, wherever that may run."""
    return max(hosts, key=lambda host: (_weight(job, scope, host), host))


def step(answers: Collection[timedelta]) -> timedelta:
    """How far apart ranked hosts ask, by how long this one waited for the store's last answers.

    The host before reads, then claims: two answers. Where they are slow to come, who does not wait
    for them asks for what it will not get, and makes them slower still.
    """
    return min(max(STEP, 2 * max(answers, default=STEP / 2)), LONGEST_STEP)


def ask_at(due_at: datetime, rank: int, step: timedelta = STEP) -> datetime:
    """When the host of this rank (from 0) asks for what is due then."""
    return due_at + min(rank * step, LAST_STEP)


def due_at(job: Job, scope: str, scheduled_for: datetime) -> datetime:
    """When rank 0 asks for a scheduled occurrence: after the job's jitter, the same everywhere."""
    return scheduled_for + delay(job.name, scope, job.schedule.jitter)


def _is_named(patterns: Iterable[str], name: str) -> bool:
    """Whether ``hosts`` lets a host in: by a pattern, or by having only exclusions."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(name, pattern) for pattern in unwanted):
        return False
    return not wanted or any(fnmatchcase(name, pattern) for pattern in wanted)


def _has(labels: Iterable[str], wanted: str) -> bool:
    """``role=db`` asks for that value, ``role`` for the label whatever its value is."""
    if "=" in wanted:
        return wanted in labels
    return any(label.partition("=")[0] == wanted for label in labels)


def _preference(prefer: tuple[str, ...], name: str) -> int:
    """The place of the first entry that names the host; unnamed after all, shunned last."""
    if any(fnmatchcase(name, entry[1:]) for entry in prefer if entry.startswith("!")):
        return len(prefer) + 1
    for place, entry in enumerate(prefer):
        if not entry.startswith("!") and fnmatchcase(name, entry):
            return place
    return len(prefer)


def _weight(job: str, scope: str, host: str) -> int:
    """The rendezvous hash. Agents of every version must agree on it."""
    return int.from_bytes(hashlib.sha256(f"{job}\0{scope}\0{host}".encode()).digest()[:8])
