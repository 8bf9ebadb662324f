"""From the text of an import to the spec, as ``hostagent check`` and ``compile`` read it."""

from __future__ import annotations

import tomllib

from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from hostagent.importing.cron import Kind, Source, import_cron
from hostagent.importing.jobs import Imported, Table
from hostagent.model import Job
from hostagent.spec.files import Document, parse
from hostagent.spec.load import load_documents


def jobs_of(found: Imported) -> dict[str, Job]:
    """The jobs, after their units were compiled for the oldest systemd and a new one."""
    document = parse("jobs.toml", 0, found.toml("A test.").encode())
    assert isinstance(document, Document)
    spec = load_documents([document], check_host=False).spec
    for systemd in (252, 262):
        compile_spec(spec, Target(systemd=systemd))
    return {job.name: job for job in spec.jobs}


def tables_of(found: Imported) -> dict[str, Table]:
    """The jobs as they are written."""
    jobs_of(found)
    tables: dict[str, Table] = tomllib.loads(found.toml("A test.")).get("job", {})
    return tables


def crontab(text: str, *, owner: str | None = "anna", zone: str = "UTC") -> Imported:
    """The import of a user's own crontab."""
    return import_cron([Source("anna", text, Kind.USER, owner)], zone)


def system(text: str, path: str = "/etc/crontab", zone: str = "UTC") -> Imported:
    """The import of a crontab whose lines name their users."""
    return import_cron([Source(path, text, Kind.SYSTEM)], zone)


def anacrontab(text: str, zone: str = "UTC") -> Imported:
    """The import of an anacrontab."""
    return import_cron([Source("/etc/anacrontab", text, Kind.ANACRON)], zone)


def said(found: Imported) -> list[str]:
    """The warnings, each in one line without its hint."""
    return [str(warning).partition("\n")[0] for warning in found.warnings]
