"""The tutorials, typed word for word in machines: each command shows what the page says.

What differs from run to run (times, ids, sizes, durations) is masked on both sides; beside the
lines that a page shows there may be more. Where the text before a block says to wait, its commands
are typed again until they show them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.machine import agent
from tests.machine.fixtures import Boot, NewCluster
from tests.machine.prompt import HELP, Prompt
from tests.pages import CHECKOUT, Block, Typed, blocks, typed

TUTORIAL = CHECKOUT / "docs/tutorial"
NOT_HERE = re.compile(r"(apt|python3|ln|editor) |\./|hostagent agent install$")
"""What installs hostagent, and what a person does: a machine of the tests has it already."""

PATIENCE_S = 150.0

_MASKS = (
    (r"\b[0-9a-f]{8}\b", "0"),
    (r"\d{4}-\d\d-\d\d", "0"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b", ""),
    (r"\d{8}T\d{6}Z", "0"),
    (r"(?<![A-Za-z\d])(\d[\d.:]*(ms|min|s|h|d|Z)? ?)+", "0 "),
    (r"\s+", " "),
)


def masked(line: str) -> str:
    """A line without what another run would show in its place."""
    for pattern, by in _MASKS:
        line = re.sub(pattern, by, line)
    return line.strip()


def missing(shown: Sequence[str], printed: str) -> str | None:
    """The first line of ``shown`` that was not printed, in this order; None: all were."""
    lines = iter([masked(line) for line in printed.splitlines()])
    return next((line for line in shown if masked(line) not in lines), None)


def walk(
    blocks: Iterator[Block], edit: Callable[[Block], None], type_in: Callable[[Typed], str]
) -> int:
    """Do a page from its first block to its last; returns how many commands were typed."""
    count = 0
    for block in blocks:
        if block.language in {"toml", "text"}:
            edit(block)
        waits = "ait for " in block.before
        for line in typed(block) if block.language == "console" else ():
            if NOT_HERE.match(line.command):
                continue
            end, count = time.monotonic() + PATIENCE_S * waits, count + 1
            while lost := missing(line.shown, printed := type_in(line)):
                if time.monotonic() > end:
                    pytest.fail(f"{block}: {line.command}: not shown: {lost}\n{printed}", False)
                time.sleep(0.2)
    return count


def test_what_differs_from_run_to_run_is_masked() -> None:
    """And nothing else: another outcome, another order or a missing line is found."""
    shown = ["data.20261121T084800Z  failed  Sat 2026-11-21 08:48:00 UTC (41s ago)  20ms  web1"]
    other = "data.20270102T120000Z   failed  Sat 2027-01-02 12:00:00 UTC (1min 6s ago)  1.2s  web1"
    assert missing(shown, f"RUN\n{other}\n") is None
    assert missing(shown, other.replace("failed", "succeeded")) == shown[0]
    assert missing(shown, other.replace("web1", "web2")) == shown[0]
    assert missing(["b", "a"], "a\nb\n") == "a"


@pytest.mark.skipif(not agent.LONG, reason="waits for full minutes: HOSTAGENT_LONG=1")
def test_the_first_host(boot: Boot) -> None:
    """docs/tutorial/first-host.md."""
    machine = boot(name="web1")
    machine.succeed("hostname web1 && hostagent agent install")
    tables: dict[str, str] = {}

    def edit(block: Block) -> None:
        named = re.match(r"\[(job\.[\w-]+)\]", block.text)
        assert named
        tables[named[1]] = block.text
        write()

    def write() -> None:
        machine.write("/etc/hostagent/jobs.toml", "\n".join(tables.values()))

    def type_in(line: Typed) -> str:
        done = machine.run(line.command)
        return done.stdout + done.stderr

    def page() -> Iterator[Block]:
        for block in blocks(TUTORIAL / "first-host.md"):
            if "## Clean up" in block.before:
                del tables["job.data"]
                write()
            yield block

    assert walk(page(), edit, type_in) > 15


def test_a_line_says_where_and_what(
    new_cluster: NewCluster, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is typed at the cluster's prompt runs there; what is not understood gets help."""
    prompt = Prompt(new_cluster(2, store=None))

    def says(line: str) -> str:
        capfd.readouterr()
        assert prompt.do(line)
        return "".join(capfd.readouterr())

    assert says("all hostname") == "host1:\nhost1\nhost2:\nhost2\n"
    assert "has no power any more" in says("kill host2")
    assert "type: boot host2" in says("host2 true")
    assert says("all hostname") == "host1:\nhost1\n"
    assert "is up after" in says("boot host2")
    assert "No such file" in says("copy nowhere.toml")
    assert says("host3 true") == says("boot") == f"{HELP}\n"
    assert not prompt.do("quit")


@pytest.mark.skipif(not agent.LONG, reason="takes three minutes: HOSTAGENT_LONG=1")
def test_a_cluster_of_three(new_cluster: NewCluster, capfd: pytest.CaptureFixture[str]) -> None:
    """docs/tutorial/cluster.md; which host runs what differs, and is told as if it were host2."""
    prompt = Prompt(new_cluster(3, store="dir"))
    named: dict[str, str] = {}

    def renamed(text: str) -> str:
        return re.sub(r"host\d", lambda found: named.get(found[0], found[0]), text)

    def type_in(line: Typed) -> str:
        capfd.readouterr()
        assert prompt.do(renamed(line.command)) == (line.command != "quit")
        printed = "".join(capfd.readouterr())
        if not named and (found := re.search(r"running +(host\d)", printed)):
            named.update({"host2": found[1], found[1]: "host2"})
        others_alike = line.command.startswith("host1 hostagent runs")
        return re.sub("host3", "host1", renamed(printed)) if others_alike else renamed(printed)

    assert walk(blocks(TUTORIAL / "cluster.md"), lambda block: None, type_in) > 15
