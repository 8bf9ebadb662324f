"""The service of a job: PID 1 asks the agent, then runs the user's command, unwrapped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hostagent.compile import escape, names, sandbox
from hostagent.compile.draft import Directive, Draft
from hostagent.compile.templates import render
from hostagent.model import RunOn, Sandbox

ADMIT = "/usr/lib/hostagent/admit"
ADMIT_USER = "%h/.local/lib/hostagent/admit"

ADMISSION = timedelta(minutes=1)
"""``TimeoutStartSec=`` where the job's own timeout is ``RuntimeMaxSec=``: admission and exec."""

_SHORTEST = timedelta(milliseconds=1)


def service(draft: Draft) -> str:
    """The text of the service, or of its template for ``for_each``."""
    job, user = draft.job, draft.target.user
    return render(
        "service.j2",
        job=job.name,
        description=description(draft),
        fences=_fences(draft),
        unit=draft.passthrough("Unit"),
        kind=list(_kind(draft)),
        slice=names.slice_name(job.lane),
        admit=ADMIT_USER if user else ADMIT,
        command=draft.spell("command", escape.command_line, job.command),
        process=list(_process(draft)),
        limits=draft.known("Service", _limits(draft)),
        sandbox=_sandbox(draft),
        service=draft.passthrough("Service"),
    )


def description(draft: Draft) -> str:
    """What ``systemctl status`` calls the job; an instance's ends in its (escaped) scope."""
    job = draft.job
    text = draft.spell("description", escape.sentence, job.description)
    text = text or f"hostagent job {job.name}"
    return f"{text} (%i)" if job.for_each else text


def _fences(draft: Draft) -> list[str]:
    """The targets whose stop is the job's, too; a user's manager has no fence.

    On a single host it is there for nothing but a person's ``systemctl stop``.
    """
    is_fenced = draft.job.run_on is RunOn.ONE and not draft.target.user
    return [names.ONCE_TARGET] if is_fenced else []


def _kind(draft: Draft) -> Iterator[Directive]:
    """A oneshot never times out by itself; one with a heartbeat is watched while it is up."""
    job = draft.job
    timeout = draft.spell("timeout", escape.positive_span, job.timeout)
    if job.heartbeat is None:
        yield "Type", "oneshot"
        yield "TimeoutStartSec", timeout
    else:
        yield "Type", "exec"
        yield "NotifyAccess", "all"
        yield "WatchdogSec", draft.spell("heartbeat", escape.positive_span, job.heartbeat)
        yield "TimeoutStartSec", escape.span(ADMISSION)
        yield "RuntimeMaxSec", timeout
    if job.stop_timeout is not None:
        # 0 would mean "wait for ever" to systemd, and "kill at once" to everybody else.
        yield "TimeoutStopSec", escape.span(max(job.stop_timeout, _SHORTEST))


def _process(draft: Draft) -> Iterator[Directive]:
    """Who the process is, where it runs and what it is given."""
    job = draft.job
    for name, key, value in (("User", "user", job.user), ("Group", "group", job.group)):
        if value is not None:
            yield name, draft.spell(key, escape.plain, value)
            if draft.target.user:
                draft.note(name, "a user's manager runs jobs as that user alone, others fail")
    if job.working_directory is not None:
        directory = draft.spell("working_directory", escape.directory, job.working_directory)
        yield "WorkingDirectory", directory
    if job.umask is not None:
        yield "UMask", draft.spell("umask", escape.umask, job.umask)
    for variable, value in job.environment:
        key = f"environment.{variable}"
        yield "Environment", draft.spell(key, _assignment, variable, value)
    draft.spell("command", _fits, job.command, job.environment)
    for file in job.environment_file:
        yield "EnvironmentFile", draft.spell("environment_file", escape.environment_file, file)
    for name, source in job.credentials:
        key = f"credentials.{name}"
        yield "LoadCredential", draft.spell(key, escape.credential, name, source)
    if job.success_exit_status:
        statuses = [
            draft.spell("success_exit_status", escape.exit_status, status)
            for status in job.success_exit_status
        ]
        yield "SuccessExitStatus", " ".join(statuses)


def _assignment(variable: str, value: str) -> str:
    if variable.startswith("HOSTAGENT_"):
        raise ValueError("variables that begin with HOSTAGENT_ are set by the agent")
    return escape.assignment(variable, value)


def _fits(command: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> str:
    escape.check_exec_size(command, environment)
    return ""


def _limits(draft: Draft) -> Iterator[Directive]:
    """Limits, and the accounting that the ledger's figures come from."""
    job = draft.job
    for kind in ("CPU", "Memory", "IO", "Tasks"):
        yield f"{kind}Accounting", "yes"
    values = {
        "MemoryMax": job.memory_max,
        "MemoryHigh": job.memory_high,
        "CPUQuota": None if job.cpu_quota is None else escape.percent(job.cpu_quota),
        "CPUWeight": job.cpu_weight,
        "IOWeight": job.io_weight,
        "TasksMax": job.tasks_max,
        "Nice": job.nice,
    }
    for name, value in values.items():
        if value is not None:
            yield name, str(value)


def _sandbox(draft: Draft) -> list[Directive]:
    job = draft.job
    lines = list(sandbox.directives(job.sandbox))
    if job.sandbox is Sandbox.STRICT and job.umask is None:
        lines.append(("UMask", "0077"))
    if draft.target.user:
        missing = sorted(name for name, _ in lines if not sandbox.works_for_users(name))
        lines = [line for line in lines if sandbox.works_for_users(line[0])]
        for name in missing:
            draft.note(name, "left out of the sandbox: not every user's manager can do it")
    return draft.known("Service", lines)
