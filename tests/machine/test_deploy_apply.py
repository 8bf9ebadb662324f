"""apply on a real PID 1: what it writes, arms, removes and leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hostagent.model import Missed
from tests.machine.deploying import admit_everything, clock, deploy, job, ran, timers, tree
from tests.machine.images import VENV
from tests.machine.machine import Machine

UNITS = "/etc/systemd/system"


def test_a_second_apply_does_nothing(any_machine: Machine) -> None:
    """0 writes, 0 reloads, 0 restarts when nothing differs."""
    jobs = [job("one"), job("two", for_each=("eu", "us/east"))]
    first = deploy(any_machine, jobs)
    assert first["exit"] == 0, first
    assert first["counts"] == {"reload": 1, "start": 1, "stop": 0}
    assert timers(any_machine) == {
        "hostagent-one.timer": "active",
        "hostagent-two@eu.timer": "active",
        "hostagent-two@us-east.timer": "active",
    }
    before = tree(any_machine)
    second = deploy(any_machine, jobs)
    assert second["out"]["is_unchanged"]
    assert second["counts"] == {"reload": 0, "start": 0, "stop": 0}
    assert tree(any_machine) == before
    assert not ran(any_machine)


def test_what_is_enabled_comes_back_after_a_reboot(machine: Machine) -> None:
    """The links that apply makes are those that systemd follows at boot."""
    deploy(machine, [job("one"), job("two", for_each=("eu",))])
    enabled = "systemctl is-enabled hostagent-one.timer hostagent-two@eu.timer"
    assert machine.succeed(enabled).split() == ["enabled", "enabled"]
    machine.reboot()
    assert timers(machine) == {
        "hostagent-one.timer": "active",
        "hostagent-two@eu.timer": "active",
    }
    assert deploy(machine, [job("one"), job("two", for_each=("eu",))])["out"]["is_unchanged"]


def test_a_new_job_does_not_start_for_its_past(any_machine: Machine) -> None:
    """A job that existed once, with a stamp from then, starts no sooner than its next elapse."""
    admit_everything(any_machine)
    any_machine.succeed(
        "mkdir -p /var/lib/systemd/timers &&"
        " touch -d '3 days ago' /var/lib/systemd/timers/stamp-hostagent-again.timer"
    )
    assert deploy(any_machine, [job("again", "*-*-* *:00/10:00")])["exit"] == 0
    any_machine.succeed("sleep 0.5")
    assert not ran(any_machine)


def test_a_timer_fires_at_its_next_elapse_after_apply(machine: Machine) -> None:
    """What was armed without firing still fires when its time comes."""
    admit_everything(machine)
    deploy(machine, [job("soon", "2030-01-01"), job("skip", "2030-01-01", missed=Missed.SKIP)])
    deploy(machine, [job("soon", "*:*:0/2"), job("skip", "*:*:0/2", missed=Missed.SKIP)])
    machine.wait_until("test -e /root/ran.soon -a -e /root/ran.skip", timeout=5)


def test_a_change_of_the_service_alone_disturbs_no_timer(machine: Machine) -> None:
    """When the [Timer] section stays, the timer is neither stopped nor started."""
    deploy(machine, [job("one")])
    since = "systemctl show hostagent-one.timer -p ActiveEnterTimestampMonotonic"
    before = machine.succeed(since)
    done = deploy(machine, [job("one", memory_max=1 << 28)])
    assert done["out"]["written"] == ["hostagent-one.service"]
    assert done["counts"] == {"reload": 1, "start": 0, "stop": 0}
    assert machine.succeed(since) == before


def test_a_removed_job_ends_its_run_and_is_gone(any_machine: Machine) -> None:
    """Removing a job stops its timer and prunes its units; a running run ends by itself."""
    admit_everything(any_machine)
    command = ("/bin/sh", "-c", "sleep 2; date >/root/ran.long")
    deploy(any_machine, [job("long", command=command), job("stay")])
    any_machine.succeed("systemctl start --no-block hostagent-long.service")
    any_machine.wait_until("systemctl is-active hostagent-long.service | grep activating")
    done = deploy(any_machine, [job("stay")])
    assert sorted(done["out"]["removed"]) == ["hostagent-long.service", "hostagent-long.timer"]
    assert ran(any_machine) == set()
    any_machine.wait_until("test -e /root/ran.long", timeout=5)
    assert timers(any_machine) == {"hostagent-stay.timer": "active"}
    left = f"find {UNITS} /var/lib/systemd/timers -name '*hostagent-long*'"
    assert any_machine.succeed(left) == ""
    any_machine.wait_until("! systemctl list-units --all | grep hostagent-long")


def test_a_failed_service_of_a_removed_job_is_forgotten(machine: Machine) -> None:
    """No failed unit stays behind for a job that is no more."""
    admit_everything(machine)
    deploy(machine, [job("bad", command=("/bin/false",)), job("stay")])
    machine.fail("systemctl start hostagent-bad.service")
    deploy(machine, [job("stay")])
    assert machine.succeed("systemctl list-units --failed --no-legend 'hostagent-*'") == ""


def test_removing_every_job_must_be_asked_for(machine: Machine) -> None:
    """An empty jobs.toml is more often a mistake than a wish."""
    deploy(machine, [job("one")])
    before = tree(machine)
    refused = deploy(machine, [])
    assert refused["exit"] == 3
    assert "all 1 jobs" in refused["error"]
    assert tree(machine) == before
    assert deploy(machine, [], prune_all=True)["exit"] == 0
    assert timers(machine) == {}
    assert machine.succeed(f"find {UNITS} -name 'hostagent-one*'") == ""


@pytest.mark.parametrize("content", ["[Unit]\nDescription=mine\n", "[Unit]\nX-Hostagent=one\n"])
def test_a_foreign_unit_in_the_way_stops_apply(machine: Machine, content: str) -> None:
    """Even with our marker, a file that no manifest names is somebody else's; it is named."""
    deploy(machine, [job("stay")])
    machine.write(f"{UNITS}/hostagent-one.service", content)
    before = tree(machine)
    refused = deploy(machine, [job("stay", memory_max=1 << 28), job("one")])
    assert refused["exit"] == 3
    assert f"{UNITS}/hostagent-one.service" in refused["error"]
    assert refused["counts"] == {"reload": 0, "start": 0, "stop": 0}
    assert tree(machine) == before


def test_a_file_of_ours_that_lost_its_marker_is_not_deleted(machine: Machine) -> None:
    """What an administrator replaced is his: a removed job's file then stays, and is named."""
    deploy(machine, [job("one"), job("stay")])
    machine.write(f"{UNITS}/hostagent-one.service", "[Service]\nExecStart=/bin/true\n")
    done = deploy(machine, [job("stay")])
    assert done["out"]["left"] == [["hostagent-one.service", "not ours any more"]]
    assert "ExecStart=/bin/true" in machine.read(f"{UNITS}/hostagent-one.service")


def test_apply_refuses_a_directory_that_others_may_write(machine: Machine) -> None:
    """Who can write unit files is root: an apply there would promise what it cannot keep."""
    machine.succeed(f"chmod 0777 {UNITS}")
    refused = deploy(machine, [job("one")])
    assert refused["exit"] == 3
    assert f"{UNITS} can be written by everybody" in refused["error"]
    assert machine.succeed(f"find {UNITS} -name 'hostagent-*'") == ""


def test_apply_refuses_a_drop_in_that_others_may_write(machine: Machine) -> None:
    """A drop-in says what root runs as much as the unit does."""
    machine.write(f"{UNITS}/hostagent-one.service.d/x.conf", "[Service]\nNice=1\n", 0o666)
    refused = deploy(machine, [job("one")])
    assert refused["exit"] == 3
    assert "hostagent-one.service.d/x.conf can be written by everybody" in refused["error"]


def test_a_second_apply_at_once_names_the_first_one(machine: Machine) -> None:
    """Two applies do not mix; the later one says whose turn it is."""
    machine.succeed("mkdir -p /var/lib/hostagent")
    machine.succeed(
        "systemd-run --quiet --unit=holder flock /var/lib/hostagent/apply.lock sh -c"
        " 'echo 4242 >/var/lib/hostagent/apply.lock; exec sleep 60'"
    )
    machine.wait_until("grep 4242 /var/lib/hostagent/apply.lock")
    refused = deploy(machine, [job("one")])
    assert refused["exit"] == 3
    assert "pid 4242" in refused["error"]


def test_an_image_gets_files_and_links_and_nobody_is_asked(machine: Machine) -> None:
    """``--root``: the image boots into what was applied; this host's PID 1 is not touched."""
    machine.succeed("mkdir -p /image/etc/systemd/system")
    done = deploy(machine, [job("one"), job("two", for_each=("eu",))], root="/image")
    assert done["exit"] == 0
    assert timers(machine) == {}
    listed = machine.succeed("cd /image/etc/systemd/system && find . ! -type d | sort").split()
    assert listed == [
        "./hostagent-normal.slice",
        "./hostagent-one.service",
        "./hostagent-one.timer",
        "./hostagent-two@.service",
        "./hostagent-two@.timer",
        "./hostagent.slice",
        "./timers.target.wants/hostagent-one.timer",
        "./timers.target.wants/hostagent-two@eu.timer",
    ]
    enabled = "systemctl --root=/image is-enabled hostagent-one.timer hostagent-two@eu.timer"
    assert machine.succeed(enabled).split() == ["enabled", "enabled"]
    assert deploy(machine, [job("one"), job("two", for_each=("eu",))], root="/image")["out"][
        "is_unchanged"
    ]


def test_a_users_manager_is_deployed_to_by_the_user(any_machine: Machine) -> None:
    """``--user``: the same, for ``systemctl --user``, without root; an edit does not start."""
    ask = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user"
    any_machine.succeed("systemctl start user@1000.service")
    any_machine.wait_until(f"{ask} is-system-running | grep -E 'running|degraded'")
    any_machine.write("/home/alice/.local/lib/hostagent/admit", "#!/bin/sh\nexit 0\n", 0o755)
    any_machine.succeed("chown -R alice /home/alice && mkdir -p /run/user/1000/hostagent/up")
    any_machine.succeed("touch /run/user/1000/hostagent/up/ready && chown -R alice /run/user/1000")
    command = ("/bin/sh", "-c", "date >/tmp/ran.user")
    far = [job(name, "2030-01-01", command=command) for name in ("one", "two")]
    far[1] = job("two", "2030-01-01", command=command, missed=Missed.SKIP)
    assert deploy(any_machine, far, user="alice")["exit"] == 0
    any_machine.succeed("sleep 2.2")
    past = clock(datetime.now(UTC) - timedelta(seconds=1))
    near = [job("one", past, command=command), job("two", past, command=command)]
    near[1] = job("two", past, command=command, missed=Missed.SKIP)
    assert deploy(any_machine, near, user="alice")["exit"] == 0
    any_machine.succeed("sleep 0.5")
    any_machine.fail("ls /tmp/ran.user")
    assert deploy(any_machine, near, user="alice")["out"]["is_unchanged"]
    again = [job("one", "*:*:*", command=command)]
    assert deploy(any_machine, again, user="alice")["exit"] == 0
    any_machine.wait_until("test -e /tmp/ran.user", timeout=5)


def test_many_applies_in_a_row_meet_no_start_limit(any_machine: Machine) -> None:
    """systemd allows a timer five starts in ten seconds; a hurried administrator needs more."""
    for minute in range(8):
        done = deploy(any_machine, [job("one", f"*-*-* 03:{minute:02d}:00")])
        assert done["exit"] == 0, done
    assert timers(any_machine) == {"hostagent-one.timer": "active"}


JOBS_TOML = """
[job.one]
command = "/bin/true"
calendar = "*-*-* 03:00:00"
"""

# Exits 7 when jobs.toml had to be read and compiled, 8 when the command line or a store was opened.
QUICK = """
import sys
from hostagent.cli.main import main

sys.argv = ["hostagent", "apply"]
code = 0
try:
    main()
except SystemExit as stop:
    code = stop.code
if code == 0 and "hostagent.spec.load" in sys.modules:
    code = 7
elif code == 0 and sys.modules.keys() & {"typer", "hostagent.store.open"}:
    code = 8
sys.exit(code)
"""


def test_the_command_sees_without_compiling_that_nothing_changed(machine: Machine) -> None:
    """Same sources, same versions, same units, links and timers: nothing to do; any doubt: do."""
    machine.write("/etc/hostagent/jobs.toml", JOBS_TOML)
    machine.succeed("hostagent apply")
    machine.write("/opt/quick.py", QUICK)
    is_quick = f"{VENV}/bin/python3 /opt/quick.py"
    assert "Nothing to do: generation 1" in machine.succeed(is_quick)
    doubts = {
        "a comment": "echo '# x' >>/etc/hostagent/jobs.toml",
        "a drop-in": "mkdir -p /etc/hostagent/jobs.d && echo >/etc/hostagent/jobs.d/a.toml",
        "an edited unit": f"echo '# x' >>{UNITS}/hostagent-one.service",
        "a missing link": "systemctl disable -q hostagent-one.timer",
        "a stopped timer": "systemctl stop hostagent-one.timer",
        "an interrupted apply": "echo 1 >/var/lib/hostagent/generations/pending",
    }
    for what, change in doubts.items():
        machine.succeed(change)
        done = machine.run(is_quick)
        assert done.returncode == 7, f"{what}: {done}"
        assert machine.run(is_quick).returncode == 0, f"after {what}"
    assert deploy(machine, verb="drift")["out"] == []


def test_a_plain_apply_says_what_one_with_options_says(machine: Machine) -> None:
    """It is started another way, without the command line's weight."""
    machine.write("/root/good.toml", JOBS_TOML)
    machine.write("/root/bad.toml", JOBS_TOML.replace("03:00", "33:00"))
    for file, code in (("bad", 2), ("absent", 2), ("good", 0), ("good", 0)):
        plain = machine.run(f"hostagent apply /root/{file}.toml")
        other = machine.run(f"hostagent apply --systemd 252 /root/{file}.toml")
        assert plain.returncode == other.returncode == code, (plain, other)
        assert plain.stderr == other.stderr
        assert code == 0 or plain.stderr.startswith(f"/root/{file}.toml:"), plain
    assert "Nothing to do: generation 1" in plain.stdout
    assert plain.stdout == other.stdout
