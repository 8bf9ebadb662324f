"""Debian's PostgreSQL on a machine of a cluster: the store that all its hosts share.

The data directory lies outside the machine, in memory and of a bounded size: a power cut keeps
what was flushed and a full disk is soon had. Nothing starts the server but ``start``.
"""

from __future__ import annotations

import secrets
import time
from typing import Literal

from tests.machine.machine import Machine
from tests.machine.network import NET

Stop = Literal["fast", "immediate"]

DATA = "/var/lib/postgresql"
SIZE = "320m"

FOLLOW_S = 10.0
SYNCHRONOUS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"

_SETTINGS = """
listen_addresses = '{address}'
max_connections = 60
shared_buffers = 32MB
max_wal_size = 64MB
min_wal_size = 32MB
wal_level = replica
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
"""

# libfaketime, for the server alone: its clients see no other clock of this machine. It is asked
# anew at each call, so a step comes at once; timers go by CLOCK_MONOTONIC, which stays true.
_CLOCK = """
Environment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE=/etc/server-clock
Environment=FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
"""

_ACCESS = f"""
local all all peer
host hostagent hostagent {NET}.0/24 scram-sha-256
host replication replica {NET}.0/24 scram-sha-256
"""

# Debian's own way is a script that looks every two seconds whether the server is up.
_UNIT = """
[Service]
Type=notify
User=postgres
ExecStart=
ExecStart=/usr/lib/postgresql/{version}/bin/postgres -D {data}/{version}/main \\
    -c config_file=/etc/postgresql/{version}/main/postgresql.conf
ExecReload=
ExecReload=/bin/kill -HUP $MAINPID
ExecStop=
PIDFile=
KillMode=mixed
KillSignal=SIGINT
TimeoutSec=30
"""

_FOLLOW = f"""
rm -rf {DATA}/*/main/*
runuser -u postgres -- env PGPASSFILE={DATA}/pgpass pg_basebackup --no-password --checkpoint=fast \\
    --write-recovery-conf --host={{host}} --username=replica --pgdata=$(echo {DATA}/*/main)
"""


class Postgres:
    """The server on one machine. ``password`` is the role hostagent's, and the replica's."""

    def __init__(
        self,
        machine: Machine,
        address: str,
        password: str | None = None,
        *,
        has_own_clock: bool = False,
    ) -> None:
        """Write the server's settings; it is not started."""
        self.machine = machine
        self.password = password or secrets.token_hex(16)
        (version,) = machine.succeed("ls /etc/postgresql").split()
        settings = f"/etc/postgresql/{version}/main"
        machine.write(f"{settings}/conf.d/cluster.conf", _SETTINGS.format(address=address))
        machine.write(f"{settings}/pg_hba.conf", _ACCESS)
        self._unit = f"postgresql@{version}-main.service"
        self._has_own_clock = has_own_clock
        unit = _UNIT.format(data=DATA, version=version)
        if has_own_clock:
            library = machine.succeed("ls /usr/lib/*/faketime/libfaketimeMT.so.1").strip()
            unit += _CLOCK.format(library=library)
            self.set_clock(0)
        machine.write(f"/etc/systemd/system/{self._unit}.d/cluster.conf", unit)
        machine.succeed("systemctl daemon-reload")

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self.machine.succeed(f"systemctl reset-failed; systemctl start {self._unit}")

    def stop(self, how: Stop = "fast") -> None:
        """Stop the server: ``fast`` ends sessions in order, ``immediate`` drops all, as a crash."""
        if how == "immediate":
            self.machine.run(f"systemctl kill --signal=QUIT --kill-whom=main {self._unit}")
        self.machine.succeed(f"systemctl stop {self._unit}")

    def create(self) -> None:
        """Create the role and the database hostagent, and the replica's role."""
        self.psql(
            f"CREATE ROLE hostagent LOGIN PASSWORD '{self.password}';"
            f"CREATE ROLE replica LOGIN REPLICATION PASSWORD '{self.password}';",
            database="postgres",
        )
        self.psql("CREATE DATABASE hostagent OWNER hostagent", database="postgres")

    def psql(self, sql: str, *, database: str = "hostagent", timeout: float = 20) -> str:
        """Run SQL as the superuser on the server's own machine; rows as ``a|b`` lines."""
        command = f"runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d {database}"
        return self.machine.succeed(command, stdin=sql, timeout=timeout)

    def set_clock(self, ahead_s: float) -> None:
        """Step the server's CLOCK_REALTIME to so much ahead of the true time; it may be down."""
        assert self._has_own_clock, "this server was made without a clock of its own"
        self.machine.write("/etc/server-clock", f"{ahead_s:+f}\n")

    def follow(self, host: str) -> None:
        """Become the replica of ``host``: copy all of it anew, and start."""
        self.machine.write(f"{DATA}/pgpass", f"*:5432:*:replica:{self.password}\n", 0o600)
        self.machine.succeed(f"chown postgres: {DATA}/pgpass")
        self.machine.succeed(_FOLLOW.format(host=host))
        self.start()

    def require_replica(self, *, required: bool) -> None:
        """Whether a commit waits until the replica has it on disk, too. It does on return."""
        names = "*" if required else ""
        self.psql(
            f"ALTER SYSTEM SET synchronous_standby_names = '{names}';SELECT pg_reload_conf()",
            database="postgres",
        )
        end = time.monotonic() + FOLLOW_S
        while required and self.psql(SYNCHRONOUS, database="postgres") != "1\n":
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.1)

    def promote(self) -> None:
        """Make a replica the primary; commits wait for nobody then."""
        self.psql("SELECT pg_promote()", database="postgres")
        self.require_replica(required=False)
