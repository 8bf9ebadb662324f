"""What monitoring is told: families of samples, and their text in both of Prometheus's formats.

Pure. Names are Prometheus's way: base units, counters end in ``_total``. What is not known has no
sample, rather than a 0 that says something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.model import Outcome, Run
from hostagent.store.port import Quarantine, Tally

Labels = tuple[tuple[str, str], ...]
YEAR, MONTH = timedelta(days=366), timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one name: ``(suffix, labels, value)``. ``kind`` is one of OpenMetrics's types."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[str, Labels, float], ...]


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One (job, scope): its last ended attempt and its last success, on whatever host."""

    job: str
    scope: str
    last: Run | None
    success: Run | None
    next_due: datetime | None
    period: timedelta | None


def counted_since(now: datetime, retention: timedelta) -> datetime:
    """From when on runs are counted, so that no pruned row makes a counter go back.

    The beginning of the year, in UTC; where a ledger does not keep a year, of the month or day.
    A counter begins anew with it, as after a restart.
    """
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if retention >= YEAR:
        return day.replace(month=1, day=1)
    return day.replace(day=1) if retention >= MONTH else day


def of_agent(
    version: str, status: Mapping[str, Any] | None, backlog: Mapping[str, Any] | None
) -> Iterator[Family]:
    """What the agent says (its ``Status`` and ``Backlog``); None: it does not answer."""
    yield Family(
        "hostagent",
        "info",
        "The version of this hostagent.",
        (("_info", (("version", version),), 1),),
    )
    yield _gauge("hostagent_up", "Whether the agent answers.", float(status is not None))
    if status is not None:
        told = {**status, **(backlog or {})}
        lease = "How long the lease of the cluster's runs holds if it is not renewed."
        for name, what, value in (
            ("jobs", "Jobs that the agent works with.", status.get("jobs")),
            ("generation", "The generation that the agent works with.", status.get("generation")),
            ("running_runs", "Runs that go on here.", _count(status.get("running"))),
            ("held_runs", "Missed runs that wait here for the gate.", _count(told.get("held"))),
            ("catching_up_runs", "Missed runs that go on.", _count(told.get("catching_up"))),
            ("held_occurrences", "Occurrences that these stand for.", _covered(told.get("held"))),
            ("gate_level", "What may catch up at once, by weight.", told.get("level")),
            ("gate_level_max", "What the level may grow to.", told.get("most")),
            ("gate_used", "What catches up now, by weight.", told.get("used")),
            ("lease_remaining_seconds", lease, status.get("lease_s")),
        ):
            if value is not None:
                yield _gauge(f"hostagent_{name}", what, float(value))


def of_stores(reached: Mapping[str, bool]) -> Family:
    """``own`` and, where hosts share one, ``shared``."""
    return Family(
        "hostagent_store_up",
        "gauge",
        "Whether the store is reached from here.",
        tuple(("", (("store", name),), float(is_up)) for name, is_up in reached.items()),
    )


def of_runs(tallies: Iterable[Tally], since: datetime) -> Iterator[Family]:
    """What came of this host's runs."""
    tallies = list(tallies)
    when = f"due on this host since {since:%Y-%m-%d}"
    took: dict[Labels, tuple[int, timedelta]] = {}
    for one in tallies:
        count, length = took.get(_labels(one), (0, timedelta(0)))
        took[_labels(one)] = (count + one.started, length + one.took)
    yield Family(
        "hostagent_runs",
        "counter",
        f"Ended attempts {when}, and records that occurrences got none.",
        tuple(
            ("_total", (*_labels(one), ("outcome", str(one.outcome))), one.count) for one in tallies
        ),
    )
    yield Family(
        "hostagent_run_duration_seconds",
        "summary",
        f"How long attempts {when} took.",
        tuple(
            sample
            for labels, (count, length) in took.items()
            for sample in (("_count", labels, count), ("_sum", labels, length.total_seconds()))
        ),
    )


def of_jobs(jobs: Sequence[JobFacts], quarantines: Sequence[Quarantine]) -> Iterator[Family]:
    """What is deployed, with its last runs on whatever host."""
    lasts = [(_labels(job), job.last) for job in jobs if job.last is not None]
    yield _by_job(
        "hostagent_last_run_timestamp_seconds",
        "When the last attempt ended.",
        [(labels, _stamp(run.ended_at)) for labels, run in lasts],
    )
    yield _by_job(
        "hostagent_last_run_duration_seconds",
        "How long the last attempt took.",
        [(labels, _took(run)) for labels, run in lasts],
    )
    yield _by_job(
        "hostagent_last_run_succeeded",
        "Whether the last attempt succeeded.",
        [(labels, float(run.outcome is Outcome.SUCCEEDED)) for labels, run in lasts],
    )
    yield _by_job(
        "hostagent_last_success_timestamp_seconds",
        "When the last attempt ended that succeeded.",
        [(_labels(job), _stamp(job.success.ended_at)) for job in jobs if job.success],
    )
    yield _by_job(
        "hostagent_next_due_timestamp_seconds",
        "When the next occurrence falls due.",
        [(_labels(job), _stamp(job.next_due)) for job in jobs],
    )
    yield _by_job(
        "hostagent_period_seconds",
        "The shortest time between two occurrences.",
        [(_labels(job), job.period.total_seconds()) for job in jobs if job.period],
    )
    out = {(one.job, one.scope) for one in quarantines}
    yield _by_job(
        "hostagent_quarantined",
        "Whether it was taken out because it keeps crashing.",
        [(_labels(job), float((job.job, job.scope) in out)) for job in jobs],
    )


def text(families: Iterable[Family], *, is_openmetrics: bool = True) -> str:
    """The families, in OpenMetrics; or in Prometheus's own format, as node_exporter wants it."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        name, kind = family.name, family.kind
        if not is_openmetrics and kind in {"counter", "info"}:  # the suffix is a part of the name
            name += family.samples[0][0]
            kind = "gauge" if kind == "info" else kind
        lines += [f"# HELP {name} {_escaped(family.help)}", f"# TYPE {name} {kind}"]
        if is_openmetrics and name.endswith("_seconds"):
            lines.append(f"# UNIT {name} seconds")
        for suffix, labels, value in family.samples:
            shown = ",".join(f'{label}="{_escaped(word)}"' for label, word in labels)
            lines.append(f"{family.name}{suffix}{f'{{{shown}}}' if shown else ''} {_number(value)}")
    return "\n".join([*lines, *(["# EOF"] if is_openmetrics else [])]) + "\n"


def _gauge(name: str, what: str, value: float) -> Family:
    return Family(name, "gauge", what, (("", (), value),))


def _by_job(name: str, what: str, values: Iterable[tuple[Labels, float | None]]) -> Family:
    known = tuple(("", labels, value) for labels, value in values if value is not None)
    return Family(name, "gauge", what, known)


def _labels(one: Tally | JobFacts) -> Labels:
    return (("job", one.job), ("scope", one.scope))


def _count(told: Sequence[Any] | None) -> int | None:
    return None if told is None else len(told)


def _covered(held: Sequence[Any] | None) -> int | None:
    """None where the agent told the names alone."""
    if held is None or not all(isinstance(one, Mapping) for one in held):
        return None
    return sum(int(one["covers"]) for one in held)


def _stamp(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _took(run: Run) -> float | None:
    if run.started_at is None or run.ended_at is None:
        return None
    return (run.ended_at - run.started_at).total_seconds()


def _number(value: float) -> str:
    """Whole numbers as such; times of day to the microsecond."""
    return str(int(value)) if value == int(value) else f"{value:.6f}".rstrip("0")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
