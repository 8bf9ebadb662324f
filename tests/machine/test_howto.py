"""Every hostagent command of README and the how-tos, typed on a machine that has such jobs.

Whether it does what the page says is other tests' matter. Here: nothing falls over, and nobody is
told that a command is written wrongly, but where the page itself shows a refusal.
"""

from __future__ import annotations

import re

import pytest

from tests.machine import agent
from tests.machine.guest import Guest
from tests.pages import CHECKOUT, PAGES, Typed, blocks, typed

JOBS = "backup clean-up copy data etc-backup export import make notes reindex report thumbnails"
NOT_HERE = re.compile(r"hostagent (agent|store|apply --user|\w+ --user)|.*--(wait|user|out)\b")
"""What changes the machine under the other commands, or needs more than one host or a session."""


def jobs() -> str:
    """A job of each name that the pages speak of; none is due."""
    return "\n".join(
        f'[job.{name}]\ncommand = "/bin/true"\ncalendar = "2099-01-01"\n' for name in JOBS.split()
    )


def commands() -> list[Typed]:
    """What is typed as root in README and the how-tos."""
    pages = [page for page in PAGES if page.parent.name in {"how-to", CHECKOUT.name}]
    found = [line for page in pages for block in blocks(page) for line in typed(block)]
    wanted = {line.command: line for line in found if line.prompt == "# "}
    return [
        line
        for text, line in wanted.items()
        if text.startswith("hostagent ") and not NOT_HERE.match(text)
    ]


@pytest.mark.skipif(not agent.LONG, reason="takes half a minute: HOSTAGENT_LONG=1")
def test_what_the_how_tos_type_is_understood(machine: Guest) -> None:
    """Exit status 2 means bad input, and a traceback is a defect."""
    agent.with_agent(machine, jobs())
    for name in ("cron", "report", "jobs"):
        machine.write(f"/root/{name}.toml", jobs())
    lines, wrong = commands(), []
    assert len(lines) > 50
    for line in lines:
        done = machine.run(f"cd /root && timeout 20 {line.command}")
        is_refused = any(shown.startswith("hostagent: ") for shown in line.shown)
        is_bad = done.returncode not in {0, 1, 3} and not is_refused
        if is_bad or "Traceback" in done.stderr:
            wrong.append(f"{line.command}: {done.returncode}\n{done.stdout}{done.stderr}")
    assert not wrong, "\n".join(wrong)
