"""Where things live: for the system, for a user's manager, or below another root.

One table, so that no other module spells a path. ``root`` is for images: everything is below it,
and nothing on this machine is asked or told.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of one installation.

    ``config``: jobs.toml, jobs.d, agent.toml. ``units``: where apply writes unit files.
    ``state``: generations, the SQLite store, the anchors; survives reboots. ``runtime``: the
    socket, ``up/ready``, the env files; gone after a reboot. ``libexec``: the admission client.
    ``stamps``: systemd's ``stamp-*.timer`` files. ``agent_units``: where ``agent install`` writes.
    """

    user: bool
    root: Path
    config: Path
    units: Path
    state: Path
    runtime: Path
    libexec: Path
    stamps: Path

    @property
    def jobs_toml(self) -> Path:
        """The file that ``apply`` reads when it is given none."""
        return self.config / "jobs.toml"

    @property
    def agent_toml(self) -> Path:
        """Host facts: store URL, host name, labels, gate limits."""
        return self.config / "agent.toml"

    @property
    def generations(self) -> Path:
        """One directory for each apply: manifest.json and units/; ``current`` links to one."""
        return self.state / "generations"

    @property
    def manifest(self) -> Path:
        """The manifest in force."""
        return self.generations / "current" / "manifest.json"

    @property
    def store_url(self) -> str:
        """The store when agent.toml names none."""
        return f"sqlite://{self.state / 'state.db'}"

    @property
    def session(self) -> Path:
        """The id of the session that this boot's agents have in the store."""
        return self.runtime / "session"

    @property
    def own_session(self) -> Path:
        """That in this host's own ledger, where it shares another store."""
        return self.runtime / "own-session"

    @property
    def socket(self) -> Path:
        """The agent's Varlink socket."""
        return self.runtime / "io.hostagent.Agent"

    @property
    def ready(self) -> Path:
        """Exists exactly while an agent is up (or restarting), and the host not asleep."""
        return self.runtime / "up" / "ready"

    @property
    def wake(self) -> Path:
        """The last wake that an agent of this boot saw; outlives a restart, as ``ready`` does."""
        return self.runtime / "up" / "wake"

    @property
    def control(self) -> Path:
        """Where PID 1 keeps, until the next boot, which properties of units were set."""
        return self.runtime.parent / "systemd" / ("user.control" if self.user else "system.control")

    @property
    def env_files(self) -> Path:
        """``UNIT.env`` for each unit whose start was admitted (``UNIT`` without ``.service``)."""
        return self.runtime / "runs"

    @property
    def reports(self) -> Path:
        """Where a job may leave its JSON report."""
        return self.runtime / "reports"


def system(root: Path | str = "/") -> Paths:
    """The system's places, or those of an image below ``root``."""
    base = Path(root)
    return Paths(
        user=False,
        root=base,
        config=base / "etc/hostagent",
        units=base / "etc/systemd/system",
        state=base / "var/lib/hostagent",
        runtime=base / "run/hostagent",
        libexec=base / "usr/lib/hostagent",
        stamps=base / "var/lib/systemd/timers",
    )


def user(home: Path | None = None, runtime: Path | None = None) -> Paths:
    """The places for ``systemctl --user``, by the XDG base directory specification."""
    home = home or Path.home()
    runtime = runtime or Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")

    def xdg(variable: str, default: str) -> Path:
        value = os.environ.get(variable)
        return Path(value) if value and value.startswith("/") else home / default

    return Paths(
        user=True,
        root=Path("/"),
        config=xdg("XDG_CONFIG_HOME", ".config") / "hostagent",
        units=xdg("XDG_CONFIG_HOME", ".config") / "systemd/user",
        state=xdg("XDG_STATE_HOME", ".local/state") / "hostagent",
        runtime=runtime / "hostagent",
        libexec=home / ".local/lib/hostagent",
        stamps=xdg("XDG_DATA_HOME", ".local/share") / "systemd/timers",
    )
