"""Commands about what the administrator writes: check, compile, schema, show."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import File, Json, SystemdVersion, User, paths_of, unknown_job
from hostagent.cli.out import emit_json, table, warn
from hostagent.policy.words import counted

if TYPE_CHECKING:
    from hostagent.errors import InputError, Problem


def check(
    file: File = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    systemd: SystemdVersion = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Check jobs.toml, all of it at once; nothing is changed.

    Only when no FILE is given, users and programs are looked for on this host, and so is who else
    can write the files: apply and plan refuse what others than root can.
    """
    from hostagent.compile.draft import Target
    from hostagent.compile.units import compile_spec
    from hostagent.errors import InputError
    from hostagent.spec.load import load

    path = file or paths_of(user=user).jobs_toml
    try:
        loaded = load(path, check_host=file is None, trusted_uid=os.geteuid() if not file else None)
        compile_spec(loaded.spec, Target(systemd=systemd or 252, user=user))
    except InputError as error:
        _tell_errors(error, as_json=as_json)
        raise typer.Exit(2) from None
    if as_json:
        emit_json({"ok": True, "warnings": [problem_json(w) for w in loaded.warnings]})
    else:
        warn(loaded.warnings)
        jobs, warnings = len(loaded.spec.jobs), len(loaded.warnings)
        print(f"{path}: {counted(jobs, 'job')}, {counted(warnings, 'warning')}")
    if strict and loaded.warnings:
        raise typer.Exit(2)


def _tell_errors(error: InputError, *, as_json: bool) -> None:
    """What is wrong, after what is only doubtful; how many there are of both stands last."""
    problems, warnings = error.problems, error.warnings
    if as_json:
        emit_json(
            {
                "ok": False,
                "problems": [problem_json(p) for p in problems],
                "warnings": [problem_json(w) for w in warnings],
            }
        )
        return
    warn(warnings)
    print("\n".join(map(str, problems)), file=sys.stderr)
    many = f"{counted(len(problems), 'error')}, {counted(len(warnings), 'warning')}"
    print(f"{many}; nothing was changed", file=sys.stderr)


def compile_(
    file: File = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="Write the unit files into this directory.")],
    systemd: SystemdVersion = None,
    host: Annotated[
        str | None, typer.Option("--host", help="The name of the host they are for.")
    ] = None,
    user: User = False,
) -> None:
    """Write the units of jobs.toml into a directory.

    That needs no root, no systemd and no agent.
    """
    from hostagent.compile.draft import Target
    from hostagent.compile.units import compile_spec
    from hostagent.compile.versions import told
    from hostagent.host.files import write_atomically
    from hostagent.host.identity import host_name
    from hostagent.spec.load import load

    loaded = load(file or paths_of(user=user).jobs_toml, check_host=False)
    target = Target(systemd=systemd or 252, host=host or host_name(), user=user)
    compiled = compile_spec(loaded.spec, target)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in compiled.files.items():
        write_atomically(out / name, text.encode(), 0o644, sync=False)
    warn(loaded.warnings)
    for note in told(compiled.notes):
        print(f"note: {note}", file=sys.stderr)
    print(f"{out}: {len(compiled.files)} unit files for {counted(len(loaded.spec.jobs), 'job')}")


def schema() -> None:
    """Print the JSON Schema of jobs.toml, for editors."""
    from hostagent.spec.schema import json_schema

    emit_json(json_schema())


def show(
    job: Annotated[str, typer.Argument(help="A job's name.")],
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="jobs.toml [default: /etc/hostagent/jobs.toml]")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show a job as resolved, and where each value comes from."""
    from hostagent.codec import to_json
    from hostagent.spec.load import load

    loaded = load(file or paths_of(user=user).jobs_toml, check_host=False)
    found = next((j for j in loaded.spec.jobs if j.name == job), None)
    if found is None:
        unknown_job(job, loaded.spec.jobs)
    resolved = to_json(found)
    if as_json:
        emit_json(resolved)
        return
    rows = []
    for key, value in _flat(resolved):
        origin = loaded.origins.get(job, {}).get(_spec_key(key, str(found.schedule.form)))
        rows.append((key, _shown(value), str(origin) if origin else "default"))
    table(("KEY", "VALUE", "FROM"), rows, empty="")


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem for ``--json``."""
    return {
        "path": problem.path,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.message,
        "hint": problem.hint,
        "code": problem.code,
    }


def _spec_key(key: str, form: str) -> str:
    """The key of jobs.toml that a value of the resolved job comes from."""
    if not key.startswith("schedule."):
        return key
    name = key.removeprefix("schedule.")
    return {"form": form, "text": form, "calendar": form, "zone": "timezone"}.get(name, name)


def _shown(value: object) -> str:
    """A value in one line, strings without quotes."""
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(value: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, item in value.items():
        if isinstance(item, dict):
            rows += _flat(item, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", item))
    return rows
