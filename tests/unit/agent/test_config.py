"""What agent.toml may say, and what is told when it says something else (agent.config)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from hostagent.agent.config import AgentConfig, load
from hostagent.errors import InputError
from hostagent.host.identity import host_name
from hostagent.host.paths import Paths, system
from hostagent.model import Lane
from hostagent.policy.backlog import Limits
from hostagent.policy.lease import TTL


def at(root: Path, text: str) -> Paths:
    """An installation below ``root`` with this agent.toml."""
    paths = system(root)
    paths.config.mkdir(parents=True)
    paths.agent_toml.write_text(text)
    return paths


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    """A host that nobody configured."""
    paths = system(tmp_path)
    settings = load(paths)
    assert settings == AgentConfig(paths.store_url, host_name(), timedelta(days=400))
    assert (settings.labels, settings.labels_command, settings.lease_ttl) == ((), (), TTL)
    assert settings.hung_after == timedelta(minutes=5)


def test_every_key_is_taken(tmp_path: Path) -> None:
    """As it is written."""
    text = """
    store = "sqlite:///srv/state.db"
    host = "web1"
    retention_days = 30
    labels = ["ssd", "role=web"]
    labels_command = ["/usr/local/bin/labels", "--all"]
    lease_ttl = "30s"
    hung_after = "10min"
    """
    assert load(at(tmp_path, text)) == AgentConfig(
        "sqlite:///srv/state.db",
        "web1",
        timedelta(days=30),
        ("ssd", "role=web"),
        ("/usr/local/bin/labels", "--all"),
        timedelta(seconds=30),
        timedelta(minutes=10),
    )


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("4", 4), ("300", 300), ('"4s"', 4), ('"15"', 15), ('"1min"', 60), ('"5 min"', 300)],
)
def test_a_lease_is_seconds_or_text(written: str, seconds: int, tmp_path: Path) -> None:
    """Within its bounds."""
    settings = load(at(tmp_path, f"lease_ttl = {written}"))
    assert settings.lease_ttl == timedelta(seconds=seconds)


WRONG = {
    "lease_ttl = 3": "lease_ttl: must be between 4 s and 300 s, not 3 s",
    "lease_ttl = -15": "lease_ttl: must be between 4 s and 300 s, not -15 s",
    'lease_ttl = "6min"': "lease_ttl: must be between 4 s and 300 s, not 360 s",
    'lease_ttl = "soon"': 'lease_ttl: "soon" is not a time',
    "lease_ttl = 15.0": "lease_ttl: must be a number of seconds, not float",
    "lease_ttl = true": "lease_ttl: must be a number of seconds, not bool",
    "hung_after = 3": "hung_after: must be between 4 s and 86400 s, not 3 s",
    'hung_after = "2d"': 'hung_after: "2d" is not a time',
    'labels = "ssd"': "labels: must be a list of strings, not str",
    'labels = ["role=db web"]': "labels: 'role=db web' is not a label",
    "labels = [7]": "labels: 7 is not a label",
    'labels = ["ssd", "ssd"]': 'labels: "ssd" stands here twice',
    'labels = ["os=plan9"]': 'labels: "os=plan9" is the machine\'s to say',
    "labels_command = []": "labels_command: must be a list of strings",
    'labels_command = ["/bin/echo", 7]': "labels_command: must be a list of strings",
    'labels_command = ["echo"]': 'labels_command: "echo" is not an absolute path',
    'lables = ["ssd"]': 'lables: unknown key\n  hint: did you mean "labels"?',
    "retention_days = 0": "retention_days: must be at least 1",
    "gate = 1": "gate: must be a table, not int",
    "gate.setle = 1": 'gate.setle: unknown key\n  hint: did you mean "settle"?',
    'gate.settle = "soon"': 'gate.settle: "soon" is not a time',
    "gate.settle = 1.5": "gate.settle: must be a number of seconds, not float",
    "gate.step = 0": "gate.step: must be between 1 s and 3600 s, not 0 s",
    "gate.per_core = 0": "gate.per_core: must be between 1 and 64, not 0",
    "gate.per_core = true": "gate.per_core: must be a whole number, not bool",
    "gate.memory_full = 0": "gate.memory_full: must be between 1 and 100, not 0",
    'gate.hold_fresh = "bulk"': "gate.hold_fresh: must be a list of lanes, not str",
    'gate.hold_fresh = ["bluk"]': "gate.hold_fresh: 'bluk' is not a lane\n  hint: known: critical",
    "gate.hold_fresh = [[]]": "gate.hold_fresh: [] is not a lane",
    'gate.hold_fresh = ["bulk", "bulk"]': 'gate.hold_fresh: "bulk" stands here twice',
    'gate.memory_reserve = "10%"': "gate.memory_reserve: must be a whole number, not str",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_cannot_be_meant_is_refused_with_a_sentence(text: str, tmp_path: Path) -> None:
    """The key, what is wrong with it, and where there is one a hint."""
    with pytest.raises(InputError) as refused:
        load(at(tmp_path, text))
    assert WRONG[text] in refused.value.message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """One reading shows them all."""
    text = 'lease_ttl = 1\nlabels = ["a b", "ssd", "ssd", "c d"]\nhots = "web1"\n'
    with pytest.raises(InputError) as refused:
        load(at(tmp_path, text))
    assert [problem.key for problem in refused.value.problems] == [
        "lease_ttl",
        "labels",
        "labels",
        "labels",
        "hots",
    ]


def test_the_gate_takes_its_constants(tmp_path: Path) -> None:
    """Those that are written; the others have their defaults."""
    text = """
    [gate]
    settle = "0s"
    step = 5
    per_core = 2
    cpu_pressure = 50
    memory_reserve = 20
    pass_for = "1h"
    hold_fresh = ["bulk", "normal"]
    """
    assert load(at(tmp_path, text)).gate == Limits(
        settle=timedelta(0),
        step=timedelta(seconds=5),
        per_core=2,
        cpu_pressure=50,
        memory_reserve=20,
        pass_for=timedelta(hours=1),
        hold_fresh=(Lane.BULK, Lane.NORMAL),
    )
    (tmp_path / "partly").mkdir()
    partly = load(at(tmp_path / "partly", "[gate]\nper_core = 2\n"))
    assert partly.gate == Limits(per_core=2)
