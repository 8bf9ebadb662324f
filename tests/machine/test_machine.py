"""The container machine itself: what other machine tests stand on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.machine import images
from tests.machine.fixtures import Boot, Roots
from tests.machine.machine import CGROUPS, Machine, MachineError


def traces(name: str) -> list[str]:
    """Whatever of a machine is left on the host: mounts, cgroups, processes, directories."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]
    places = [CGROUPS, CGROUPS / "unified", CGROUPS / "systemd"]
    cgroups = [str(path) for place in places for path in place.glob(f"*{name}*")]
    directories = [str(path) for path in Path("/tmp").glob(f"*{name}*")]
    processes = subprocess.run(
        ["pgrep", "-f", name], capture_output=True, text=True, check=False
    ).stdout.split()
    return mounts + cgroups + directories + processes


def test_every_release_boots_with_the_systemd_it_is_there_for(any_machine: Machine) -> None:
    """Each machine runs PID 1 of its release, with no failed unit."""
    version = int(any_machine.succeed("systemctl --version").split()[1])
    assert version in images.RELEASES.values() or version > 262
    assert any_machine.succeed("systemctl is-system-running").strip() == "running"


def test_succeed_and_fail_judge_the_exit_status(machine: Machine) -> None:
    """A command that ends otherwise than demanded fails the test and shows what it printed."""
    assert machine.succeed("echo out; echo err >&2") == "out\n"
    assert machine.fail("echo out; echo err >&2; false") == "out\nerr\n"
    with pytest.raises(MachineError, match=r"exit status 3, not 0(?s:.*)because"):
        machine.succeed("echo because; exit 3")
    with pytest.raises(MachineError, match="failure expected"):
        machine.fail("true")


def test_wait_until_waits_for_the_event_and_gives_up(machine: Machine) -> None:
    """A condition that becomes true within the timeout is waited for; another fails the test."""
    machine.succeed("systemd-run --on-active=0.5 --timer-property=AccuracySec=1ms touch /there")
    machine.wait_until("test -e /there")
    with pytest.raises(MachineError, match=r"not so within 0\.2 s"):
        machine.wait_until("test -e /never", timeout=0.2)


def test_wait_for_unit_tells_a_failed_unit_at_once(machine: Machine) -> None:
    """A unit that failed is not waited for any longer, and its status is shown."""
    machine.succeed("systemd-run --unit=good sleep 100")
    machine.wait_for_unit("good.service")
    machine.succeed("systemd-run --unit=bad false")
    with pytest.raises(MachineError, match=r"bad\.service has failed"):
        machine.wait_for_unit("bad.service", timeout=60)
    machine.wait_for_unit("bad.service", "failed")


def test_a_written_file_is_read_back_on_or_off(machine: Machine) -> None:
    """Files can be written and read while the machine runs and while it is off."""
    text = "ünï\ncode $HOME `x` '\"\\ %n"
    machine.write("/etc/new/place", text, mode=0o600)
    assert machine.read("/etc/new/place") == text
    assert machine.succeed("stat -c %a /etc/new/place") == "600\n"
    machine.crash()
    assert machine.read("/etc/new/place") == text
    machine.write("/etc/new/place", "off")
    machine.boot()
    assert machine.read("/etc/new/place") == "off"


def test_a_crash_kills_without_a_word_and_keeps_what_was_written(machine: Machine) -> None:
    """No unit is stopped in order by a crash; the disk and the journal are there afterwards."""
    stop = "--property=ExecStop='/bin/touch /stopped'"
    machine.succeed(f"systemd-run --unit=job {stop} sh -c 'echo started; exec sleep 100'")
    machine.wait_until("journalctl --sync; journalctl -u job | grep -q started")
    before = machine.succeed("cat /proc/sys/kernel/random/boot_id; touch /kept")
    machine.crash()
    assert not machine.is_up
    machine.boot()
    machine.succeed("test -e /kept && ! test -e /stopped")
    machine.fail("systemctl is-active job")
    assert "started" in machine.journal("job.service")
    # The kernel is the host's, and so is its boot id; the journal's is the machine's own.
    assert machine.succeed("cat /proc/sys/kernel/random/boot_id") != before


def test_a_reboot_stops_units_in_order(machine: Machine) -> None:
    """A reboot runs ExecStop= of what runs, and what is enabled comes back."""
    stop = "--property=ExecStop='/bin/touch /stopped'"
    machine.succeed(f"systemd-run --unit=job {stop} sleep 100")
    machine.reboot()
    machine.succeed("test -e /stopped")
    machine.fail("systemctl is-active job")


def test_each_machine_is_fresh(boot: Boot) -> None:
    """Machines share neither files, nor units, nor an identity."""
    one, other = boot(), boot()
    one.succeed("touch /mine; systemd-run --unit=job sleep 100")
    other.fail("test -e /mine")
    other.fail("systemctl is-active job")
    assert one.read("/etc/machine-id") != other.read("/etc/machine-id")
    assert one.succeed("hostname") != other.succeed("hostname")


def test_the_checkouts_code_is_what_runs(machine: Machine) -> None:
    """The code in a machine is this checkout's, with its dependencies, compiled beforehand."""
    out = machine.succeed(
        f"{images.VENV}/bin/python3 -c 'import hostagent, pystemd.dbuslib, pydantic, asyncvarlink;"
        "print(hostagent.__file__, hostagent.__cached__)'"
    )
    file, cached = out.split()
    assert file == "/opt/hostagent/src/hostagent/__init__.py"
    machine.succeed(f"test -e {cached} && hostagent --help")


def test_a_users_manager_runs_in_a_machine(any_machine: Machine) -> None:
    """``systemctl --user`` works for the user alice."""
    any_machine.succeed("loginctl enable-linger alice")
    any_machine.wait_for_unit("user@1000.service")
    user = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000"
    any_machine.wait_until(f"{user} systemctl --user is-system-running | grep -q running")


def test_a_closed_machine_leaves_nothing_behind(roots: Roots) -> None:
    """Mounts, cgroups, processes and directories of a machine end with it."""
    with Machine("leaves-nothing", roots["bookworm"]) as machine:
        machine.succeed("systemd-run --unit=stubborn sh -c 'trap : TERM; sleep 100; sleep 100'")
        assert traces("leaves-nothing")
    assert traces("leaves-nothing") == []


@pytest.mark.parametrize("end", ["KILL", "INT", "TERM"])
def test_a_killed_test_process_leaves_nothing_behind(roots: Roots, end: str) -> None:
    """However the process that booted a machine ends, the machine goes with it."""
    name = f"orphan-{end.lower()}"
    script = f"""
        import signal, time
        from pathlib import Path
        from tests.machine.machine import Machine
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job may ignore it
        machine = Machine({name!r}, [Path(p) for p in {list(map(str, roots["bookworm"]))!r}])
        machine.succeed("systemd-run --unit=job sleep 100")
        print("up", flush=True)
        time.sleep(100)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=images.CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    assert traces(name)
    subprocess.run(["kill", f"-{end}", str(process.pid)], check=True)
    process.stdout.close()
    process.wait()
    end_at = time.monotonic() + 10
    while traces(name) and time.monotonic() < end_at:
        time.sleep(0.05)
    assert traces(name) == []
