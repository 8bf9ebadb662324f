"""What the doctor makes of what it found (report.health)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hostagent.errors import StoreError
from hostagent.policy.skew import Sample
from hostagent.report import health
from hostagent.report.health import Difference, Finding, Tools, UnitFacts, Verdict

SYSTEM, USER = Tools(user=False), Tools(user=True)
UP = UnitFacts("loaded", "active", "enabled")
MISSED_AT = datetime(2026, 11, 21, 2, tzinfo=UTC)
MISS = {"name": "mail", "times": 2, "at": "2026-11-21T02:00:00Z", "why": "no sendmail"}
STATUS = {"version": "1", "generation": 3, "barred": ""}


def skew(seconds: float, error: float = 0.01) -> Sample:
    """The store's clock is so far ahead of the host's."""
    return Sample(timedelta(seconds=seconds), timedelta(seconds=error))


def agent(generation: int | None = 3, *, ready: bool = True, **told: object) -> list[Finding]:
    """What is said of an agent that told this."""
    facts = {**STATUS, **told}
    return list(health.agent(facts, "1", generation, ready=ready, tools=SYSTEM))


def drift(*differences: Difference) -> list[Finding]:
    """What is said of these."""
    return list(health.drift(differences, SYSTEM))


WELL = [
    health.systemd(252, None, SYSTEM),
    health.systemd(257, 257, SYSTEM),
    health.unit(health.SOCKET, UP, SYSTEM),
    health.unit(health.SERVICE, UnitFacts("loaded", "active", "static"), SYSTEM),
    health.unit(health.FENCE, UnitFacts("loaded", "inactive"), SYSTEM),
    *agent(),
    *agent(None),
    health.store("sqlite:///x", is_shared=False),
    health.clock(None, None),
    health.clock(skew(0.1), None),
    health.clock(skew(-1.2, error=1), is_set=True),
    health.linger("anna", is_on=True),
    health.cgroups({"cpuset", *health.CONTROLLERS}),
    health.pressure(is_told=True),
    *health.trust({}),
    *drift(),
]

ILL = [
    (health.systemd(251, 251, SYSTEM), "wrong", "older than 252", "upgrade"),
    (health.systemd(257, 252, USER), "warning", "252, and 257 runs", "hostagent apply --user"),
    (health.unit("x", None, SYSTEM), "wrong", "not installed", "hostagent agent install"),
    (health.unit("x", UnitFacts("not-found", "inactive"), USER), "wrong", "not inst", "--user"),
    (
        health.unit("x", UnitFacts("masked", "inactive"), SYSTEM),
        *("wrong", "is masked", "systemctl unmask x && systemctl start x"),
    ),
    (health.unit("x", UnitFacts("bad-setting", "inactive"), SYSTEM), "wrong", "bad-s", "status x"),
    (health.unit("x", UnitFacts("loaded", "inactive"), USER), "wrong", "is inactive", "--user st"),
    (health.unit("x", UnitFacts("loaded", "failed"), SYSTEM), "wrong", "failed", "journalctl -u x"),
    (
        health.unit("x", UnitFacts("loaded", "active", "disabled"), SYSTEM),
        *("warning", "after the next boot", "systemctl enable x"),
    ),
    (agent(version="0")[0], "warning", "hostagent 0, and this is hostagent 1", "restart"),
    (agent(ready=False)[1], "wrong", "skips every start", "systemctl restart hostagent"),
    (agent(4)[1], "wrong", "generation 3, 4 is deployed", "systemctl reload hostagent"),
    (agent(barred="its clock")[1], "warning", "cluster's: its clock", "hostagent status"),
    (
        next(health.notifiers({"untold": [MISS]}, MISSED_AT + timedelta(minutes=3), SYSTEM)),
        *("wrong", "mail was not told 2 times, last 3min ago: no sendmail", "notify test mail"),
    ),
    (health.failed("store", StoreError("away", "run: ping")), "wrong", "away", "ping"),
    (health.failed("store", StoreError("away"), "look"), "wrong", "away", "look"),
    (health.clock(skew(-3), is_set=True), "wrong", "3s ahead of", "timedatectl"),
    (health.clock(skew(0.5), is_set=True), "warning", "500ms behind", "timedatectl"),
    (health.clock(skew(0), is_set=False), "warning", "not set the clock", "timedatectl"),
    (health.linger("anna", is_on=False), "warning", "logged in", "loginctl enable-linger anna"),
    (health.cgroups(None), "warning", "cgroup v1", "unified_cgroup_hierarchy=1"),
    (health.cgroups({"cpu", "memory", "pids"}), "warning", "io: io_weight", "Delegate="),
    (health.cgroups(set()), "warning", "memory_max", "container"),
    (health.pressure(is_told=False), "warning", "load average", "psi=1"),
    (next(health.trust({"/x is open": "chmod go-w /x"})), "wrong", "/x is open", "chmod go-w /x"),
    (drift(Difference("a.timer", "masked", "rm it"))[0], "wrong", "a.timer: masked", "rm it"),
    (drift(Difference("a", "drop-in", "rm", is_meant=True))[0], "warning", "drop-in", "rm"),
    (health.nothing_deployed("write it"), "warning", "nothing is deployed", "write it"),
]


@pytest.mark.parametrize("finding", WELL, ids=lambda one: one.sentence)
def test_what_is_well_needs_no_fix(finding: Finding) -> None:
    """And is said with its figures."""
    assert (finding.verdict, finding.fix) == (Verdict.OK, "")
    assert finding.sentence


@pytest.mark.parametrize(
    ("finding", "verdict", "sentence", "fix"), ILL, ids=[one[0].sentence for one in ILL]
)
def test_what_is_ill_is_named_with_its_fix(
    finding: Finding, verdict: str, sentence: str, fix: str
) -> None:
    """The sentence says what, the fix what to type."""
    assert finding.verdict == verdict
    assert sentence in finding.sentence
    assert fix in finding.fix


def test_many_differences_are_told_by_the_first_few() -> None:
    """And how many more there are; what may be meant does not make the rest wrong."""
    many = [Difference(f"u{n}", "edited", "apply", is_meant=n > 1) for n in range(9)]
    found = drift(*many)
    assert [one.verdict for one in found] == ["wrong"] * 2 + ["warning"] * 4
    assert (found[-1].sentence, found[-1].fix) == ("and 4 more", "hostagent drift")


def test_the_last_line_counts() -> None:
    """Or says that all is well."""
    assert health.sum_up(WELL) == f"All {len(WELL)} are ok."
    assert health.sum_up([ILL[0][0], ILL[1][0], *WELL[:3]]) == "1 wrong, 1 warning, 3 ok."
