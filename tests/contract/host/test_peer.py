"""In which unit a process is: the trust decision of admission."""

from __future__ import annotations

import os
import socket
import textwrap
from pathlib import Path

import pytest

from hostagent.host.peer import Peer, peer_of, unit_of
from tests.machine.machine import Machine

SOURCE = "/opt/hostagent/src"


def test_a_peer_is_who_connected(tmp_path: Path) -> None:
    """pid, uid and gid as the kernel saw them at connect(2)."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        connection, _ = server.accept()
        with connection:
            assert peer_of(connection) == Peer(os.getpid(), os.getuid(), os.getgid())


@pytest.mark.parametrize(
    ("lines", "unit", "user_unit"),
    [
        ("0::/system.slice/cron.service", "cron.service", None),
        (
            "0::/hostagent.slice/hostagent-bulk.slice/hostagent-a@x\\x2dy.service",
            "hostagent-a@x\\x2dy.service",
            None,
        ),
        # What runs below a unit, whatever it calls its cgroups, is that unit.
        ("0::/system.slice/evil.service/hostagent-a.service", "evil.service", None),
        ("0::/system.slice/evil.service/x.slice/hostagent-a.service", "evil.service", None),
        (
            "0::/machine.slice/machine-m.scope/payload/system.slice/hostagent-a.service",
            "machine-m.scope",
            None,
        ),
        # A container engine's own tree, at the top.
        ("0::/docker/0123456789ab/system.slice/hostagent-a.service", None, None),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/hostagent-a.service",
            "user@1000.service",
            "hostagent-a.service",
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/e.service/hostagent-a.service",
            "user@1000.service",
            "e.service",
        ),
        ("0::/user.slice/user-1000.slice/session-3.scope", "session-3.scope", None),
        (
            "0::/system.slice/evil.service/user@1000.service/hostagent-a.service",
            "evil.service",
            None,
        ),
        ("0::/system.slice/_cpu.service", "cpu.service", None),
        ("0::/", None, None),
        ("0::/../outside.service", None, None),
        ("0::/system.slice", None, None),
        ("0::/system.slice/gone.service (deleted)", None, None),
        ("", None, None),
    ],
)
def test_the_unit_is_the_first_component_that_is_no_slice(
    tmp_path: Path, lines: str, unit: str | None, user_unit: str | None
) -> None:
    """As PID 1 reads its own tree: lines seen on real hosts, and what a job could make of them."""
    for pid, text in (("1", "0::/init.scope\n"), ("7", lines + "\n" if lines else "")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(text)
    assert unit_of(7, proc=tmp_path) == unit
    assert unit_of(7, user=True, proc=tmp_path) == user_unit
    assert unit_of(8, proc=tmp_path) is None


@pytest.mark.parametrize(
    ("manager", "process", "unit"),
    [
        # Old: v1 alone, with an unused v2 beside it or without one.
        ("1:name=systemd:/init.scope\n0::/", "1:name=systemd:/a.service\n0::/", "a.service"),
        ("1:name=systemd:/init.scope", "2:cpu:/b.service\n1:name=systemd:/a.service", "a.service"),
        # Hybrid: PID 1 keeps both alike.
        (
            "1:name=systemd:/init.scope\n0::/init.scope",
            "1:name=systemd:/a.service\n0::/a.service",
            "a.service",
        ),
        # v2 in a container whose host has v1 mounted: that tree is nobody's.
        (
            "9:name=systemd:/\n0::/init.scope",
            "9:name=systemd:/b.service\n0::/a.service",
            "a.service",
        ),
        # No systemd.
        ("0::/", "0::/system.slice/a.service", None),
    ],
)
def test_only_the_tree_that_pid_1_manages_counts(
    tmp_path: Path, manager: str, process: str, unit: str | None
) -> None:
    """It is the one in which PID 1 itself sits in init.scope; a job cannot choose another."""
    for pid, text in (("1", manager), ("7", process)):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(text + "\n")
    assert unit_of(7, proc=tmp_path) == unit


def test_below_another_root_the_root_is_left_out(tmp_path: Path) -> None:
    """A systemd that was started inside a cgroup of somebody else's counts from there."""
    texts = {"1": "0::/docker/ab/init.scope\n", "7": "0::/docker/ab/system.slice/a.service\n"}
    texts["8"] = "0::/docker/abc/system.slice/a.service\n"
    for pid, text in texts.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(text)
    assert unit_of(7, proc=tmp_path) == "a.service"
    assert unit_of(8, proc=tmp_path) is None


ASK = textwrap.dedent(
    """
    import os, sys
    sys.path.insert(0, "/opt/hostagent/src")
    from hostagent.host.peer import unit_of
    if "forge" in sys.argv:
        path = open("/proc/self/cgroup").read().split("0::")[1].strip()
        own = "/sys/fs/cgroup" + path + "/hostagent.slice/hostagent-victim.service"
        os.makedirs(own)
        open(own + "/cgroup.procs", "w").write("0")
        assert "victim" in open("/proc/self/cgroup").read()
    with open(sys.argv[1], "w") as file:
        file.write(f"{unit_of(os.getpid())} {unit_of(os.getpid(), user=True)}")
    """
)


@pytest.mark.machine
def test_real_units_are_named_and_forged_ones_are_not(any_machine: Machine) -> None:
    """Plain, escaped instance, in a slice, of a user, and below cgroups that a job made itself."""
    any_machine.write("/ask.py", ASK)
    run = "systemd-run --quiet --wait --collect --service-type=oneshot"

    def ask(options: str, *words: str, by: str = run) -> str:
        any_machine.succeed("rm -f /tmp/answer")
        any_machine.succeed(f"{by} {options} python3 /ask.py /tmp/answer {' '.join(words)}")
        return any_machine.read("/tmp/answer")

    assert ask("--unit=hostagent-a.service") == "hostagent-a.service None"
    escaped = r"hostagent-a@x\x2dy.service"
    assert ask(f"--unit='{escaped}' --slice=hostagent-bulk") == f"{escaped} None"
    assert ask("--unit=evil.service -p Delegate=yes", "forge") == "evil.service None"
    any_machine.succeed("systemctl start user@1000.service")
    as_alice = f"runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 {run} --user"
    by_user = ask("--unit=hostagent-a.service", by=as_alice)
    assert by_user == "user@1000.service hostagent-a.service"
