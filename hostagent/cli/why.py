"""The command that explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import Json, User, deployed, open_ledger, paths_of, unknown_job
from hostagent.cli.out import emit_json, now, parse_time

if TYPE_CHECKING:
    from hostagent.host.paths import Paths
    from hostagent.report.ledgers import Ledgers
    from hostagent.report.why import Story


def why(
    what: Annotated[str, typer.Argument(help="A job's name, or a run's id.")],
    *,
    at: Annotated[
        str | None, typer.Option("--at", help="The occurrence of this time, not the last and next.")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Explain: why it ran, waits, was skipped or is late."""
    from hostagent.cli.hung import hung_now
    from hostagent.report import why as story
    from hostagent.report.runs import RUNNING

    paths = paths_of(user=user)
    store = open_ledger(paths)
    attempts = store.run(what)
    stories = [story.of_run(attempts)] if attempts else _stories_of_job(paths, store, what, at)
    if not attempts and not paths.ready.exists():
        stories.append(story.no_agent(user=user))
    elif not attempts and at is None:
        stories += _held_now(paths, what)
    if any(one.state == RUNNING for one in stories):
        hung = hung_now(paths)
        stories = [story.of_hung(s, hung[s.subject]) if s.subject in hung else s for s in stories]
    if as_json:
        emit_json(
            [{"about": s.subject, "state": s.state, "reasons": list(s.sentences)} for s in stories]
        )
        return
    for item in stories:
        print(f"{item.subject}  {item.state}")
        for sentence in item.sentences:
            print(f"  {sentence}")


def _held_now(paths: Paths, job: str) -> list[Story]:
    """What the agent says that waits; an agent that cannot say it is told by ``status``."""
    from hostagent.cli.client import call
    from hostagent.cli.waits import waits
    from hostagent.errors import RefusedError
    from hostagent.report.why import of_awaiting, of_held

    try:
        told = call(paths, lambda proxy: proxy.Status())
        held = zip(told["held"], told["held_because"], strict=True)
        stories = [(name, of_held(name, why)) for name, why in held]
        stories += [(name, of_awaiting(name, why)) for name, why in waits(told).items()]
    except RefusedError:
        return []
    return [one for name, one in stories if name.partition("@")[0] == job]


def _stories_of_job(paths: Paths, store: Ledgers, name: str, at: str | None) -> list[Story]:
    from hostagent.report import why as story
    from hostagent.report.paused import holding
    from hostagent.report.upcoming import of_job
    from hostagent.store.port import RunFilter

    jobs, host = deployed(paths)
    job = next((j for j in jobs if j.name == name), None)
    moment_at = now()
    if at is not None:
        rows = store.runs(RunFilter(job=name, covering=parse_time(at)))
        if not rows:
            return [story.Story(name, "unknown", (f"no occurrence of {at} is on record",))]
        return [story.of_run(store.run(row.run_id)) for row in rows]
    stories: list[Story] = []
    last = store.runs(RunFilter(job=name, limit=1))
    if last:
        stories.append(story.of_run(store.run(last[0].run_id)))
    if job is None:
        if not last:
            unknown_job(name, jobs)
        return [*stories, story.Story("next", "never", ("the job is no longer deployed",))]
    names = [(name, scope) for scope in job.scopes(host)]
    cursors = {(c.job, c.scope): c for c in store.cursors(names)}
    pause = holding(job, host, store.pauses(job.run_on), moment_at)
    for scope in job.scopes(host):
        due = next(of_job(job, scope, moment_at), None)
        cursor = cursors.get((name, scope))
        due_at = due.scheduled_for if due is not None else None
        stories.append(story.of_next(due_at, cursor, pause, moment_at, user=paths.user))
    turned = [d for d in store.decisions(name) if not last or d.at > last[0].scheduled_for]
    return [*stories, *(story.of_decision(d) for d in turned[:3])]
