"""Which jobs of the fleet's one jobs.toml have units on this host. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hostagent.compile.versions import Note
from hostagent.model import Spec
from hostagent.policy import place


def here(spec: Spec, host: str, labels: Sequence[str]) -> tuple[Spec, tuple[Note, ...]]:
    """The spec with the jobs that ``host`` may run, and a note for each other one.

    A job that may not run here is still the cluster's, and registered as such.
    """
    this = place.Host(host, tuple(labels))
    verdicts = [(job, place.decide(job, this)) for job in spec.jobs]
    jobs = tuple(job for job, verdict in verdicts if verdict.eligible)
    notes = tuple(
        Note(job.name, "not on this host", verdict.reason)
        for job, verdict in verdicts
        if not verdict.eligible
    )
    return replace(spec, jobs=jobs), notes
