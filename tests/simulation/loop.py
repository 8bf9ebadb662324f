"""An event loop in virtual time: where nothing is ready, the next timer's instant is now.

Two times run side by side, in whole microseconds. *Elapsed* time is what CLOCK_MONOTONIC counts:
asyncio's own timers, leases, the fence. *True* time is what perfect wall clocks would show:
calendars, jobs, faults. They go on together, but for a **leap**: while a cluster idles (``leap``
says for how long) true time jumps and elapsed time stands still, so that the renewals of idle
hours need not be played. Whoever allows a leap moves what a store's clock measures along with it.

What can be killed, frozen or suspended is a ``Process``: each callback belongs to the one in whose
context it was scheduled.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

MICROS = 1_000_000

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> str:
    """The name of the process at work."""
    process = _PROCESS.get()
    return process.name if process is not None else ""


class Process:
    """Callbacks that live, stand still and die together."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        self.parked: list[asyncio.Handle] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)
        self._loop = loop
        self._suspended: list[tuple[int, asyncio.TimerHandle]] = []

    def soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the process do it in its next turn."""
        self._loop.call_soon(callback, *args, context=self.context)

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        """Have the process do it once so much time has elapsed."""
        return self._loop.call_later(seconds, callback, *args, context=self.context)

    def at_true(self, at: int, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        """Have the process do it at a true time."""
        return self._loop.call_at_true(at, callback, *args, context=self.context)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of the process."""
        return self.context.copy().run(self._loop.create_task, work)

    def kill(self) -> None:
        """Nothing of it happens any more. What its coroutines do at their end reaches nobody."""
        self.is_dead = True
        self.parked.clear()
        for task in list(self.tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine = task.get_coro()
            assert coroutine is not None
            self.context.copy().run(coroutine.close)
        self.tasks.clear()

    def freeze(self) -> None:
        """SIGSTOP: time goes on, the process does not."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: what fell due meanwhile is done now."""
        self.is_frozen = False
        self._loop.ready.extend(self.parked)
        self.parked.clear()

    def suspend(self) -> None:
        """Like ``freeze``; its timers stand still, too."""
        self.freeze()
        self._suspended = self._loop.take_timers(self)

    def resume(self) -> None:
        """The timers of a suspended process go on."""
        for left, handle in self._suspended:
            self._loop.put_timer(left, handle)
        self._suspended.clear()
        self.thaw()


class VirtualLoop(asyncio.AbstractEventLoop):
    """The part of a loop that asyncio's tasks, futures, locks and timeouts need."""

    def __init__(self, epoch: int) -> None:
        self.now = 0
        self.leapt = epoch
        self.last_event = 0
        self.ready: deque[asyncio.Handle] = deque()
        self.leap: Callable[[int], int] = lambda gap: 0
        self.errors: list[dict[str, Any]] = []
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._events: list[tuple[int, int, asyncio.Handle]] = []
        self._order = itertools.count()
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...], Context]] = {}
        self._descriptors = itertools.count(1000)

    @property
    def true_now(self) -> int:
        """True time, in microseconds since the epoch."""
        return self.now + self.leapt

    # What asyncio asks for

    def time(self) -> float:
        """Elapsed seconds."""
        return self.now / MICROS

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self._call_at(self.now + math.ceil(delay * MICROS), callback, args, context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self._call_at(math.ceil(when * MICROS - 0.01), callback, args, context)

    def _call_at(
        self,
        when: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when / MICROS, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        task = asyncio.Task(work, loop=self, name=name)
        process = _PROCESS.get()
        if process is not None:
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """On a thread of its own: a moment later, in one piece."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if future.done():
                return
            try:
                future.set_result(function(*args))
            except Exception as error:  # noqa: BLE001 -- it is the caller's
                future.set_exception(error)

        self.call_later(0.0003, run)
        return future

    def add_reader(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., object], *args: Any
    ) -> None:
        self._readers[fd] = (callback, args, copy_context())

    def remove_reader(self, fd: Any) -> bool:
        return self._readers.pop(fd, None) is not None

    # What the simulation asks for

    def descriptor(self) -> int:
        """A number that ``add_reader`` takes."""
        return next(self._descriptors)

    def make_readable(self, fd: int) -> None:
        """Call who reads the descriptor, if anybody does."""
        if (found := self._readers.get(fd)) is not None:
            callback, args, context = found
            self.call_soon(callback, *args, context=context)

    def call_at_true(
        self,
        at: int,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call at a true time; no leap passes over it."""
        handle = asyncio.Handle(callback, args, self, context)
        heapq.heappush(self._events, (at, next(self._order), handle))
        return handle

    async def sleep_until(self, at: int) -> None:
        """Until a true time."""
        future: asyncio.Future[None] = self.create_future()
        self.call_at_true(at, future.set_result, None)
        await future

    def take_timers(self, process: Process) -> list[tuple[int, asyncio.TimerHandle]]:
        """Take a process's timers out; each with the microseconds it had left."""
        mine = [t for t in self._timers if t[2]._context.get(_PROCESS) is process]  # type: ignore[attr-defined]
        if mine:
            self._timers = [t for t in self._timers if t not in mine]
            heapq.heapify(self._timers)
        return [(when - self.now, handle) for when, _, handle in mine]

    def put_timer(self, left: int, handle: asyncio.TimerHandle) -> None:
        """The inverse of ``take_timers``, for one."""
        heapq.heappush(self._timers, (self.now + left, next(self._order), handle))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until ``main`` ends."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
                if self.errors:
                    self._raise()
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def _raise(self) -> None:
        """A callback failed: that is for whoever runs the loop."""
        context = self.errors[0]
        error = context.get("exception")
        raise error if isinstance(error, BaseException) else RuntimeError(context["message"])

    def _turn(self) -> None:
        ready = self.ready
        if not ready:
            self._advance()
        while ready:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_PROCESS)  # type: ignore[attr-defined]
            if process is not None:
                if process.is_dead:
                    continue
                if process.is_frozen:
                    process.parked.append(handle)
                    continue
            handle._run()

    def _advance(self) -> None:
        """Nothing is ready: on to the next timer or event."""
        timers, events = self._timers, self._events
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        while events and events[0][2]._cancelled:
            heapq.heappop(events)
        assert timers or events, "the simulation has come to a standstill"
        timer_at = timers[0][0] if timers else None
        event_at = events[0][0] - self.leapt if events else None
        if event_at is not None and timer_at is not None and timer_at < event_at:
            by = self.leap(event_at - self.now)
            self.leapt += by
            if by:
                return
        if event_at is not None and (timer_at is None or event_at <= timer_at):
            self.last_event = self.now = max(self.now, event_at)
            self.ready.append(heapq.heappop(events)[2])
        else:
            assert timer_at is not None
            self.now = max(self.now, timer_at)
            self.ready.append(heapq.heappop(timers)[2])
