"""What ``port.Systemd`` promises, held against PID 1 of each release."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.errors import SystemdError
from hostagent.systemd.manager import Manager
from hostagent.systemd.port import ServiceState
from tests.contract.systemd.conftest import Service
from tests.contract.systemd.contract import ServiceContract
from tests.machine import images
from tests.machine.machine import Machine

WAIT_S = 20.0


def wait_for(fact: Callable[[], bool], manager: Manager | None = None, fd: int = -1) -> None:
    """Wait until ``fact()``, dispatching what arrives on ``fd``."""
    end = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < end, "did not come true"
        if select.select([fd] if fd >= 0 else [], [], [], 0.02)[0] and manager:
            manager.dispatch()


def run(manager: Manager, unit: str) -> ServiceState:
    """Start, wait for the end whatever it is, keep PID 1 from forgetting."""
    manager.ref(unit)
    manager.start([unit])
    wait_for(lambda: not (s := manager.service(unit)).is_running and not s.job_pending)
    return manager.service(unit)


class TestServices(ServiceContract):
    """The contract, on a real PID 1."""


def test_the_version_is_the_major_number(manager: Manager, any_machine: Machine) -> None:
    """``version()`` is what ``systemctl --version`` says first."""
    assert manager.version() == int(any_machine.succeed("systemctl --version").split()[1])


def test_a_condition_leaves_the_last_run_in_place(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """A start that a Condition skipped makes no invocation: the earlier run's stays visible."""
    unit = service("skip", "ExecStart=/bin/true", unit=("ConditionPathExists=/run/may",))
    any_machine.succeed("touch /run/may")
    ran = run(manager, unit)
    any_machine.succeed("rm /run/may")
    skipped = run(manager, unit)
    assert ran.condition_result
    assert not skipped.condition_result
    assert skipped.invocation_id == ran.invocation_id
    assert skipped.ended_at == ran.ended_at


def test_a_running_service_tells_nothing_of_the_run_before(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """While it runs there is a start, but no end, exit code or usage."""
    unit = service("again", "ExecStart=/bin/sh -c 'test ! -e /run/long || exec sleep 60; exit 5'")
    first = run(manager, unit)
    any_machine.succeed("touch /run/long")
    manager.start([unit])
    wait_for(lambda: manager.service(unit).started_at not in {None, first.started_at})
    second = manager.service(unit)
    assert first.exit_code == 5
    assert second.is_running
    assert second.invocation_id != first.invocation_id
    assert (second.ended_at, second.exit_code, second.usage.cpu_s) == (None, None, None)


def test_a_reference_keeps_the_end_of_a_finished_instance(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """PID 1 forgets a finished instance at once; with a reference, not even a re-exec loses it."""
    service("inst@", "ExecStart=/bin/sh -c 'exit 0'")
    manager.start(["inst@forgotten.service"], no_block=False)
    kept = run(manager, r"inst@a\x2db.service")
    assert manager.service("inst@forgotten.service").invocation_id is None
    for order in ("daemon-reload", "daemon-reexec"):
        any_machine.succeed(f"systemctl {order}")
        assert manager.service(kept.name) == kept
    manager.unref(kept.name)
    manager.unref(kept.name)
    assert manager.service(kept.name).invocation_id is None


def test_references_are_taken_again_when_the_bus_comes_back(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """After a restart of the bus the units of interest are held as before."""
    service("inst@", "ExecStart=/bin/sh -c 'exec sleep 2'")
    manager.ref("inst@x.service")
    manager.start(["inst@x.service"])
    kill_the_bus(any_machine)
    wait_for(lambda: not manager.service("inst@x.service").is_running)
    assert manager.service("inst@x.service").exit_code == 0


def test_the_timer_runs_exactly_while_it_starts_its_service(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """SubState ``running`` tells the timer's start from a person's (who starts beside it)."""
    unit = service("tick", "ExecCondition=/bin/sleep 60", "ExecStart=/bin/true")
    any_machine.write("/run/systemd/system/tick.timer", "[Timer]\nOnActiveSec=100ms\n")
    manager.reload()
    manager.start([unit])
    wait_for(lambda: manager.service(unit).is_running)
    by_hand = manager.timer("tick.timer").sub_state
    manager.stop([unit])
    manager.start(["tick.timer"])
    wait_for(lambda: manager.service(unit).is_running)
    by_timer = manager.timer("tick.timer").sub_state
    assert (by_hand, by_timer) == ("dead", "running")


def test_elapses_are_told_in_wall_time(manager: Manager, any_machine: Machine) -> None:
    """Calendar elapses exactly; monotonic ones to the precision of the two clocks."""
    any_machine.write(
        "/run/systemd/system/cal.timer",
        "[Timer]\nUnit=x.service\nOnCalendar=2090-01-02 03:04:05.5 UTC\n",
    )
    any_machine.write("/run/systemd/system/x.service", "[Service]\nExecStart=/bin/true\n")
    any_machine.write("/run/systemd/system/mono.timer", "[Timer]\nUnit=x.service\nOnActiveSec=1h\n")
    manager.reload()
    manager.start(["cal.timer", "mono.timer"])
    wait_for(lambda: manager.timer("mono.timer").active_state == "active")
    state = manager.timer("cal.timer")
    assert state.next_elapse == datetime(2090, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert (state.sub_state, state.last_trigger) == ("waiting", None)
    left = manager.timer("mono.timer").next_elapse
    assert left
    assert timedelta(minutes=58) < left - datetime.now(UTC) <= timedelta(hours=1)


def test_a_blocking_start_returns_at_the_end_and_tells_a_failure(
    manager: Manager, service: Service
) -> None:
    """With ``no_block=False`` the unit has ended; a failed job is an error that names it."""
    good = service("good", "ExecStart=/bin/sleep 0.3")
    bad = service("bad", "ExecStart=/bin/false")
    manager.ref(good)
    with pytest.raises(SystemdError, match=r"^start of bad\.service: it failed$"):
        manager.start([good, bad], no_block=False)
    assert manager.service(good).exit_code == 0
    assert manager.service(bad).active_state == "failed"
    manager.reset_failed([bad])
    assert manager.service(bad).active_state == "inactive"


def test_loaded_units_are_listed_by_pattern(manager: Manager, service: Service) -> None:
    """Only what is loaded, each with its active state."""
    unit = service("hostagent-one", "RemainAfterExit=yes", "ExecStart=/bin/true")
    service("hostagent-two", "ExecStart=/bin/true")
    manager.start([unit], no_block=False)
    assert manager.loaded("hostagent-*") == {unit: "active"}
    assert manager.loaded("none-*") == {}


def test_a_weight_is_set_and_given_back_at_run_time(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """A property set for catch-up goes back to unset by 2**64 - 1."""
    unit = service("weighed", "RemainAfterExit=yes", "ExecStart=/bin/true")
    manager.start([unit], no_block=False)
    show = f"systemctl show -P CPUWeight {unit}"
    manager.set_properties(unit, {"CPUWeight": 20})
    assert any_machine.succeed(show) == "20\n"
    manager.set_properties(unit, {"CPUWeight": 2**64 - 1})
    assert any_machine.succeed(show) == "[not set]\n"


@pytest.mark.parametrize("disturbance", ["", "daemon-reload", "daemon-reexec"])
def test_the_end_of_every_quick_unit_is_seen(
    manager: Manager, any_machine: Machine, service: Service, disturbance: str
) -> None:
    """200 units of a few milliseconds: each end is reported, also while PID 1 reloads itself."""
    service("quick@", "ExecStart=/bin/true")
    units = {f"quick@{number}.service" for number in range(200)}
    ended: set[str] = set()

    def look(unit: str) -> None:
        if unit in units - ended and (state := manager.service(unit)).ended_at:
            assert state.exit_code == 0
            ended.add(unit)

    fd = manager.watch("quick@", look)
    if disturbance:
        any_machine.succeed(
            f"for n in 1 2 3 4; do systemctl {disturbance}; sleep 0.2; done >/dev/null 2>&1 &"
        )
    for unit in sorted(units):
        manager.ref(unit)
        manager.start([unit])
        if select.select([fd], [], [], 0.005)[0]:
            manager.dispatch()
    wait_for(lambda: ended == units, manager, fd)


def test_after_a_restart_of_the_bus_everything_is_reported_on_the_same_descriptor(
    manager: Manager, any_machine: Machine, service: Service
) -> None:
    """What ended unseen is reported; what PID 1 forgot meanwhile too, if it was referenced."""
    service("unseen@", "ExecStart=/bin/sleep 0.4")
    reported: list[str] = []
    fd = manager.watch("unseen@", reported.append)
    manager.ref("unseen@1.service")
    manager.start(["unseen@1.service"])
    wait_for(lambda: "unseen@1.service" in reported, manager, fd)
    any_machine.succeed("systemctl stop dbus.socket dbus.service 2>/dev/null")
    any_machine.wait_until("! systemctl -q is-active unseen@1.service")
    reported.clear()
    any_machine.succeed("systemctl start dbus.socket")
    wait_for(lambda: "unseen@1.service" in reported, manager, fd)
    reported.clear()
    manager.start(["unseen@2.service"])
    wait_for(lambda: "unseen@2.service" in reported, manager, fd)


def test_a_callback_that_raises_loses_no_other_name(manager: Manager, service: Service) -> None:
    """The exception passes through ``dispatch``; the names behind it come with the next call."""
    service("raise@", "ExecStart=/bin/true")
    reported: set[str] = set()

    def look(unit: str) -> None:
        if unit not in reported:
            reported.add(unit)
            raise LookupError(unit)

    fd = manager.watch("raise@", look)
    units = {f"raise@{number}.service" for number in range(5)}
    manager.start(sorted(units), no_block=False)

    def all_reported() -> bool:
        if select.select([fd], [], [], 0.02)[0]:
            with contextlib.suppress(LookupError):
                manager.dispatch()
        return reported == units

    wait_for(all_reported)


def test_no_bus_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there never was a systemd nobody waits for it."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    begin = time.monotonic()
    with pytest.raises(SystemdError, match="cannot reach systemd"):
        Manager().version()
    assert time.monotonic() - begin < 1


def kill_the_bus(machine: Machine) -> None:
    """The bus daemon dies; the socket brings up another."""
    machine.succeed(
        "systemctl kill --signal=KILL dbus.service; sleep 0.1;"
        "systemctl reset-failed dbus.service; systemctl start dbus.socket"
    )


def test_a_user_s_manager_is_asked_alike(any_machine: Machine) -> None:
    """``Manager(user=True)`` reloads, starts, watches and reads the caller's own units."""
    unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 3'\n"
    any_machine.write("/home/alice/.config/systemd/user/mine.service", unit)
    any_machine.succeed("chown -R alice: /home/alice; systemctl start user@1000.service")
    code = """
import select
from hostagent.systemd.manager import Manager
seen = []
with_user = Manager(user=True)
fd = with_user.watch("mine", seen.append)
with_user.reload()
with_user.ref("mine.service")
with_user.start(["mine.service"])
while not seen or with_user.service("mine.service").exit_code is None:
    select.select([fd], [], [], 10)
    with_user.dispatch()
state = with_user.service("mine.service")
with_user.close()
print(state.result, state.exit_code, "mine.service" in seen)
"""
    become = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000"
    out = any_machine.succeed(f"{become} {images.VENV}/bin/python -", stdin=code)
    assert out == "exit-code 3 True\n"
