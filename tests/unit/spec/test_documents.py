"""What is published with the spec: the JSON Schema and the examples."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hostagent.spec.load import load
from hostagent.spec.schema import BackoffTable, File, JobTable, json_schema

HERE = Path(__file__).parents[3]
EXAMPLES = sorted((HERE / "examples").glob("*.toml"))


def test_the_published_schema_is_current() -> None:
    """docs/reference/jobs.schema.json is what ``hostagent schema`` prints."""
    published = json.loads((HERE / "docs/reference/jobs.schema.json").read_text())
    assert published == json_schema()


def test_every_key_is_described() -> None:
    """An editor shows a sentence for each key, and TOML's missing null is nowhere."""
    schema = json_schema()
    for name, table in schema["$defs"].items():
        for key, value in table["properties"].items():
            assert value.get("description"), f"{name}.{key}"
    assert '"null"' not in json.dumps(schema)
    assert set(schema["properties"]) == set(File.model_fields)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_neither_problems_nor_warnings(path: Path) -> None:
    """And its first line names the schema, so that editors complete."""
    first = path.read_text().split("\n", 1)[0]
    assert first == "#:schema ../docs/reference/jobs.schema.json"
    assert load(path, check_host=False).warnings == ()


def test_the_examples_use_every_key() -> None:
    """Nothing can be written that no example shows."""
    used: set[str] = set()

    def walk(table: dict[str, Any]) -> None:
        for key, value in table.items():
            used.add(key)
            if isinstance(value, dict):
                walk(value)

    for path in EXAMPLES:
        walk(tomllib.loads(path.read_text()))
    keys = {*JobTable.model_fields, *BackoffTable.model_fields, *File.model_fields}
    assert keys - {"steps"} <= used
