"""What a host is labelled with: by its machine, by agent.toml, by a command (host.labels)."""

from __future__ import annotations

import os
import select
from datetime import timedelta
from pathlib import Path

import pytest

from hostagent.host import labels
from hostagent.host.labels import FACTS, gather, machine_facts
from hostagent.model import LABEL
from tests.machine.machine import Machine

ASK = """
import sys
sys.path.insert(0, "/opt/hostagent/src")
from hostagent.host.labels import machine_facts
print(*machine_facts())
"""


def shell(script: str) -> tuple[str, ...]:
    """A labels_command."""
    return ("/bin/sh", "-c", script)


@pytest.mark.machine
def test_the_machine_says_what_it_is(any_machine: Machine) -> None:
    """As its own tools say it; a Debian that is not released yet has no version."""
    given = any_machine.succeed("python3 -", stdin=ASK).split()
    expected = [f"arch={any_machine.succeed('uname -m').strip()}", "os=debian"]
    version = any_machine.succeed(". /etc/os-release; echo ${VERSION_ID-}").strip()
    assert given == expected + ([f"os_version={version}"] if version else [])


def test_facts_that_are_no_labels_are_left_out() -> None:
    """Missing, empty, or with characters that no job could ask for."""
    assert machine_facts({"ID": "debian", "VERSION_ID": "12"})[1:] == ("os=debian", "os_version=12")
    assert len(machine_facts({"ID": "own os", "VERSION_ID": ""})) == 1
    assert all(LABEL.fullmatch(label) for label in machine_facts())


def test_labels_of_all_origins_stand_together_once() -> None:
    """The machine's, those that are written, those that the command tells."""
    told = gather(("ssd", "role=web"), shell("echo rack=7; echo; echo ' ssd '"))
    assert told.problems == ()
    assert told.labels == (*machine_facts(), "ssd", "role=web", "rack=7")


def test_lines_that_are_no_labels_are_named() -> None:
    """The others hold; the machine's own cannot be claimed by the command."""
    told = gather((), shell("echo 'a b'; echo ok; echo arch=vax"))
    assert told.labels == (*machine_facts(), "ok")
    assert told.problems == (
        "labels_command /bin/sh: 'a b' cannot be a label",
        "labels_command /bin/sh: 'arch=vax' cannot be a label",
    )


FAILURES = {
    "echo role=db; exit 3": "it ended with status 3",
    "echo role=db; kill -SEGV $$": "it ended with status -11",
    "yes role=db": "it said more than 65536 bytes",
    "echo role=db; exec sleep 60": "it took longer than 0.2 s",
    "echo role=db; exec >&-; exec sleep 60": "it closed its output and went on",
}


@pytest.mark.parametrize("script", FAILURES)
def test_a_command_that_fails_costs_its_labels_alone(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what it would have said may be the wrong half: none of it counts."""
    if "longer" in FAILURES[script]:
        monkeypatch.setattr(labels, "WITHIN", timedelta(seconds=0.2))
    told = gather(("ssd",), shell(script))
    assert told.labels == (*machine_facts(), "ssd")
    (problem,) = told.problems
    assert problem == f"labels_command /bin/sh: {FAILURES[script]}; its labels are missing"


def test_a_command_that_is_not_there_is_told() -> None:
    """As the kernel says it."""
    (problem,) = gather((), ("/no/such/program",)).problems
    assert "No such file" in problem


def test_nothing_of_the_command_is_left_behind(tmp_path: Path) -> None:
    """Its children go with it: they hold a pipe open that closes when they are gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gather((), shell(f"sleep 60 >{pipe} & echo >{pipe}; yes"))
        data = b""
        while select.select([reader], [], [], 10)[0]:
            part = os.read(reader, 100)
            if not part:
                break
            data += part
        else:
            pytest.fail("somebody still holds the pipe")
        assert data == b"\n"
    finally:
        os.close(reader)


def test_every_host_has_an_architecture() -> None:
    """The one fact that no file has to give."""
    assert machine_facts({})[0].startswith(f"{FACTS[0]}=")
