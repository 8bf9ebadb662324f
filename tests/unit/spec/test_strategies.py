"""The specs that other tests are made of are valid, and together they use every key."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings

from hostagent.codec import from_json, to_json
from hostagent.model import Spec
from hostagent.spec.load import Loaded, load
from hostagent.spec.schema import JobTable
from tests.strategies import specs


def load_text(text: str) -> Loaded:
    """What ``load`` makes of a file with that text."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "jobs.toml")
        path.write_text(text, encoding="utf-8")
        return load(path, check_host=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs())
def test_a_generated_spec_loads_without_a_problem(spec: dict[str, Any]) -> None:
    """Dump and load: no problem, one job for each table, and the JSON form loses nothing."""
    loaded = load_text(tomli_w.dumps(spec))
    assert [job.name for job in loaded.spec.jobs] == list(spec["job"])
    assert from_json(Spec, to_json(loaded.spec)) == loaded.spec


def test_the_generated_specs_use_every_key() -> None:
    """No key of a job is beyond what the strategies write."""
    seen: set[str] = set()

    @settings(max_examples=90, database=None, deadline=None, derandomize=True)
    @given(specs())
    def collect(spec: dict[str, Any]) -> None:
        for job in spec["job"].values():
            seen.update(job)

    collect()
    assert set(JobTable.model_fields) - seen == set()
