"""What monitoring is told, from a real ledger, read by Prometheus's own parsers (cli.metrics)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from hostagent.cli import metrics
from hostagent.errors import RefusedError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from hostagent.report import metrics as report
from hostagent.store.port import Tally
from tests import deployed
from tests.unit.cli.conftest import asked

OPENMETRICS: Callable[[str], Iterable[Any]] = openmetrics.text_string_to_metric_families
CHECKOUT = Path(__file__).parents[3]
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)
DAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
ODD = 'a"b\\c'
JOB = Job("backup", ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), HOUR)
STATUS = {"jobs": 2, "generation": 3, "running": ["x"], "held": ["a", "b"], "lease_s": 12.5}
BACKLOG = {"level": 2.0, "most": 8.0, "used": 1.5, "catching_up": [], "held": [{"covers": 3}]}


def row(hours: int, outcome: Outcome, minutes: float | None = 2, host: str = "one") -> Run:
    """Due so many hours after the day began; ``minutes`` None: no attempt."""
    at = DAY + hours * HOUR
    started = at if minutes is not None else None
    ended = at + timedelta(minutes=minutes or 0)
    return Run(
        *("backup", "", Kind.SCHEDULED, at, 1, 1, host, "due"),
        started_at=started,
        ended_at=ended,
        outcome=outcome,
    )


@pytest.fixture
def here(paths: Paths) -> Paths:
    """This host, "one": 2 succeeded, 1 failed, 1 skipped; the last success was on another host."""
    paths.config.mkdir(parents=True)
    paths.agent_toml.write_text('host = "one"\n')
    deployed.deploy(paths, "one", [JOB], DAY)
    won, lost, left = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED
    rows = [row(1, won, 1), row(2, won), row(3, won, host="two"), row(4, lost, 0.5)]
    deployed.record(paths, [*rows, row(5, left, None)])
    return paths


def samples(families: Iterable[Any]) -> dict[str, float]:
    """By name and labels without the job's."""
    return {
        " ".join([one.name, *(v for k, v in sorted(one.labels.items()) if k != "job" and v)]): (
            one.value
        )
        for family in families
        for one in family.samples
    }


def parsed(text: str) -> dict[str, float]:
    """As OpenMetrics, strictly."""
    return samples(OPENMETRICS(text))


def test_the_ledger_is_told_in_figures(here: Paths) -> None:
    """Runs are this host's, the last success is any host's, and the agent is down."""
    told = parsed(asked(metrics.metrics).output)
    runs = {name.split()[1]: n for name, n in told.items() if name.startswith("hostagent_runs")}
    assert runs == {"succeeded": 2, "failed": 1, "skipped": 1}
    assert told["hostagent_run_duration_seconds_count"] == 3
    assert told["hostagent_run_duration_seconds_sum"] == 210
    assert told["hostagent_last_run_duration_seconds"] == 30
    assert told["hostagent_last_run_succeeded"] == 0
    success = DAY + 3 * HOUR + timedelta(minutes=2)
    assert told["hostagent_last_success_timestamp_seconds"] == success.timestamp()
    assert told["hostagent_period_seconds"] == 3600
    assert 0 < told["hostagent_next_due_timestamp_seconds"] - NOW.timestamp() <= 3601
    assert told["hostagent_store_up own"] == 1
    assert told["hostagent_up"] == 0
    assert "hostagent_gate_level" not in told


def test_a_textfile_is_as_node_exporter_wants_it(here: Paths, tmp_path: Path) -> None:
    """Prometheus's own format, of types that it knows, with the same figures; no half of it."""
    file = tmp_path / "hostagent.prom"
    assert asked(metrics.metrics, "--textfile", str(file)).exit_code == 0
    text = file.read_text()
    assert samples(prometheus(text)) == parsed(asked(metrics.metrics).output)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert set(kinds.values()) == {"counter", "gauge", "summary"}
    assert kinds["hostagent_runs_total"] == "counter"
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["hostagent.prom"]
    nowhere = asked(metrics.metrics, "--textfile", str(tmp_path / "no" / "x.prom")).exception
    assert isinstance(nowhere, RefusedError)


def test_before_the_first_apply_there_is_little_to_tell(paths: Paths) -> None:
    """No agent, no store: both are told, and it is no error."""
    done = asked(metrics.metrics)
    assert done.exit_code == 0
    told = parsed(done.output)
    assert (told["hostagent_up"], told["hostagent_store_up own"]) == (0, 0)


def test_what_the_agent_says_is_told() -> None:
    """An agent of before, which does not say all of it, leaves out what it does not say."""
    told = parsed(report.text(report.of_agent("1", STATUS, BACKLOG)))
    assert told == {
        "hostagent_info 1": 1,
        "hostagent_up": 1,
        "hostagent_jobs": 2,
        "hostagent_generation": 3,
        "hostagent_running_runs": 1,
        "hostagent_held_runs": 1,
        "hostagent_held_occurrences": 3,
        "hostagent_catching_up_runs": 0,
        "hostagent_gate_level": 2,
        "hostagent_gate_level_max": 8,
        "hostagent_gate_used": 1.5,
        "hostagent_lease_remaining_seconds": 12.5,
    }
    older = parsed(report.text(report.of_agent("1", {"jobs": 1, "held": ["a"]}, None)))
    assert older == {"hostagent_info 1": 1, "hostagent_up": 1, "hostagent_jobs": 1} | {
        "hostagent_held_runs": 1
    }


@pytest.mark.parametrize("read", [OPENMETRICS, prometheus])
def test_names_come_back_as_they_are(read: Callable[[str], Iterable[Any]]) -> None:
    """Whatever a scope is called."""
    is_openmetrics = read is not prometheus
    tally = [Tally("x", ODD, Outcome.FAILED, 1, 1, HOUR)]
    text = report.text(report.of_runs(tally, DAY), is_openmetrics=is_openmetrics)
    found = {one.labels["scope"] for family in read(text) for one in family.samples}
    assert found == {ODD}


@pytest.mark.parametrize(
    ("days", "begins"), [(400, (1, 1)), (366, (1, 1)), (365, (5, 1)), (31, (5, 1)), (30, (5, 17))]
)
def test_counters_begin_where_nothing_is_pruned(days: int, begins: tuple[int, int]) -> None:
    """On the last day of each period, its first is still kept."""
    begin = report.counted_since(datetime(2026, 5, 17, 9, 30, tzinfo=UTC), timedelta(days=days))
    assert begin == datetime(2026, *begins, tzinfo=UTC)


def names(text: str) -> set[str]:
    """What looks like one of our metrics."""
    return set(re.findall(r"\bhostagent_[a-z_]+", text))


def test_reference_and_dashboard_name_what_there_is(here: Paths) -> None:
    """The page names every metric, the dashboard none that does not exist."""
    families = [*report.of_agent("1", STATUS, BACKLOG), report.of_stores({"own": True})]
    text = report.text(families) + asked(metrics.metrics).output
    there = {re.sub("_(sum|count)$", "", name) for name in names(text)} - {"hostagent_runs"}
    page = (CHECKOUT / "docs/reference/metrics.md").read_text()
    assert names(page) == there
    dashboard = json.loads((CHECKOUT / "examples/grafana.json").read_text())
    used = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    known = there | {f"hostagent_run_duration_seconds_{part}" for part in ("sum", "count")}
    assert names(" ".join(used)) <= known
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
