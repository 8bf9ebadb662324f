"""Deploying inside a machine: model jobs in, what ``hostagent.deploy`` answers out.

Below the command line on purpose: these tests are about units and PID 1, not about jobs.toml.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.codec import to_json
from hostagent.model import Form, Job, Schedule, Spec
from tests.machine.images import VENV
from tests.machine.machine import Machine

_DRIVER = """
import dataclasses, json, os, sys
from datetime import UTC, datetime
from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from hostagent.deploy import apply, drift, preview, rollback
from hostagent.errors import HostagentError
from hostagent.host import paths
from hostagent.codec import from_json
from hostagent.model import Spec
from hostagent.systemd.manager import Manager

asked = json.load(sys.stdin)
is_user = os.getuid() != 0
places = paths.user() if is_user else paths.system(asked["root"])
systemd = None if asked["root"] != "/" else Manager(user=is_user)
version = systemd.version() if systemd else 252
store = None
if asked["store"]:
    from hostagent.store.open import open_store
    store = open_store(asked["store"])
counts = {"reload": 0, "start": 0, "stop": 0}
if systemd:
    for name in counts:
        def counted(*args, _name=name, _do=getattr(systemd, name), **kwargs):
            if not args or args[0]:
                counts[_name] += 1
            return _do(*args, **kwargs)
        setattr(systemd, name, counted)
site = apply.Site(places, "machine", systemd, store)
try:
    if asked["verb"] == "drift":
        out = [dataclasses.asdict(item) for item in drift.drift(site)]
    elif asked["verb"] == "rollback":
        out = dataclasses.asdict(rollback.rollback(site, asked["number"]))
    else:
        spec = from_json(Spec, asked["spec"])
        target = Target(version, "machine", is_user)
        compiled = compile_spec(spec, target)
        wanted = apply.desired(spec, compiled, target, datetime.now(UTC))
        if asked["verb"] == "plan":
            out = preview.preview(site, wanted, compiled.notes).to_json()
        else:
            out = dataclasses.asdict(apply.apply(site, wanted, prune_all=asked["prune_all"]))
    out = {"out": out, "counts": counts, "exit": 0}
except HostagentError as error:
    out = {"error": error.message, "hint": error.hint, "counts": counts, "exit": error.exit_code}
json.dump(out, sys.stdout)
"""


def job(name: str, calendar: str = "*-*-* 03:00:00", **changes: Any) -> Job:
    """A job that leaves a line in /root/ran.NAME when it runs."""
    schedule = Schedule(Form.CALENDAR, calendar, calendar=(calendar,))
    command = ("/bin/sh", "-c", f"date >>/root/ran.{name}")
    return replace(Job(name, command, schedule, timeout=timedelta(hours=1)), **changes)


def deploy(
    machine: Machine,
    jobs: Iterable[Job] = (),
    verb: str = "apply",
    *,
    root: str = "/",
    store: str = "",
    prune_all: bool = False,
    number: int | None = None,
    user: str = "",
) -> dict[str, Any]:
    """Run the driver; returns ``out`` (what the function answered), ``counts``, ``exit``, …"""
    asked = {
        "verb": verb,
        "spec": to_json(Spec(tuple(jobs))),
        "root": root,
        "store": store,
        "prune_all": prune_all,
        "number": number,
    }
    command = install(machine)
    if user:
        run = 'XDG_RUNTIME_DIR="/run/user/$(id -u)" exec ' + command
        command = f"runuser -u {user} -- sh -c {shlex.quote(run)}"
    answer: dict[str, Any] = json.loads(machine.succeed(command, stdin=json.dumps(asked)))
    return answer


def install(machine: Machine) -> str:
    """Put the driver into the machine; returns its command line."""
    path = "/opt/deploy.py"
    if machine.run(f"test -e {path}").returncode:
        machine.write(path, _DRIVER)
    return f"{VENV}/bin/python3 {path}"


def admit_everything(machine: Machine) -> None:
    """Let every start through, as if an agent said yes to all: then nothing hides a wrong one."""
    machine.write("/usr/lib/hostagent/admit", "#!/bin/sh\nexit 0\n", 0o755)
    machine.write("/run/hostagent/up/ready", "")


def ran(machine: Machine) -> set[str]:
    """The jobs that ran at least once."""
    names = machine.run("cd /root && ls ran.* 2>/dev/null").stdout.split()
    return {name.removeprefix("ran.") for name in names}


def clock(moment: datetime) -> str:
    """A calendar expression that names one instant, to the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def timers(machine: Machine) -> dict[str, str]:
    """The loaded timers of ours and their active state."""
    listed = machine.succeed("systemctl list-units --all --plain --no-legend 'hostagent-*.timer'")
    return {line.split()[0]: line.split()[2] for line in listed.splitlines()}


def tree(machine: Machine) -> str:
    """Every unit file and link of ours with its inode, times and digest."""
    return machine.succeed(
        "cd /etc/systemd/system && find . -name 'hostagent*' -printf '%p %i %T@ %l\\n' | sort;"
        " find . -type f -name 'hostagent*' -exec sha256sum {} + | sort;"
        " find /var/lib/hostagent/generations -printf '%p %i %T@\\n' | sort"
    )
