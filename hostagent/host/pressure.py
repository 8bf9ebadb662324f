"""How the host is: PSI, MemAvailable, load, disks, its clock. Read when asked, never before.

``total=`` of PSI is a counter of microseconds in which something waited; averages over windows of
our own are faster than the kernel's ``avg10``. What a kernel does not tell is None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostagent.policy.backlog import Disk, Memory, Signals

WINDOW_S = 5.0
PROC, BLOCK, TIMESYNC = Path("/proc"), Path("/sys/block"), Path("/run/systemd/timesync")
STACKED = ("loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd")
"""Disks that are none, or made of others."""

LEAST_REQUESTS = 10
"""In 5 s. What fewer took says nothing of a disk."""


@dataclass(frozen=True, slots=True)
class Averages:
    """What the kernel itself averages: percent of the last 10 s in which something waited for the
    CPU, for memory, for I/O; and the load of the last minute.
    """

    cpu: float | None
    memory: float | None
    io: float | None
    load: float | None
    in_memory: Memory | None


class Window:
    """The last 5 s of a counter of microseconds. ``least_s``: nothing is said of less than that."""

    def __init__(self, least_s: float = 0.0) -> None:
        self._least_s = least_s
        self._readings: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, total: int | None) -> float | None:
        """Percent of the time since the oldest reading of the last 5 s (or the last one before)."""
        readings = self._readings
        if total is None:
            readings.clear()
            return None
        readings.append((now_s, total))
        while len(readings) > 2 and readings[1][0] <= now_s - WINDOW_S:
            readings.popleft()
        since_s, before = readings[0]
        if since_s < now_s - 2 * WINDOW_S:  # nobody asked for a while: that is no window
            readings.clear()
            readings.append((now_s, total))
            return None
        if now_s <= since_s or now_s - since_s < self._least_s:
            return None
        return min(100.0, (total - before) / 1e4 / (now_s - since_s))


class Latency:
    """What the requests of one disk took in the last 5 s, beside what they took before."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._readings: deque[tuple[float, int, int]] = deque()
        self._normal = 0.0

    def add(self, now_s: float, requests: int, took_ms: int) -> Disk | None:
        """The totals since the boot. None: there were few requests, or nobody has asked lately."""
        readings = self._readings
        if not readings or readings[-1][0] < now_s - 2 * WINDOW_S:
            readings.clear()
            self._normal = took_ms / max(requests, 1)
        readings.append((now_s, requests, took_ms))
        while len(readings) > 2 and readings[1][0] <= now_s - WINDOW_S:
            readings.popleft()
        _, before, before_ms = readings[0]
        if requests - before < LEAST_REQUESTS:
            return None
        return Disk(self._name, (took_ms - before_ms) / (requests - before), self._normal)


class Pressure:
    """The host's signals. ``now_s`` is a clock that never steps; ``proc`` where procfs is,
    ``block`` where sysfs lists disks (but not partitions), ``timesync`` where systemd-timesyncd
    says that it has set the clock (its manual page: Files).
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        proc: Path = PROC,
        block: Path = BLOCK,
        timesync: Path = TIMESYNC,
    ) -> None:
        self._now_s = now_s
        self._proc, self._block, self._timesync = proc, block, timesync
        self._disks: dict[str, Latency] = {}
        self._cpu, self._memory_stalls = Window(), Window(least_s=WINDOW_S)

    def read(self) -> Signals:
        """The signals now. CPU pressure is told from the second reading of a window on, memory
        pressure when the window is full.
        """
        now_s = self._now_s()
        return Signals(
            self._cpu.add(now_s, self._total("cpu")),
            self._load(),
            self._memory(),
            self._memory_stalls.add(now_s, self._total("memory")),
            self._slowest(now_s),
            self._is_clock_set(),
            self._average("memory", "full"),
        )

    def averages(self) -> Averages:
        """What needs no reading before."""
        cpu, memory, io = (self._average(what, "some") for what in ("cpu", "memory", "io"))
        return Averages(cpu, memory, io, self._load(), self._memory())

    def _is_clock_set(self) -> bool | None:
        """None: timesyncd does not run; others leave no sign."""
        if not self._timesync.is_dir():
            return None
        return (self._timesync / "synchronized").exists()

    def _slowest(self, now_s: float) -> Disk | None:
        """In /proc/diskstats, 4th and 7th are the requests and ms of reads, 8th and 11th of writes
        (the kernel's Documentation/admin-guide/iostats.rst).
        """
        found = []
        for line in self._text("diskstats").splitlines():
            words = line.split()
            name = words[2]
            if name.startswith(STACKED) or not (self._block / name).exists():
                continue
            reads, read_ms, writes, write_ms = (int(words[n]) for n in (3, 6, 7, 10))
            disk = self._disks.setdefault(name, Latency(name))
            found.append(disk.add(now_s, reads + writes, read_ms + write_ms))
        known = [disk for disk in found if disk is not None]
        return max(known, key=lambda disk: disk.latency / max(disk.normal, 0.1), default=None)

    def _total(self, what: str) -> int | None:
        """Microseconds in which some task waited for it; None: no PSI (it may be there, unread)."""
        found = self._stalls(what, "some")
        return int(found["total"]) if found else None

    def _average(self, what: str, kind: str) -> float | None:
        """Percent of the last 10 s in which some task, or all (``full``), waited for it.

        The kernel averages it, so it needs no reading before: it is asked about runs that start
        while nobody looks.
        """
        found = self._stalls(what, kind)
        return float(found["avg10"]) if found else None

    def _stalls(self, what: str, kind: str) -> dict[str, str] | None:
        for line in self._text(f"pressure/{what}").splitlines():
            found, *fields = line.split()
            if found == kind:
                return dict(field.split("=", 1) for field in fields)
        return None

    def _load(self) -> float | None:
        words = self._text("loadavg").split()
        return float(words[0]) if words else None

    def _memory(self) -> Memory | None:
        facts = {}
        for line in self._text("meminfo").splitlines():
            name, _, rest = line.partition(":")
            if name in {"MemTotal", "MemAvailable"}:
                facts[name] = int(rest.split()[0]) * 1024
        if len(facts) < 2:
            return None
        return Memory(facts["MemTotal"], facts["MemAvailable"])

    def _text(self, name: str) -> str:
        """Empty where it cannot be read: PSI that is off answers EOPNOTSUPP (proc(5))."""
        try:
            return (self._proc / name).read_text(encoding="ascii")
        except OSError:
            return ""
