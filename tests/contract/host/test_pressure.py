"""What the host says of its load, and what is made of it where it does not (host.pressure)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostagent.host.pressure import PROC, Averages, Pressure
from hostagent.policy.backlog import Disk, Memory, Signals


class Host:
    """A procfs that says what it is told to say."""

    def __init__(self, root: Path) -> None:
        self.root, self.now_s = root, 100.0
        (root / "pressure").mkdir()
        (root / "loadavg").write_text("0.42 0.30 0.20 1/234 5678\n")
        (root / "meminfo").write_text("MemTotal: 1024 kB\nMemFree: 5 kB\nMemAvailable: 512 kB\n")
        (root / "sda").mkdir()
        self.timesync = root / "timesync"
        self.pressure = Pressure(lambda: self.now_s, root, root, self.timesync)

    def after(self, seconds: float, stalled_us: int) -> float | None:
        """CPU pressure when the total is that, so much later."""
        self.now_s += seconds
        text = (
            f"some avg10=1.00 avg60=2.00 avg300=3.00 total={stalled_us}\nfull avg10=0.00 total=7\n"
        )
        (self.root / "pressure/cpu").write_text(text)
        return self.pressure.read().cpu_pressure


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with all signals but PSI, which comes with the first total."""
    return Host(tmp_path)


def test_a_host_without_psi_tells_the_rest(host: Host) -> None:
    """Memory in bytes, and the load of the last minute."""
    assert host.pressure.read() == Signals(None, 0.42, Memory(1024 * 1024, 512 * 1024))


def test_cpu_pressure_is_of_the_last_five_seconds(host: Host) -> None:
    """Polled each second, the average of the kernel's total since then; older ones fade out."""
    assert host.after(0, 1_000_000) is None
    assert host.after(1, 1_250_000) == pytest.approx(25)
    assert host.after(1, 1_250_000) == pytest.approx(12.5)
    for _ in range(3):
        host.after(1, 1_250_000)
    assert host.after(1, 1_250_000) == pytest.approx(0)
    assert host.after(1, 9_999_999_999) == 100


def test_memory_pressure_is_of_five_whole_seconds(host: Host) -> None:
    """What follows from it stops a run: no short stall may."""
    told = []
    for second in range(8):
        (host.root / "pressure/memory").write_text(f"some avg10=0 total={second * 400_000}\n")
        told.append(host.pressure.read().memory_pressure)
        host.now_s += 1
    assert told == [None] * 5 + [pytest.approx(40)] * 3


def test_a_standstill_is_told_at_once(host: Host) -> None:
    """By the kernel's own average: who asks about a fresh run has no reading before."""
    (host.root / "pressure/memory").write_text(
        "some avg10=60.00 avg60=9.00 avg300=1.00 total=5\n"
        "full avg10=41.50 avg60=3.00 avg300=1.00 total=4\n"
    )
    assert host.pressure.read().memory_full == 41.5


def test_who_looks_once_is_told_the_kernel_s_averages(host: Host) -> None:
    """And what the gate reads is not moved by that: its windows are its own."""
    (host.root / "pressure/io").write_text("some avg10=7.50 avg60=0 avg300=0 total=5\n")
    assert host.after(0, 1_000_000) is None
    told = host.pressure.averages()
    assert told == Averages(1.0, None, 7.5, 0.42, Memory(1024 * 1024, 512 * 1024))
    assert host.after(1, 1_250_000) == pytest.approx(25)


def test_a_disk_is_measured_by_itself(host: Host) -> None:
    """Reads and writes of the last 5 s; what was before the first look is normal."""
    told = []
    for second in range(4):
        reads, read_ms = 1000 + second * 90, 5000 + second * 2700
        disk = f"8 0 sda {reads} 7 9 {read_ms} {second * 10} 0 0 {second * 300} 0 0 0\n"
        partition = "8 1 sda1 9 9 9 9000 0 0 0 0 0 0 0\n7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n"
        (host.root / "diskstats").write_text(disk + partition)
        told.append(host.pressure.read().disk)
        host.now_s += 1
    assert told == [None, *[Disk("sda", 30.0, 5.0)] * 3]
    host.now_s += 60
    assert host.pressure.read().disk is None
    assert host.pressure.read().disk is None  # no request since then


def test_after_a_long_time_a_window_begins_anew(host: Host) -> None:
    """Nobody asks while there is no backlog."""
    host.after(0, 0)
    assert host.after(600, 600_000_000) is None
    assert host.after(2, 600_000_000) == pytest.approx(0)


def test_a_host_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    """No procfs, an empty one, half a meminfo, PSI that is off."""
    assert Pressure(lambda: 0.0, tmp_path / "none").read() == Signals()
    (tmp_path / "meminfo").write_text("MemTotal: 1024 kB\n")
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/cpu").write_text("")
    (tmp_path / "loadavg").write_text("")
    assert Pressure(lambda: 0.0, tmp_path).read() == Signals()


def test_this_host_tells_what_it_has() -> None:
    """The kernel's own words are understood."""
    times = iter((0.0, 2.0))
    pressure = Pressure(lambda: next(times))
    pressure.read()
    found = pressure.read()
    assert found.memory is not None
    assert 0 < found.memory.available < found.memory.total
    assert found.load == pytest.approx(os.getloadavg()[0], abs=1)
    if (PROC / "pressure/cpu").exists():
        assert found.cpu_pressure is None or 0 <= found.cpu_pressure <= 100


def test_the_clock_is_set_when_timesyncd_says_so(host: Host) -> None:
    """Where it does not run, nobody knows."""
    assert host.pressure.read().is_clock_set is None
    host.timesync.mkdir()
    assert host.pressure.read().is_clock_set is False
    (host.timesync / "synchronized").touch()
    assert host.pressure.read().is_clock_set is True
