"""What <TAB> offers, asked as bash asks it (cli.completing)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from tests import deployed

AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
JOBS = [
    Job(name, ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), timedelta(hours=1))
    for name in ("backup", "bees", "report")
]
NAMED = "import sys; sys.argv[0] = 'hostagent'; from hostagent.cli.main import main; main()"
"""The command, as it is called where it is installed."""

RUN = Run("backup", "", Kind.SCHEDULED, AT, 1, 7, "one", "due", outcome=Outcome.SUCCEEDED)


def offered(*words: str) -> list[str]:
    """The lines that bash gets for the last word; nothing is said beside."""
    done = subprocess.run(
        [sys.executable, "-c", NAMED],
        env=os.environ
        | {
            "_HOSTAGENT_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("hostagent", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_jobs_and_runs_are_offered(paths: Paths) -> None:
    """Those deployed, and those in this host's ledger."""
    deployed.deploy(paths, "one", JOBS, AT)
    deployed.record(paths, [RUN])
    assert offered("run", "--user", "b") == ["backup", "bees"]
    assert offered("why", "--user", "ba") == ["backup", RUN.run_id]
    assert offered("retry", "--user", "ba") == [RUN.run_id]


def test_where_nothing_can_be_read_nothing_is_offered(paths: Paths) -> None:
    """And nothing said."""
    assert not paths.state.exists()
    assert offered("why", "--user", "b") == []
