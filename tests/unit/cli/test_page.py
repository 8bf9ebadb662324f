"""The page over a real ledger, written and served (cli.page, report.page.serving)."""

from __future__ import annotations

import re
import shutil
import socket
import stat
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest

from hostagent.agent.interface import Backlog, Sample, Status
from hostagent.cli import page
from hostagent.errors import InputError, RefusedError, StoreError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from hostagent.report.ledgers import Ledgers
from hostagent.report.page import facts, serving
from hostagent.report.page.serving import Server, address
from hostagent.store.sqlite.engine import SqliteStore
from tests import answers, deployed
from tests.machine.agent import LONG
from tests.unit.cli.conftest import asked

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
NOW -= timedelta(minutes=NOW.minute % 5)
MINUTE = timedelta(minutes=1)
JOBS = [
    Job(f"job-{n:02}", ("/bin/true",), Schedule(Form.CALENDAR, "*:0/5", ("*:0/5",)), 4 * MINUTE)
    for n in range(20)
]
EACH = 250


def ran(job: Job, n: int) -> Run:
    """Its nth run; each tenth failed."""
    at, fails = NOW - 5 * n * MINUTE, n % 10 == 3
    return Run(
        *(job.name, "", Kind.SCHEDULED, at, 1, EACH - n, "one", f"due {at}, admitted 58ms after"),
        started_at=at + timedelta(seconds=1),
        ended_at=at + timedelta(seconds=20 + 7 * n % 50),
        outcome=Outcome.FAILED if fails else Outcome.SUCCEEDED,
        end_reason="exited with status 2 after 31s" if fails else "exited with status 0",
        invocation_id="i",
    )


@pytest.fixture
def here(paths: Paths) -> Paths:
    """Twenty jobs with 250 runs each."""
    deployed.deploy(paths, "one", JOBS, NOW - 5 * EACH * MINUTE)
    deployed.record(paths, (ran(job, n) for job in JOBS for n in range(1, EACH + 1)))
    return paths


def document(text: str) -> ET.Element:
    """Well-formed as XML is, which is more than a browser asks for."""
    style, script = text.index("<style>"), text.index("<script>")
    plain = text[:style] + text[text.index("</style>") + 8 : script]
    return ET.fromstring(plain.removeprefix("<!DOCTYPE html>") + "</body></html>")


def test_five_thousand_runs_are_one_small_page(here: Paths, tmp_path: Path) -> None:
    """Each is drawn, and it is well-formed."""
    out = tmp_path / "www" / "page"
    done = asked(page.page, "--out", str(out))
    assert done.output.startswith(f"wrote {out / 'index.html'} (")
    data = (out / "index.html").read_bytes()
    assert len(data) < 300_000
    found = document(data.decode())
    dots = "".join(one.get("d", "") for one in found.iterfind(".//svg[@class='plot']//path"))
    assert dots.count("h0") == 20 * EACH
    assert [one.text for one in found.iterfind(".//details//span[@class='name']")] == [
        job.name for job in JOBS
    ]
    ids = [one.get("id") for one in found.iter() if one.get("id")]
    assert len(ids) == len(set(ids))
    targets = {one.get("href", "")[1:] for one in found.iter("a")}
    assert targets <= set(ids)
    assert (out / "index.html").stat().st_mode & 0o777 == 0o644
    assert [one.name for one in out.iterdir()] == ["index.html"]


def test_without_an_agent_the_page_says_so(here: Paths, tmp_path: Path) -> None:
    """The ledger is shown all the same."""
    asked(page.page, "--out", str(tmp_path))
    text = (tmp_path / "index.html").read_text()
    assert "no agent is up on this host" in text
    assert "systemctl --user start hostagent" in text


class Agent:
    """Something waits."""

    async def status(self) -> Status:
        return answers.status(running=["job-01.1"], barred="its clock is ahead")

    async def backlog(self) -> Backlog:
        held = {
            "name": "job-03",
            "due": NOW.isoformat(),
            "covers": 7,
            "since": NOW.isoformat(),
            "lost": "",
            "expected": "",
            "bound": "",
            "reason": "held: CPU pressure is 41 %",
        }
        return answers.backlog(held=[held])

    async def samples(self) -> list[Sample]:
        figures = {"cpu": 41.0, "memory": 1.0, "memory_full": None, "in_use": 55.0}
        at = (NOW - MINUTE).isoformat()
        return [Sample(at=at, level=2.0, used=1.0, held=1, released=1, **figures)]  # type: ignore[typeddict-item]


def test_what_the_agent_says_is_shown(here: Paths, tmp_path: Path) -> None:
    """What it holds, why, and how its gate went."""
    here.socket.parent.mkdir(parents=True)
    with answers.served(here, Agent()):
        asked(page.page, "--out", str(tmp_path))
    text = (tmp_path / "index.html").read_text()
    assert "its clock is ahead" in text
    assert "CPU pressure is 41 %" in text
    assert "memory in use<b>55 %</b>" in text
    assert "memory pressure, full" not in text


def test_a_busy_day_is_cut_where_it_says(
    here: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are drawn."""
    monkeypatch.setattr(facts, "MOST_OF_DAY", 20 * 12)
    asked(page.page, "--out", str(tmp_path))
    cut = f"{(NOW - 12 * 5 * MINUTE).astimezone():%H:%M}"
    assert re.search(rf"it begins at (\w+ )?{cut}\.", (tmp_path / "index.html").read_text())


def test_what_goes_on_since_long_does_not_cut_the_day(
    here: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands before the newest ones, and is no sign that there were more."""
    at = NOW - timedelta(days=90)
    old = Run(
        *("job-00", "", Kind.SCHEDULED, at, 1, 10_000, "one", "due"),
        started_at=at,
        invocation_id="i",
    )
    deployed.record(here, [old])
    with closing(SqliteStore(here.state / "state.db", read_only=True)) as store:
        now = datetime.now(UTC)
        found = Ledgers(store, "one").going_on(now - facts.DAY, now)
    assert found[0] == old
    monkeypatch.setattr(facts, "MOST_OF_DAY", len(found))
    asked(page.page, "--out", str(tmp_path))
    assert "it begins at" not in (tmp_path / "index.html").read_text()


def test_before_an_apply_there_is_no_page(paths: Paths, tmp_path: Path) -> None:
    """Nor where it cannot be written; what to do is said."""
    found = asked(page.page, "--out", str(tmp_path / "www")).exception
    assert isinstance(found, StoreError)
    assert not (tmp_path / "www").exists()
    deployed.deploy(paths, "one", JOBS, NOW)
    (tmp_path / "file").touch()
    assert isinstance(asked(page.page, "--out", str(tmp_path / "file")).exception, RefusedError)


@contextmanager
def serves(server: Server) -> Iterator[Server]:
    """Until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LOCAL = ("127.0.0.1", 0)


def ask(server: Server, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers, body."""
    with closing(HTTPConnection(*server.socket.getsockname())) as connection:
        connection.request(method, path, headers=headers)
        got = connection.getresponse()
        return got.status, dict(got.getheaders()), got.read().decode()


def test_the_page_is_served_to_read_and_nothing_else(here: Paths) -> None:
    """GET and HEAD of one path; nothing is kept, nothing else is run or fetched."""
    with serves(Server(LOCAL, lambda: page._html(here))) as server:
        status, headers, body = ask(server, "GET", "/?x=1")
        assert status == 200
        document(body)
        assert headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Python" not in headers["Server"]
        assert ask(server, "HEAD", "/")[::2] == (200, "")
        for path in ("/x", "/../etc/passwd", "/index.html/"):
            assert ask(server, "GET", path)[0] == 404, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            status, headers, _ = ask(server, method, "/")
            assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_a_strangers_name_for_this_host_gets_nothing() -> None:
    """A page elsewhere could read this one through a name of its own (DNS rebinding)."""
    with serves(Server(LOCAL, lambda: "secret")) as server:
        for host in ("evil.example", "evil.example:8470", "", "127.0.0.1.evil.example"):
            status, _, body = ask(server, "GET", "/", Host=host)
            assert (status, "secret" in body) == (421, False)
        for host in ("localhost", "127.0.0.1:8470", "[::1]:8470", "[::1]", "a.localhost:1"):
            assert ask(server, "GET", "/", Host=host)[0] == 200


def test_a_store_that_cannot_be_read_is_told_and_the_next_reader_is_served() -> None:
    """It says why instead, with the hint."""
    errors = [StoreError("no such ledger", "run: hostagent apply")]

    def make() -> str:
        if errors:
            raise errors.pop()
        return "well"

    with serves(Server(LOCAL, make)) as server:
        status, _, body = ask(server, "GET", "/")
        assert (status, body) == (503, "no such ledger\n  hint: run: hostagent apply\n")
        assert ask(server, "GET", "/")[::2] == (200, "well")


def test_many_readers_cost_what_one_does() -> None:
    """The page of just now is given out again."""
    made: list[int] = []

    def make() -> str:
        made.append(1)
        return "page"

    with serves(Server(LOCAL, make)) as server:
        threads = [threading.Thread(target=ask, args=(server, "GET", "/")) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 1 <= len(made) < 20


def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    """One that was left behind is replaced, one in use is not, and none is left."""
    place = tmp_path / "page.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    with serves(Server(place, lambda: "page")) as server:
        assert server.place == str(place)
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as reader:
            reader.connect(str(place))
            reader.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := reader.recv(65536):
                answer += chunk
        assert answer.endswith(b"\r\n\r\npage")
        with pytest.raises(RefusedError, match="something listens there"):
            Server(place, str)
    assert not place.exists()
    place.write_text("mine")
    with pytest.raises(RefusedError, match="a file is there"):
        Server(place, str)
    assert place.read_text() == "mine"


def test_an_address_in_use_is_refused() -> None:
    """With what to do."""
    taken = socket.create_server(LOCAL)
    with taken, pytest.raises(RefusedError, match="cannot be listened at"):
        Server(taken.getsockname(), str)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470)),
        ("[::1]:80", ("::1", 80)),
        ("web1:1", ("web1", 1)),
        ("/run/x.sock", Path("/run/x.sock")),
    ],
)
def test_an_address_is_read(text: str, meant: serving.Address) -> None:
    """A host and a port, or an absolute path."""
    assert address(text) == meant


@pytest.mark.parametrize("text", ["", "8470", ":80", "::1:80", "web1", "web1:x", "a:70000", "a:²"])
def test_what_is_no_address_is_bad_input(text: str) -> None:
    """It is never guessed."""
    with pytest.raises(InputError, match="is no address"):
        address(text)


@pytest.mark.skipif(not LONG, reason="with HOSTAGENT_LONG=1: Chromium is large")
def test_a_browser_shows_it_and_finds_nothing_to_complain_of(here: Paths, tmp_path: Path) -> None:
    """Its own style and script pass its policy; it loads nothing; a link opens a job's section."""
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: apt install chromium"
    command = (
        *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"),
    )
    with serves(Server(LOCAL, lambda: page._html(here))) as server:
        done = subprocess.run(
            [*command, f"{server.place}#job-job-03"], capture_output=True, text=True, check=True
        )
    assert 'class="filter"' in done.stdout
    assert done.stdout.count("<details") == 20
    assert done.stdout.count('<details class="job" open') == 1
    assert ":CONSOLE" not in done.stderr
