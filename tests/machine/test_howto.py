"""Every hostagent command of README and the how-tos, typed on a machine that has such jobs.

Whether it does what the page says is other tests' matter. Here: nothing falls over, and nobody is
told that a command is written wrongly, but where the page itself shows a refusal.
"""

from __future__ import annotations

import re

import pytest

from tests.machine import agent
from tests.machine.fixtures import NewCluster
from tests.machine.guest import Guest
from tests.pages import CHECKOUT, PAGES, Typed, blocks, typed

JOBS = "backup clean-up copy data etc-backup export import make notes reindex report thumbnails"
JOBS += " verify"
NOT_HERE = re.compile(
    r"hostagent (agent|store|serve|apply --user|\w+ --user)|.*--(wait|user|out)\b"
)
"""What changes the machine under the other commands, or needs more than one host or a session."""


JOB = """[job.{name}]
command = "/bin/true"
calendar = "2099-01-01"
"""


def jobs() -> str:
    """A job of each name that the pages speak of; none is due."""
    return "".join(JOB.format(name=name) for name in JOBS.split())


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
    for more in ("a", "b"):  # three generations to go back to
        agent.apply(machine, jobs() + JOB.format(name=more))
    for name in ("cron", "report", "timers"):
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


TICK = """
[defaults]
jitter = 0
[job.one]
command = "/bin/true"
calendar = "*:*:0/2"
[job.each]
command = "/bin/true"
calendar = "*:*:0/2"
run_on = "each"
"""


@pytest.mark.skipif(not agent.LONG, reason="boots a database: HOSTAGENT_LONG=1")
def test_a_ledger_moves_to_postgresql(new_cluster: NewCluster) -> None:
    """docs/how-to/move-to-postgresql.md: its commands, and every run is on record, once."""
    machine = new_cluster(1)["host1"]
    agent.with_agent(machine, TICK)
    before = agent.wait_for_runs(machine, "", agent.ended(4))
    page = CHECKOUT / "docs/how-to/move-to-postgresql.md"
    url = "postgresql://hostagent@store/hostagent?passfile=/etc/hostagent/pgpass"
    for block in blocks(page):
        if block.language == "toml":
            text = re.sub('".*"', f'"{url}"', block.text)
            machine.write("/etc/hostagent/agent.toml", text + agent.SETTLE_NOT)
        for line in typed(block) if block.language == "console" else ():
            if not line.command.startswith("URL="):
                machine.succeed(f"URL='{url}'; {line.command}")
    after = agent.wait_for_runs(machine, "", agent.ended(len(before) + 4))
    names = [row["run_id"] for row in after]
    assert len(set(names)) == len(names)
    assert {row["run_id"] for row in before} <= set(names)
    machine.succeed(agent.PAUSED)
    agent.audit(machine)
