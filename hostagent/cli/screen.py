"""Pictures on the terminal's other screen, one after the other, until somebody leaves.

The terminal is as it was before, however one leaves: q, ctrl-c, a signal, an error; and while a
ctrl-z lasts.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from rich.live import Live
from rich.text import Text

from hostagent.errors import RefusedError
from hostagent.report.picture import Picture
from hostagent.report.top import Line, draw

LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)

Ask = Callable[[], Awaitable[Picture]]
Leave = Callable[[signal.Signals | None], None]


def watch(ask: Ask, every: timedelta) -> None:
    """Show what ``ask`` says, again and again. What refuses is shown, and asked again."""
    while asyncio.run(_watch(ask, every)) is signal.SIGTSTP:
        signal.raise_signal(signal.SIGSTOP)


async def _watch(ask: Ask, every: timedelta) -> signal.Signals | None:
    """The signal by which somebody left; None: by a key."""
    loop = asyncio.get_running_loop()
    left: asyncio.Future[signal.Signals | None] = loop.create_future()

    def leave(why: signal.Signals | None) -> None:
        if not left.done():
            left.set_result(why)

    for number in LEAVE:
        loop.add_signal_handler(number, leave, number)
    with _keys(leave), Live(screen=True, auto_refresh=False) as live:
        view = _View(live)
        loop.add_signal_handler(signal.SIGWINCH, view.draw)
        showing = asyncio.create_task(_show(ask, every, view))
        showing.add_done_callback(lambda _: leave(None))
        why = await left
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing
        return why


async def _show(ask: Ask, every: timedelta, view: _View) -> None:
    while True:
        try:
            view.show(await ask())
        except RefusedError as error:
            view.refuse(error)
        await asyncio.sleep(every.total_seconds())


class _View:
    """What is on the screen: the last picture, or why there is none."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._picture: Picture | None = None
        self._before: Picture | None = None
        self._error = [Line("asking the agent")]

    def show(self, picture: Picture) -> None:
        """A new picture."""
        self._before, self._picture = self._picture, picture
        self.draw()

    def refuse(self, error: RefusedError) -> None:
        """No picture can be had now."""
        self._picture = None
        hint = [Line(f"  hint: {error.hint}")] if error.hint else []
        self._error = [Line(f"hostagent: {error.message}", "bold"), *hint]
        self.draw()

    def draw(self) -> None:
        """Once more: the terminal may have another size now."""
        lines, size = self._error, self._live.console.size
        if self._picture is not None:
            lines = draw(self._picture, self._before, size.width, size.height)
        text = Text("\n", no_wrap=True).join(Text(line.text, line.style) for line in lines)
        self._live.update(text, refresh=True)


@contextmanager
def _keys(leave: Leave) -> Iterator[None]:
    """Keys are heard as they are pressed, and not shown; q leaves."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()

    def pressed() -> None:
        try:
            keys = os.read(keyboard, 1024)
        except OSError:  # the terminal is gone
            keys = b""
        if not keys or b"q" in keys.lower():
            leave(None)

    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    loop = asyncio.get_running_loop()
    loop.add_reader(keyboard, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
