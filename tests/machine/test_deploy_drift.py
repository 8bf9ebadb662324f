"""drift names every way in which a host can leave what was applied, and apply mends its part."""

from __future__ import annotations

from hostagent.model import Lane
from tests.machine.deploying import admit_everything, deploy, job, ran, timers
from tests.machine.machine import Machine

UNITS = "/etc/systemd/system"
JOBS = [job(name) for name in ("edited", "missing", "disabled", "stopped", "stay")]


def found(machine: Machine) -> set[tuple[str, str]]:
    """What ``drift`` says: (unit, what)."""
    answer = deploy(machine, verb="drift")
    assert answer["exit"] == 0, answer
    assert all(item["fix"] and item["path"] for item in answer["out"])
    return {(item["unit"], item["what"]) for item in answer["out"]}


def test_without_a_change_there_is_no_drift(any_machine: Machine) -> None:
    """What apply left is what drift expects, after a reboot, too."""
    deploy(any_machine, [*JOBS, job("many", for_each=("a/b", "c"))])
    assert found(any_machine) == set()
    any_machine.reboot()
    assert found(any_machine) == set()


def test_apply_repairs_what_was_edited_removed_disabled_or_stopped(any_machine: Machine) -> None:
    """Each is named by drift, repaired by apply, and said to be repaired; nothing starts."""
    admit_everything(any_machine)
    deploy(any_machine, JOBS)
    any_machine.succeed(
        f"sed -i 's/^Description=.*/Description=mine/' {UNITS}/hostagent-edited.service;"
        f" rm {UNITS}/hostagent-missing.service;"
        " systemctl disable -q hostagent-disabled.timer; systemctl stop hostagent-stopped.timer"
    )
    expected = {
        ("hostagent-edited.service", "edited"),
        ("hostagent-missing.service", "missing"),
        ("hostagent-disabled.timer", "disabled"),
        ("hostagent-stopped.timer", "not active"),
    }
    assert found(any_machine) == expected
    done = deploy(any_machine, JOBS)
    assert {tuple(pair) for pair in done["out"]["repaired"]} == expected
    assert found(any_machine) == set()
    assert set(timers(any_machine).values()) == {"active"}
    assert ran(any_machine) == set()


def test_a_masked_unit_is_named_and_stays_masked(any_machine: Machine) -> None:
    """Masking is an administrator's strongest no: apply does not undo it, nor start the timer."""
    deploy(any_machine, JOBS)
    any_machine.succeed(
        f"rm {UNITS}/hostagent-stopped.timer && systemctl mask -q --now hostagent-stopped.timer"
    )
    assert ("hostagent-stopped.timer", "masked") in found(any_machine)
    done = deploy(any_machine, [*JOBS, job("new")])
    assert done["out"]["left"] == [["hostagent-stopped.timer", "masked"]]
    assert any_machine.succeed(f"readlink {UNITS}/hostagent-stopped.timer") == "/dev/null\n"
    assert timers(any_machine).get("hostagent-stopped.timer") != "active"
    assert deploy(any_machine, [*JOBS, job("new")])["out"]["is_unchanged"]


def test_drop_ins_of_others_are_named_wherever_they_lie(any_machine: Machine) -> None:
    """For a unit, a template, the beginning of a name; not for a whole type or other units."""
    deploy(any_machine, [job("one"), job("a-b", for_each=("eu",))])
    places = {
        "/etc/systemd/system/hostagent-one.service.d/override.conf": "hostagent-one.service",
        "/run/systemd/system/hostagent-one.timer.d/x.conf": "hostagent-one.timer",
        "/usr/lib/systemd/system/hostagent-.service.d/all.conf": "hostagent-.service",
        "/etc/systemd/system/hostagent-a-.service.d/some.conf": "hostagent-a-.service",
        "/etc/systemd/system/hostagent-a-b@.service.d/template.conf": "hostagent-a-b@.service",
        "/etc/systemd/system/hostagent-a-b@eu.service.d/x.conf": "hostagent-a-b@eu.service",
        "/etc/systemd/system/hostagent-normal.slice.d/x.conf": "hostagent-normal.slice",
    }
    others = [
        "/etc/systemd/system/service.d/all.conf",
        "/etc/systemd/system/hostagent-gone.service.d/x.conf",
        "/etc/systemd/system/hostagent.service.d/x.conf",
    ]
    for path in [*places, *others]:
        any_machine.write(path, "[Unit]\nDocumentation=man:true(1)\n")
    answer = deploy(any_machine, verb="drift")["out"]
    assert {item["path"]: item["unit"] for item in answer} == places
    any_machine.succeed("systemctl daemon-reload")
    any_machine.succeed("systemctl daemon-reload")
    units = "hostagent-one.service hostagent-one.timer hostagent-a-b@eu.service"
    listed = any_machine.succeed(f"systemctl show -p DropInPaths {units} hostagent-normal.slice")
    assert {path for path in places if path in listed} == set(places), "systemd reads them all"
    assert not any(path in listed for path in others[1:])


def test_set_property_is_named_but_not_what_the_agent_sets(machine: Machine) -> None:
    """A person's ``set-property`` is a drop-in; a run-time CPUWeight is the agent's lever."""
    deploy(machine, [job("one")])
    machine.succeed("systemctl set-property --runtime hostagent-one.service CPUWeight=20")
    assert found(machine) == set()
    machine.succeed("systemctl set-property hostagent-one.service CPUWeight=30")
    assert found(machine) == {("hostagent-one.service", "drop-in")}


def test_a_unit_that_takes_the_place_of_ours_is_named(machine: Machine) -> None:
    """systemd prefers what lies in system.control; our file then says nothing."""
    deploy(machine, [job("one")])
    machine.write(
        "/etc/systemd/system.control/hostagent-one.service", "[Service]\nExecStart=/bin/true\n"
    )
    assert found(machine) == {("hostagent-one.service", "shadowed")}


def test_rollback_brings_back_what_was_before(any_machine: Machine) -> None:
    """The units, the links and the manifest of before are in force, as a new generation."""
    admit_everything(any_machine)
    before = [job("one"), job("gone", lane=Lane.BULK), job("many", for_each=("eu", "us"))]
    units = f"cd {UNITS} && find . -name 'hostagent*' -type f -exec sha256sum {{}} + | sort"
    links = f"cd {UNITS} && find . -name 'hostagent*' -type l -printf '%p %l\\n' | sort"
    assert deploy(any_machine, before)["out"]["generation"] == 1
    then = any_machine.succeed(f"{units}; {links}")
    after = [job("one", "*-*-* 04:00:00"), job("many", for_each=("eu",)), job("new")]
    assert deploy(any_machine, after)["out"]["generation"] == 2
    done = deploy(any_machine, verb="rollback")
    assert done["out"]["generation"] == 3
    assert any_machine.succeed(f"{units}; {links}") == then
    assert found(any_machine) == set()
    assert deploy(any_machine, before)["out"]["written"] == []
    assert ran(any_machine) == set()


def test_rollback_to_what_is_not_kept_is_refused(machine: Machine) -> None:
    """Ten generations are kept; the answer lists them."""
    for n in range(12):
        deploy(machine, [job("one", memory_max=(n + 1) << 20)])
    refused = deploy(machine, verb="rollback", number=2)
    assert refused["exit"] == 2
    assert refused["hint"] == "kept are: 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"
    assert deploy(machine, verb="rollback", number=3)["out"]["generation"] == 13
    assert "MemoryMax=3145728" in machine.read(f"{UNITS}/hostagent-one.service")


def test_a_damaged_generation_is_not_deployed(machine: Machine) -> None:
    """What is deployed again is exactly what was deployed once."""
    deploy(machine, [job("one")])
    deploy(machine, [job("one", memory_max=1 << 28)])
    machine.succeed("sed -i s/hostagent-normal/other/ /var/lib/hostagent/generations/1/units.json")
    refused = deploy(machine, verb="rollback")
    assert refused["exit"] == 3
    assert "generation 1 is damaged" in refused["error"]
