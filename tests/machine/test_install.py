"""The agent's own units: installed, hardened, alive; and gone again."""

from __future__ import annotations

import re

from hostagent.agent import messages
from tests.machine.images import VENV
from tests.machine.machine import Machine

READY = "/run/hostagent/up/ready"
SOCKET = "/run/hostagent/io.hostagent.Agent"
PREAMBLE = "from hostagent.deploy import install; from hostagent.host import paths"


def python(machine: Machine, statement: str, *, paths: str = "paths.system()") -> str:
    """Run a statement about ``p``, the paths, with the project's Python in the machine."""
    return machine.succeed(f'{VENV}/bin/python3 -c "{PREAMBLE}; p = {paths}; {statement}"')


def start_agent(machine: Machine) -> None:
    """Install and start the agent as ``hostagent agent install`` does."""
    python(machine, "install.install(p, exec_path='/usr/bin/hostagent'); install.start(p)")


def pid(machine: Machine) -> int:
    """The agent's process in the machine."""
    return int(machine.succeed("systemctl show -P MainPID hostagent.service"))


def test_the_agent_comes_up_and_is_up_after_a_reboot(any_machine: Machine) -> None:
    """After an installation, and after each boot, the agent is ready and its socket is there."""
    start_agent(any_machine)
    for _ in range(2):
        any_machine.wait_for_unit("hostagent.service")
        any_machine.succeed(f"test -e {READY} && test -S {SOCKET}")
        assert "READY" not in any_machine.succeed("systemctl show -P StatusText hostagent")
        assert any_machine.succeed("systemctl --failed --no-legend") == ""
        any_machine.reboot()


def test_systemd_has_no_complaint_about_the_units(any_machine: Machine) -> None:
    """systemd-analyze verify prints nothing, and calls the service's exposure 2.0 or less."""
    python(any_machine, "install.install(p, exec_path='/usr/bin/hostagent')")
    done = any_machine.run(
        "cd /etc/systemd/system; SYSTEMD_LOG_LEVEL=info systemd-analyze verify --man=no"
        " ./hostagent.service ./hostagent.socket"
        " ./hostagentd-once.target ./hostagentd-fence.target ./hostagentd-fence@.service"
        " ./hostagentd-sleep.service"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    any_machine.succeed("systemctl daemon-reload")
    table = any_machine.succeed("systemd-analyze security --no-pager hostagent.service")
    found = re.search(r"Overall exposure level for hostagent.service: ([\d.]+)", table)
    assert found
    assert float(found[1]) <= 2.0, table


def test_ready_outlives_a_restart_but_not_a_stop(machine: Machine) -> None:
    """The marker that lets jobs start stays while the agent is killed and restarted."""
    start_agent(machine)
    watch = f"while test -e {READY}; do sleep 0.02; done; touch /was-away"
    machine.succeed(f"systemd-run --unit=watch sh -c '{watch}'")
    before = pid(machine)
    machine.succeed("systemctl kill --signal=KILL hostagent.service")
    machine.wait_until(f"test $(systemctl show -P MainPID hostagent.service) -gt {before}")
    machine.wait_for_unit("hostagent.service")
    machine.succeed("systemctl restart hostagent.service; systemctl is-active watch")
    machine.succeed(f"test -S {SOCKET} && test -d /run/hostagent/runs")
    machine.succeed("systemctl stop hostagent.service")
    machine.wait_until("test -e /was-away")


def test_the_agent_sees_the_boot_of_its_own_host(any_machine: Machine) -> None:
    """No sandboxing hides from the agent what a container lays over /proc: its own boot id."""
    start_agent(any_machine)
    boot_id = "/proc/sys/kernel/random/boot_id"
    outside = any_machine.succeed(f"cat {boot_id}")
    assert (
        any_machine.succeed(f"nsenter --target={pid(any_machine)} --mount cat {boot_id}") == outside
    )


def test_who_asks_while_the_agent_is_away_is_answered_when_it_is_back(machine: Machine) -> None:
    """The socket is PID 1's: a caller waits in the kernel while the agent restarts."""
    start_agent(machine)
    machine.succeed("systemctl kill --signal=KILL hostagent.service; hostagent agent status")


def test_a_wrong_configuration_is_not_tried_again_and_again(machine: Machine) -> None:
    """An agent.toml that cannot be read fails the service once, with its reason in the journal."""
    machine.write("/etc/hostagent/agent.toml", "no_such_key = 1\n")
    python(machine, "install.install(p, exec_path='/usr/bin/hostagent')")
    machine.succeed("systemctl daemon-reload")
    machine.fail("systemctl start hostagent.service")
    machine.wait_for_unit("hostagent.service", "failed")
    assert machine.succeed("systemctl show -P NRestarts hostagent") == "0\n"
    assert "no_such_key" in machine.journal("hostagent.service")
    machine.succeed("rm /etc/hostagent/agent.toml; systemctl start hostagent.service")


def test_files_and_group_are_as_the_agent_needs_them(machine: Machine) -> None:
    """The group exists; env files are root's alone; a job's user may pass through reports."""
    start_agent(machine)
    machine.succeed("getent group hostagent")
    modes = machine.succeed("cd /run/hostagent; stat -c '%a %n' . runs reports up; ls -l up")
    assert modes.splitlines()[:4] == ["755 .", "700 runs", "711 reports", "755 up"]
    assert machine.succeed(f"stat -c '%a %U' {SOCKET}") == "666 root\n"


def test_every_message_id_is_explained(machine: Machine) -> None:
    """The catalog knows each id that the agent writes, by its subject."""
    start_agent(machine)
    listed = machine.succeed("journalctl --list-catalog")
    ids = {value for name, value in vars(messages).items() if re.fullmatch(r"[A-Z_]+", name)
           and isinstance(value, str)}  # fmt: skip
    assert len(ids) >= 6
    for message_id in ids:
        assert f"{message_id} hostagent" in listed, f"{message_id} is not in the catalog"


def test_a_second_installation_changes_nothing(machine: Machine) -> None:
    """Installing is idempotent, and mends what was edited, linked away, or lost its mode."""
    python(machine, "install.install(p, exec_path='/usr/bin/hostagent')")
    again = "print(*install.install(p, exec_path='/usr/bin/hostagent'))"
    assert python(machine, again) == "\n"
    machine.succeed(
        "echo >>/etc/systemd/system/hostagent.socket; chmod 600 /usr/lib/hostagent/admit"
    )
    machine.succeed("ln -sf /dev/null /etc/systemd/system/hostagent.service")
    assert sorted(python(machine, again).split()) == [
        "/etc/systemd/system/hostagent.service",
        "/etc/systemd/system/hostagent.socket",
        "/usr/lib/hostagent/admit",
    ]
    assert python(machine, again) == "\n"


def test_uninstalling_leaves_nothing_and_touches_nothing_else(machine: Machine) -> None:
    """What install wrote is gone; configuration, ledger and the jobs' units stay."""
    machine.write("/etc/systemd/system/hostagent-mine.service", "[Service]\nExecStart=sleep 99\n")
    start_agent(machine)
    machine.succeed("systemctl start hostagent-mine.service")
    python(machine, "install.stop(p); install.uninstall(p); install.forget(p)")
    assert python(machine, "print(*install.uninstall(p))") == "\n"
    machine.fail("systemctl cat hostagent.service")
    machine.succeed("systemctl is-active hostagent-mine.service && test -e /var/lib/hostagent")
    machine.fail("test -e /usr/lib/hostagent")
    found = machine.succeed("find /etc /usr/lib/systemd /usr/local -name '*hostagent*'")
    assert found == "/etc/systemd/system/hostagent-mine.service\n"


def test_a_users_agent_comes_up_in_the_users_manager(any_machine: Machine) -> None:
    """``--user`` puts the agent under systemctl --user, with files of the user's own."""
    any_machine.succeed("loginctl enable-linger alice")
    any_machine.wait_for_unit("user@1000.service")
    as_alice = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/alice"
    statement = "install.install(p, exec_path='/usr/bin/hostagent'); install.start(p)"
    any_machine.succeed(
        f'{as_alice} {VENV}/bin/python3 -c "{PREAMBLE}; p = paths.user(); {statement}"'
    )
    any_machine.succeed(f"{as_alice} systemctl --user is-active hostagent.service")
    any_machine.succeed("test -e /run/user/1000/hostagent/up/ready")
    assert any_machine.succeed("stat -c '%a %U' /run/user/1000/hostagent/io.*") == "600 alice\n"
