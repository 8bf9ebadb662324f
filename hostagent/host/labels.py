"""What this host is: the labels that jobs choose hosts by.

From three places: facts of the machine, what agent.toml says, and what a command of the
administrator's says. The command is asked with a bound on its time and its words; whatever is wrong
with it costs its labels, never the agent: the jobs that ask for them run elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from hostagent.host.clock import Clock
from hostagent.model import LABEL

WITHIN = timedelta(seconds=5)
"""How long the command may take."""

MAX_OUTPUT = 64 * 1024
"""Bytes that the command may say."""

FACTS = ("arch", "os", "os_version")
"""The labels that the machine gives: ``arch=x86_64``, ``os=debian``, ``os_version=12``."""


@dataclass(frozen=True, slots=True)
class Labels:
    """A host's labels, each once, and sentences about what could not be used."""

    labels: tuple[str, ...]
    problems: tuple[str, ...] = ()


def gather(written: Iterable[str], command: Sequence[str]) -> Labels:
    """All labels of this host. ``command`` is run, if there is one; its lines are labels."""
    said, problems = _told(command) if command else ((), ())
    return Labels(tuple(dict.fromkeys([*machine_facts(), *written, *said])), problems)


def machine_facts(release: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The labels of ``FACTS`` that this machine has. ``release``: as os-release(5) has it."""
    if release is None:
        release = {}
        with contextlib.suppress(OSError):
            release = platform.freedesktop_os_release()
    values = (platform.machine(), release.get("ID", ""), release.get("VERSION_ID", ""))
    labels = (f"{name}={value}" for name, value in zip(FACTS, values, strict=True))
    return tuple(label for label in labels if LABEL.fullmatch(label))


def is_reserved(label: str) -> bool:
    """The machine itself says this one."""
    return label.partition("=")[0] in FACTS


def _told(command: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels among the lines of a command's output, and what was wrong."""
    try:
        output = _output(command)
    except (OSError, ValueError) as error:
        return (), (f"labels_command {command[0]}: {error}; its labels are missing",)
    labels, problems = [], []
    for line in filter(None, map(str.strip, output.splitlines())):
        if LABEL.fullmatch(line) and not is_reserved(line):
            labels.append(line)
        else:
            problems.append(f"labels_command {command[0]}: {line[:60]!r} cannot be a label")
    return tuple(labels), tuple(problems)


def _output(command: Sequence[str]) -> str:
    """What the command prints. Whatever it started is gone afterwards.

    Raises:
        ValueError: it failed, took too long, or said too much; the message says which.
        OSError: it could not be started.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    try:
        data = _read(process.stdout.fileno())
        status = process.wait(1)
    except subprocess.TimeoutExpired:
        raise ValueError("it closed its output and went on") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if status:
        raise ValueError(f"it ended with status {status}")
    return data.decode(errors="replace")


def _read(descriptor: int) -> bytes:
    """All that comes, up to the end, within the bounds."""
    clock, data = Clock(), b""
    until = clock.monotonic_s() + WITHIN.total_seconds()
    while len(data) <= MAX_OUTPUT:
        left = until - clock.monotonic_s()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise ValueError(f"it took longer than {WITHIN.total_seconds():g} s")
        part = os.read(descriptor, 65536)
        if not part:
            return data
        data += part
    raise ValueError(f"it said more than {MAX_OUTPUT} bytes")
