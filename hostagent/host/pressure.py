"""How loaded the host is: PSI totals, MemAvailable, load average. Read when asked, never before.

``total=`` of PSI is a counter of microseconds in which something waited; averages over windows of
our own are faster than the kernel's ``avg10``. What a kernel does not tell is None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from hostagent.policy.backlog import Memory, Signals

WINDOW_S = 5.0
PROC = Path("/proc")


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


class Pressure:
    """The host's signals. ``now_s`` is a clock that never steps; ``proc`` where procfs is."""

    def __init__(self, now_s: Callable[[], float], proc: Path = PROC) -> None:
        self._now_s = now_s
        self._proc = proc
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
        )

    def _total(self, what: str) -> int | None:
        """Microseconds in which some task waited for it; None: no PSI (it may be there, unread)."""
        text = self._text(f"pressure/{what}")
        for line in text.splitlines():
            kind, *fields = line.split()
            if kind == "some":
                return int(dict(field.split("=", 1) for field in fields)["total"])
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
