"""What the agent and a job hand each other: the env file before, the JSON report after.

The env file is read by PID 1 when it executes the command; it lies on a tmpfs and is complete or
absent. A report is the job's own word: whatever it holds, it never changes how the run ended.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil
import stat
from pathlib import Path

from hostagent.codec import rfc3339
from hostagent.host.files import write_atomically
from hostagent.host.paths import Paths
from hostagent.model import Job, Run

MAX_REPORT = 64 * 1024
"""Bytes. A larger report is recorded as such and dropped."""


def write_env(paths: Paths, service: str, job: Job, run: Run) -> None:
    """Write what the run's processes find in their environment (docs: jobs.toml(5))."""
    stem = service.removesuffix(".service")
    values = {
        "HOSTAGENT_JOB": run.job,
        "HOSTAGENT_SCOPE": run.scope,
        "HOSTAGENT_RUN_ID": run.run_id,
        "HOSTAGENT_KIND": str(run.kind),
        "HOSTAGENT_SCHEDULED_FOR": rfc3339(run.scheduled_for),
        "HOSTAGENT_ATTEMPT": str(run.attempt),
        "HOSTAGENT_TOKEN": str(run.token),
        "HOSTAGENT_HOST": run.host,
        "HOSTAGENT_MISSED_FROM": rfc3339(run.covers_from) if run.covers_from else "",
        "HOSTAGENT_MISSED_TO": rfc3339(run.scheduled_for) if run.covers_from else "",
        "HOSTAGENT_MISSED_COUNT": str(run.covers if run.covers_from else 0),
        "HOSTAGENT_SOCKET": str(paths.socket),
        "HOSTAGENT_REPORT": str(_open_report(paths, stem, job)),
    }
    text = "".join(f"{key}={_quote(value)}\n" for key, value in values.items())
    write_atomically(paths.env_files / f"{stem}.env", text.encode(), 0o600, sync=False)


def clear(paths: Paths, service: str) -> None:
    """Forget the env file and the report of a run that ended."""
    stem = service.removesuffix(".service")
    (paths.env_files / f"{stem}.env").unlink(missing_ok=True)
    shutil.rmtree(paths.reports / stem, ignore_errors=True)


def read_report(paths: Paths, service: str) -> tuple[str | None, str | None]:
    """The job's report as canonical JSON, or None and what was wrong with it, or two Nones."""
    path = paths.reports / service.removesuffix(".service") / "report.json"
    try:
        data = _read_plain_file(path)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"the report cannot be read: {error.strerror}"
    if data is None:
        return None, "the report is not a plain file"
    if len(data) > MAX_REPORT:
        return None, f"the report is larger than {MAX_REPORT} bytes"
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False, allow_nan=False)
        text.encode()  # half a surrogate pair is valid in JSON, and no store could hold it
    except (ValueError, RecursionError) as error:
        return None, f"the report is not JSON: {error}"
    return text, None


def _quote(value: str) -> str:
    """A value of an environment file (systemd.exec(5)): double quotes, C-like escapes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
    return '"' + escaped.replace("$", "\\$") + '"'


def _open_report(paths: Paths, stem: str, job: Job) -> Path:
    """An empty directory that only the job's user may write; where its report may go."""
    place = paths.reports / stem
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    if job.user is not None or job.group is not None:
        with contextlib.suppress(KeyError):  # the unit will fail for the same reason, and say so
            os.chown(place, *_owner(job))
    return place / "report.json"


def _owner(job: Job) -> tuple[int, int]:
    uid, gid = 0, 0
    if job.user is not None:
        entry = pwd.getpwuid(int(job.user)) if job.user.isdigit() else pwd.getpwnam(job.user)
        uid, gid = entry.pw_uid, entry.pw_gid
    if job.group is not None:
        gid = int(job.group) if job.group.isdigit() else grp.getgrnam(job.group).gr_gid
    return uid, gid


def _read_plain_file(path: Path) -> bytes | None:
    """At most one byte more than allowed; None for a FIFO, a directory, a link of either kind."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags)
    except OSError as error:
        if path.is_symlink():
            return None
        raise error from None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_REPORT + 1)
    finally:
        os.close(handle)
