"""Reading jobs.toml and jobs.d as a whole: ``load(path)`` gives the spec, or every problem at once.

In order: files and their syntax, the tables one by one, the jobs they make, then what they say
about each other. What is wrong in one step does not hide what is wrong in the next, unless the
next would only repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from hostagent.errors import InputError, Problem
from hostagent.model import Job, Notify, Pool, Spec
from hostagent.spec.command import split
from hostagent.spec.files import Document, read
from hostagent.spec.jobs import build, check_complete
from hostagent.spec.lint import lint
from hostagent.spec.lint_notify import lint_notify
from hostagent.spec.names import check_names
from hostagent.spec.resolve import Draft, Origin, Place, check_extends, draft
from hostagent.spec.schema import JobTable, NotifyTable, PoolTable, Table
from hostagent.spec.tables import Problems, Tables, read_tables


@dataclass(frozen=True)
class Loaded:
    """What ``load`` read. ``places`` and ``derived`` hold what ``origins`` is made of."""

    spec: Spec
    warnings: tuple[Problem, ...]
    places: Mapping[str, Mapping[str, Place]]
    derived: Mapping[str, Mapping[str, Origin]]

    @cached_property
    def origins(self) -> dict[str, dict[str, Origin]]:
        """For each job and each key that has a value not built in: where that value comes from.

        Tables have a key for each entry, as in ``environment.PATH``.
        """
        return {
            name: {key: place.origin() for key, place in places.items() if key}
            | dict(self.derived[name])
            for name, places in self.places.items()
        }


def load(
    path: Path,
    *,
    check_host: bool = True,
    trusted_uid: int | None = None,
    now: datetime | None = None,
) -> Loaded:
    """Read ``path`` and its drop-ins.

    ``check_host``: users, groups and programs must exist on this host. ``trusted_uid``: refuse
    what others than root and that user could have written; None: do not look. ``now`` is what
    the warnings take for the present.

    Raises:
        InputError: with all problems, in the order of files and lines, and with what may be warned
            of beside them.
    """
    documents, unread = read(path, trusted_uid)
    return load_documents(documents, unread, check_host=check_host, now=now)


def load_documents(
    documents: list[Document],
    unread: Sequence[tuple[int, Problem]] = (),
    *,
    check_host: bool,
    now: datetime | None = None,
) -> Loaded:
    """The same of files that were read; ``unread`` is what was wrong with others (by index)."""
    problems = Problems(unread)
    tables = read_tables(documents, problems)
    drafts = [
        draft(own, tables.named["profile"], tables.defaults)
        for name, own in tables.named["job"].items()
        if isinstance(tables.models["job", name], JobTable)
    ]
    jobs: list[Job] = []
    sound: list[Job] = []  # of a broken one it is not known what it would say
    places: dict[str, Mapping[str, Place]] = {}
    derived: dict[str, Mapping[str, Origin]] = {}
    for each in drafts:
        wrong: list[tuple[Document, Problem]] = []
        job, origins = build(each, wrong.append, check_host=check_host)
        problems.extend(wrong)
        if job:
            jobs.append(job)
            sound += [] if wrong else [job]
            places[job.name], derived[job.name] = {**each.places, "": each.place}, origins
    # What seems to be missing may stand in a file that could not be read.
    if not unread:
        problems.extend(_between(tables, drafts))
    order = {document.path: document.index for document in documents}
    warnings = lint(Spec(tuple(sound)), places, now or datetime.now(UTC), check_host=check_host)
    if check_host:
        warnings += lint_notify(tables.named["notify"])
    warnings.sort(key=lambda w: (order.get(w.path, 0), w.line, w.column, str(w)))
    if found := problems.all():
        raise InputError(found, warnings=tuple(warnings))
    spec = Spec(
        jobs=tuple(jobs),
        pools=tuple(_pool(n, tables.models["pool", n]) for n in tables.named["pool"]),
        notify=(
            *(_notify(n, tables.models["notify", n]) for n in tables.named["notify"]),
            *_commands(jobs, tables.named["notify"].keys()),
        ),
        sources=tuple((document.path, document.sha256) for document in documents),
    )
    return Loaded(spec, tuple(warnings), places, derived)


def _between(tables: Tables, drafts: list[Draft]) -> Iterator[tuple[Document, Problem]]:
    """What is wrong between tables, or missing in all of them."""
    named = tables.named
    yield from check_extends([*named["profile"].values(), *named["job"].values()], named["profile"])
    for each in drafts:
        yield from check_complete(each)
    pools = {name: getattr(tables.models["pool", name], "max", None) for name in named["pool"]}
    yield from check_names(drafts, named["job"].keys(), pools, named["notify"].keys())
    for name, own in named["notify"].items():
        written = {"command", "webhook", "mail", "apprise"} & {*own.values, *own.broken}
        if len(written) != 1 and isinstance(tables.models["notify", name], NotifyTable):
            message = "needs exactly one of command, webhook, mail, apprise"
            yield own.document, own.document.problem(own.table, message, key=True)
        if "body" in own.values and "webhook" not in written:
            message = "only a webhook has a body"
            yield own.document, own.document.problem((*own.table, "body"), message, key=True)


def _pool(name: str, table: Table) -> Pool:
    assert isinstance(table, PoolTable), "a broken pool is a problem"
    return Pool(name, table.max)


def _commands(jobs: Sequence[Job], known: AbstractSet[str]) -> Iterator[Notify]:
    """Those that the jobs name themselves, each once."""
    named = dict.fromkeys(name for job in jobs for name in (*job.on_failure, *job.on_success))
    for name in named:
        if name not in known:
            yield Notify(name, tuple(split(name)))


def _notify(name: str, table: Table) -> Notify:
    assert isinstance(table, NotifyTable), "a broken notify table is a problem"
    return Notify(
        name,
        tuple(table.command or ()),
        table.webhook,
        table.mail,
        table.body,
        table.apprise,
        tuple(table.quiet or ()),
        table.timezone or "UTC",
        of_hosts=bool(table.of_hosts),
    )
