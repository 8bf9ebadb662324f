"""Names that point at other tables: pools, notify tables, other jobs; and cycles among jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from hostagent.errors import Problem
from hostagent.spec import command
from hostagent.spec.files import Document
from hostagent.spec.resolve import Draft, cycles
from hostagent.spec.values import WrongValueError, did_you_mean, shown

Found = Iterator[tuple[Document, Problem]]


def check_names(
    drafts: Sequence[Draft],
    jobs: AbstractSet[str],
    pools: Mapping[str, int | None],
    notify: AbstractSet[str],
) -> Found:
    """What is wrong with the names that the jobs use.

    ``jobs``, ``pools`` (with their max, if it is known) and ``notify`` hold every name that has a
    table, be the table good or not.
    """
    by_name = {draft.name: draft for draft in drafts}
    for draft in drafts:
        yield from _pool(draft, pools)
        yield from _after(draft, jobs, by_name)
        for key in ("on_failure", "on_success"):
            yield from _messages(draft, key, notify)
    yield from _after_cycles(drafts)
    yield from _renamed(drafts, jobs)


def _pool(draft: Draft, pools: Mapping[str, int | None]) -> Found:
    pool = draft.values.get("pool")
    if pool is None:
        return
    if pool not in pools:
        guess = did_you_mean(pool, pools)
        hint = None if guess else f"add [pool.{pool}] with max = …"
        yield draft.at("pool").problem(f"no pool is called {shown(pool)}{guess}", hint)
        return
    most, weight = pools[pool], draft.values.get("weight", 1)
    if most is not None and weight > most:
        message = f"{weight:g} is more than the pool {pool} holds ({most}): it could never run"
        yield draft.at("weight").problem(message)


def _after(draft: Draft, jobs: AbstractSet[str], by_name: Mapping[str, Draft]) -> Found:
    for index, name in enumerate(draft.values.get("after", ())):
        if name == draft.name:
            yield draft.at("after").problem("the job would wait for itself", None, index)
        elif name not in jobs:
            guess = did_you_mean(name, jobs)
            yield draft.at("after").problem(f"no job is called {shown(name)}{guess}", None, index)
        elif name in by_name:
            yield from _after_each(draft, by_name[name], index)


def _after_each(draft: Draft, other: Draft, index: int) -> Found:
    """What runs on each host, or at each boot, is waited for only by what does so, too."""
    place, mine, its = draft.at("after"), draft.values, other.values
    if its.get("on_boot") and not mine.get("on_boot"):
        message = f"{other.name} runs at each boot, and a boot is in no period"
        yield place.problem(message, "only a job with on_boot = true can come after it", index)
    elif its.get("run_on") == "each" and mine.get("run_on") != "each":
        message = f"{other.name} runs on each host, so it has no one outcome to wait for"
        hint = 'add run_on = "each": each host then waits for its own run'
        yield place.problem(message, hint, index)


def _after_cycles(drafts: Sequence[Draft]) -> Found:
    edges = {d.name: tuple(n for n in d.values.get("after", ()) if n != d.name) for d in drafts}
    by_name = {draft.name: draft for draft in drafts}
    for cycle in cycles(edges):
        path = " -> ".join((*cycle, cycle[0])) if len(cycle) < 10 else f"{len(cycle)} jobs"
        yield (
            by_name[cycle[0]]
            .at("after")
            .problem(f"these jobs wait for each other: {path}", "take one of them out of an after")
        )


def _messages(draft: Draft, key: str, notify: AbstractSet[str]) -> Found:
    """Each entry is the name of a notify table, or a command, which has a / or a space in it."""
    for index, text in enumerate(draft.values.get(key, ())):
        if "/" in text or " " in text:
            try:
                command.check_command_text(text)
            except WrongValueError as problem:
                yield draft.at(key).problem(problem.message, problem.hint, index)
        elif text not in notify:
            guess = did_you_mean(text, notify)
            hint = None if guess else f"add [notify.{text}], or write a command with its path"
            message = f"no notify table is called {shown(text)}{guess}"
            yield draft.at(key).problem(message, hint, index)


def _renamed(drafts: Sequence[Draft], jobs: AbstractSet[str]) -> Found:
    heirs: dict[str, str] = {}
    for draft in drafts:
        old = draft.values.get("renamed_from")
        if old is None:
            continue
        if old in jobs:
            yield draft.at("renamed_from").problem(f"there still is a job {shown(old)}")
        elif old in heirs:
            message = f"{shown(old)} became {shown(heirs[old])} already"
            yield draft.at("renamed_from").problem(message)
        heirs.setdefault(old, draft.name)
