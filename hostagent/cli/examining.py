"""Looks at this host for ``hostagent doctor``: one fact after the other, each as far as it goes.

Nothing is changed, and what cannot be looked at is a finding, too.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from hostagent import __version__
from hostagent.agent.config import AgentConfig, load, stores
from hostagent.cli.client import call
from hostagent.cli.options import first_steps
from hostagent.cli.out import now
from hostagent.deploy import drift, generations
from hostagent.deploy.apply import Site
from hostagent.errors import HostagentError
from hostagent.host.files import distrusted
from hostagent.host.paths import Paths
from hostagent.host.pressure import PROC, Pressure
from hostagent.model import Manifest
from hostagent.policy.skew import Sample, best, measured
from hostagent.report import health
from hostagent.report.health import Difference, Finding, Tools, UnitFacts, Verdict
from hostagent.store.open import describe, open_store
from hostagent.systemd.manager import Manager

CGROUPS = Path("/sys/fs/cgroup")
LINGER = Path("/var/lib/systemd/linger")


def examine(paths: Paths) -> Iterator[Finding]:
    """Everything, in the order in which a person would mend it."""
    tools = Tools(paths.user)
    try:
        manifest = generations.current(paths)
    except HostagentError as error:
        manifest = None
        yield health.failed("deployed", error, f"ls -l {paths.generations}")
    try:
        with closing(Manager(user=paths.user)) as manager:
            compiled_for = manifest.systemd if manifest else None
            yield health.systemd(manager.version(), compiled_for, tools)
    except HostagentError as error:
        yield health.failed("systemd", error, "systemctl is-system-running")
    units = list(_units(paths, tools))
    yield from units
    if not any(one.verdict is Verdict.WRONG for one in units):  # else to ask would start it
        yield from _agent(paths, manifest, tools)
    try:
        settings = load(paths)
    except HostagentError as error:
        yield health.failed("agent.toml", error, f"mend {paths.agent_toml}")
    else:
        yield from _stores(paths, settings, tools)
    if paths.user:
        user = getpass.getuser()
        yield health.linger(user, is_on=(LINGER / user).exists())
    yield health.cgroups(_controllers(paths))
    yield health.pressure(is_told=_tells_pressure())
    yield from health.trust(_distrusts(paths))
    yield from _drift(paths, manifest, tools)


def _units(paths: Paths, tools: Tools) -> Iterator[Finding]:
    names = [health.SOCKET, health.SERVICE, *([] if paths.user else [health.FENCE])]
    properties = "Id,LoadState,ActiveState,UnitFileState"
    told = _ask("show", "-p", properties, *names, user=paths.user)
    found = {}
    for block in told.split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in facts:
            found[facts["Id"]] = UnitFacts(
                facts["LoadState"], facts["ActiveState"], facts["UnitFileState"]
            )
    for name in names:
        yield health.unit(name, found.get(name), tools)


def _agent(paths: Paths, manifest: Manifest | None, tools: Tools) -> Iterator[Finding]:
    try:
        told = call(paths, lambda proxy: proxy.Status())
    except HostagentError as error:
        yield health.failed("agent", error, tools.systemctl("restart hostagent"))
        return
    generation = manifest.generation if manifest else None
    ready = paths.ready.exists()
    yield from health.agent(told, __version__, generation, ready=ready, tools=tools)
    yield from health.notifiers(told, now(), tools)


def _stores(paths: Paths, settings: AgentConfig, tools: Tools) -> Iterator[Finding]:
    mine, ours = stores(paths, settings)
    skew = None
    for url in filter(None, (mine, ours)):
        try:
            with closing(open_store(url, read_only=True)) as opened:
                opened.cursors([])
                opened.sessions()
                if opened.is_shared:
                    skew = _skew(opened.now)
            yield health.store(describe(url), is_shared=url == ours)
        except HostagentError as error:
            yield health.failed("store", error, tools.hostagent("store status"))
    yield health.clock(skew, Pressure(time.monotonic).read().is_clock_set)


def _skew(store_now: Callable[[], datetime]) -> Sample:
    """The best of three: the first one connects."""
    samples = []
    for _ in range(3):
        sent_at, sent_s = now(), time.monotonic()
        told = store_now()
        samples.append(measured(sent_at, timedelta(seconds=time.monotonic() - sent_s), told))
    return best(samples)


def _controllers(paths: Paths) -> list[str] | None:
    """Those that the manager can give to its units; None: cgroup v1."""
    if not (CGROUPS / "cgroup.controllers").exists():
        return None
    group = _ask("show", "-P", "ControlGroup", user=paths.user).strip().strip("/")
    try:
        return (CGROUPS / group / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def _tells_pressure() -> bool:
    try:
        return bool((PROC / "pressure/cpu").read_text())
    except OSError:  # PSI that is off answers EOPNOTSUPP (proc(5))
        return False


def _distrusts(paths: Paths) -> dict[str, str]:
    """Why somebody else could change what is read or run here, each with its fix."""
    uid = os.getuid() if paths.user else 0
    drop_ins = sorted(paths.jobs_toml.with_suffix(".d").glob("*.toml"))
    places = (
        *(paths.jobs_toml, *drop_ins, paths.agent_toml, paths.units, paths.generations),
        *(paths.libexec / "admit", paths.runtime, paths.state / "state.db"),
    )
    found = [distrusted(place, uid) for place in places]
    return {one.reason: one.fix for one in found if one is not None}


def _drift(paths: Paths, manifest: Manifest | None, tools: Tools) -> Iterator[Finding]:
    if manifest is None:
        yield health.nothing_deployed(first_steps(paths))
        return
    try:
        with closing(Manager(user=paths.user)) as manager:
            found = drift.drift(Site(paths, manifest.host, manager))
    except HostagentError as error:
        yield health.failed("drift", error, tools.hostagent("drift"))
        return
    differences = [Difference(one.unit, str(one.what), one.fix, one.is_meant) for one in found]
    yield from health.drift(differences, tools)


def _ask(*words: str, user: bool) -> str:
    """What ``systemctl`` prints; empty where there is none."""
    command = ["systemctl", *(["--user"] if user else []), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""
