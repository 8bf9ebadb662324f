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


class Pressure:
    """The host's signals. ``now_s`` is a clock that never steps; ``proc`` where procfs is."""

    def __init__(self, now_s: Callable[[], float], proc: Path = PROC) -> None:
        self._now_s = now_s
        self._proc = proc
        self._stalled: deque[tuple[float, int]] = deque()

    def read(self) -> Signals:
        """The signals now. CPU pressure is told from the second reading of a window on."""
        return Signals(self._cpu_pressure(), self._load(), self._memory())

    def _cpu_pressure(self) -> float | None:
        """Percent of the time since the oldest reading of the last 5 s (or the last one before)."""
        total, now_s = self._total("cpu"), self._now_s()
        if total is None:
            self._stalled.clear()
            return None
        self._stalled.append((now_s, total))
        while len(self._stalled) > 2 and self._stalled[1][0] <= now_s - WINDOW_S:
            self._stalled.popleft()
        since_s, before = self._stalled[0]
        if since_s < now_s - 2 * WINDOW_S:  # nobody asked for a while: that is no window
            self._stalled = deque([(now_s, total)])
            return None
        if now_s <= since_s:
            return None
        return min(100.0, (total - before) / 1e4 / (now_s - since_s))

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
