"""A PostgreSQL server of the session's own: on a socket, a schema for each store."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

USER = "nobody" if os.geteuid() == 0 else None
"""Who runs the server: it refuses to run as root."""

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "autovacuum": "off",
}


def find(program: str) -> Path | None:
    """Debian keeps the server's programs off the PATH, one directory for each version."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=_version)
    on_path = shutil.which(program)
    return places[-1] if places else Path(on_path) if on_path else None


def _version(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdigit() else 0


needs_postgres = pytest.mark.skipif(
    find("initdb") is None and not os.environ.get("CI"), reason="needs PostgreSQL's server"
)


class Server:
    """Started when the first store is asked for; in memory, unless it is told where."""

    def __init__(
        self, parent: Path = Path("/dev/shm"), settings: Mapping[str, str] = SETTINGS
    ) -> None:
        self._parent = parent
        self._settings = settings
        self._place: Path | None = None

    @property
    def place(self) -> Path:
        """The directory of its socket."""
        if self._place is None:
            parent = self._parent if self._parent.is_dir() else None
            self._place = Path(tempfile.mkdtemp(dir=parent))
            if USER is not None:
                shutil.chown(self._place, USER)
            self._start()
        return self._place

    def url(self, *, schema: str | None = None, **parameters: str) -> str:
        """A new, empty schema; ``parameters`` are libpq's, ``options`` without the schema's."""
        schema = schema or self.new_schema()
        options = f"-csearch_path={schema} {parameters.pop('options', '')}".strip()
        asked = {"host": str(self.place), "user": "hostagent", "options": options} | parameters
        return f"postgresql:///hostagent?{urlencode(asked).replace('+', '%20')}"

    def new_schema(self) -> str:
        """Its name."""
        name = f"s{uuid.uuid4().hex}"
        self.run(f"CREATE SCHEMA {name}")
        return name

    def run(self, sql: str) -> None:
        """As the server's owner."""
        with psycopg.connect(host=str(self.place), user="hostagent", autocommit=True) as pg:
            pg.execute(sql)

    def stop(self, mode: str = "immediate") -> None:
        """And forget all it had, if it was started."""
        if self._place is not None:
            self.control("stop", "-m", mode)
            shutil.rmtree(self._place)
            self._place = None

    def control(self, *arguments: str) -> None:
        """pg_ctl, which waits until it is done."""
        self._call("pg_ctl", "-D", f"{self._place}/data", "-l", f"{self._place}/log", *arguments)

    def start(self) -> None:
        """After ``control("stop")``."""
        options = " ".join(f"-c {name}='{value}'" for name, value in self._settings.items())
        self.control("start", "-o", f"-k {self._place} {options}")

    def _start(self) -> None:
        data = f"{self._place}/data"
        kind = ["--locale=C.UTF-8", "--encoding=UTF8", "--auth=trust", "--username=hostagent"]
        # Names then sort otherwise than by their bytes, as they do in most databases.
        sorting = ["--locale-provider=icu", "--icu-locale=en"]
        self._call("initdb", "-D", data, "--no-sync", *kind, *sorting)
        self.start()
        with psycopg.connect(
            host=str(self._place), user="hostagent", dbname="postgres", autocommit=True
        ) as pg:
            pg.execute("CREATE DATABASE hostagent")

    def _call(self, program: str, *arguments: str) -> None:
        path = find(program)
        assert path is not None, f"{program} is not installed"
        done = subprocess.run(
            [path, *arguments],
            user=USER,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()


SERVER = Server()

needs_pooler = pytest.mark.skipif(
    shutil.which("pgbouncer", path=_PATH) is None and not os.environ.get("CI"),
    reason="needs PgBouncer",
)


class Pooler:
    """PgBouncer before a database of the server: the URL of the store in there."""

    def __init__(self, place: Path, database: str) -> None:
        self._place, self._database = place, database
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> str:
        if USER is not None:
            shutil.chown(self._place, USER)
        users, config = self._place / "users.txt", self._place / "pgbouncer.ini"
        users.write_text('"hostagent" ""\n')
        config.write_text(
            f"[databases]\n{self._database} = host={SERVER.place} user=hostagent\n"
            f"[pgbouncer]\nunix_socket_dir = {self._place}\nlisten_port = 6432\n"
            f"auth_type = any\nauth_file = {users}\npool_mode = transaction\n"
            "default_pool_size = 2\n"
        )
        program = shutil.which("pgbouncer", path=_PATH)
        assert program is not None, "pgbouncer is not installed"
        self._process = subprocess.Popen(
            [program, "-q", config], user=USER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (self._place / ".s.PGSQL.6432").exists():
            assert self._process.poll() is None, "pgbouncer ended"
            threading.Event().wait(0.01)
        where = urlencode({"host": str(self._place), "user": "hostagent"})
        return f"postgresql://:6432/{self._database}?{where}"

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
