"""What an import comes to: jobs with names of their own that jobs.toml takes, and warnings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import tomli_w

from hostagent.errors import InputError, Problem
from hostagent.spec import files
from hostagent.spec.load import load_documents

Table = dict[str, Any]
"""The keys of a ``[job.NAME]``, as TOML has them."""

UTC = frozenset({"UTC", "Etc/UTC"})
"""Zones that need no ``timezone``."""

_LONGEST = 60
_ONE_LINE = dict.fromkeys((*range(32), 127), "?")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as read from ``path``; until ``collect`` names it, others may have its name."""

    path: str
    line: int
    name: str
    table: Table


@dataclass(frozen=True, slots=True)
class Imported:
    """Jobs with names of their own, and what was not carried over, in the order they were read."""

    jobs: tuple[Draft, ...]
    warnings: tuple[Problem, ...]

    def toml(self, comment: str) -> str:
        """The text of a jobs.toml: a line of comment, then each job below the place it is from."""
        parts = [f"# {comment}\n"]
        for job in self.jobs:
            place = f"# {job.path}:{job.line}".translate(_ONE_LINE)
            parts.append(f"{place}\n{tomli_w.dumps({'job': {job.name: job.table}})}")
        return "\n".join(parts)


def collect(drafts: Iterable[Draft], warnings: Iterable[Problem]) -> Imported:
    """Name the drafts, and turn each that the spec refuses into a warning."""
    jobs: dict[str, Draft] = {}
    for draft in drafts:
        name = _distinct(job_name(draft.name), jobs)
        jobs[name] = replace(draft, name=name)
    found = list(warnings)
    refused: set[str] = set()
    for problem in _refused(jobs.values()):
        name, _, key = problem.key.removeprefix("job.").partition(".")
        about = f"{key}: " if key else ""
        message = f"the job is not carried over: {about}{problem.message}"
        found.append(Problem(jobs[name].path, jobs[name].line, 1, "", message, problem.hint))
        refused.add(name)
    order = {path: index for index, path in enumerate(dict.fromkeys(p.path for p in found))}
    ordered = sorted(dict.fromkeys(found), key=lambda p: (order[p.path], p.line, p.column))
    kept = tuple(job for name, job in jobs.items() if name not in refused)
    return Imported(kept, tuple(ordered))


def job_name(text: str) -> str:
    """The nearest name that a job may have."""
    return _NO_NAME.sub("-", text).lstrip("-_")[:_LONGEST].rstrip("-") or "job"


def _distinct(name: str, taken: Collection[str]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _refused(jobs: Iterable[Draft]) -> list[Problem]:
    """What the spec finds wrong with the jobs, one by one."""
    text = tomli_w.dumps({"job": {job.name: job.table for job in jobs}})
    document = files.parse("", 0, text.encode())
    assert isinstance(document, files.Document), "what tomli-w writes is TOML"
    try:
        load_documents([document], check_host=False)
    except InputError as error:
        return error.problems
    return []
