"""Whatever the spec accepts compiles, for every target, into units of the shape we mean."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from hostagent.compile import names, versions
from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from tests.strategies import specs
from tests.unit.compile.builders import sections, spec_of, values

MANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
TARGETS = [Target(252), Target(257), Target(258), Target(262), Target(262, user=True)]


@MANY
@given(specs())
def test_what_the_spec_accepts_compiles_for_every_target(table: dict[str, Any]) -> None:
    """No value, key or combination is refused late; each unit has its sections, once, in order."""
    spec = spec_of(table)
    for target in TARGETS:
        compiled = compile_spec(spec, target)
        for name, text in compiled.files.items():
            read = sections(text)
            kind = name.rpartition(".")[2]
            shape = {
                "service": ["Unit", "Service"],
                "timer": ["Unit", "Timer", "Install"],
                "slice": ["Unit", "Slice"] if name != names.ROOT_SLICE else ["Unit"],
            }
            assert list(read) == shape[kind]
            for section, directives in read.items():
                for directive, _ in directives:
                    assert versions.why_not(section, directive, target.systemd) is None
            if kind == "service":
                assert len(values(text, "Service", "ExecStart")) == 1
                assert len(values(text, "Service", "ExecCondition")) == 1
                assert values(text, "Service", "EnvironmentFile")[-1].endswith("/%N.env")
            if kind == "timer":
                assert values(text, "Timer", "OnCalendar")


@MANY
@given(specs())
def test_every_unit_is_in_a_file_and_is_nobody_elses(table: dict[str, Any]) -> None:
    """Each (job, scope) has a service of its own, made or an instance of one that was made."""
    spec = spec_of(table)
    compiled = compile_spec(spec, Target(host="web1"))
    services = [unit.service for unit in compiled.units]
    assert len(services) == len(set(services))
    assert len(services) == sum(len(job.scopes("web1")) for job in spec.jobs)
    for unit in compiled.units:
        for name in filter(None, (unit.service, unit.timer)):
            template = f"{name.partition('@')[0]}@.{name.rpartition('.')[2]}"
            assert (template if "@" in name else name) in compiled.files
    wanted = {(unit.timer, "timers.target") for unit in compiled.units if unit.timer}
    assert set(compiled.wants) == wanted
