"""What is said of storms in VMs: the figures from a VM's lines, the goals, the tables, the plot."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.storm.vms import arms, plot, report
from bench.storm.vms.figures import Lines, delays, figures, goals, of_json, percentile, read
from bench.storm.vms.scenarios import SCENARIOS, Kind, Record, Scenario, least_s
from bench.storm.vms.simulated import simulated
from hostagent.spec.load import load

OVERRUN = {f"grows{n:03}" for n in range(4)} | {f"light{n:03}" for n in range(8)}
ALONE = {"grows": {"wall_s": 10.0, "cpu_s": 9.0}, "light": {"wall_s": 1.0, "cpu_s": 1.0}}
ROOM = 800.0


def said(ends: dict[str, float], *, first_s: float = 60.0, until_s: float = 100.0) -> str:
    """A VM that samples each second and does what ``ends`` says; all start together."""
    lines = []
    for second in range(1, int(until_s) + 1):
        done = sum(at_s <= second for at_s in ends.values())
        load = 3.0 if second >= first_s else 9.0
        lines.append(f"sample {second} {load} 50 5 1 2 400 0 0 12 {done} 0")
        lines.append(f"probe {second}.1 0.020")
    fresh = [10 * number + 0.5 for number in range(int(until_s) // 10)]
    lines += [f"start fresh {at_s} {1000 + at_s}" for at_s in fresh]
    lines += [f"start {job} {first_s} {1000 + first_s}" for job in ends]
    lines += [f"end {job} {at_s} 1.0" for job, at_s in ends.items()]
    return "\n".join(lines)


def record(lines: Lines, **more: object) -> Record:
    """A cell of hostagent's, all well."""
    rows = [[job, 1, "succeeded", "success"] for job in sorted(OVERRUN)]
    return {
        "arm": "hostagent",
        "scenario": "overrun",
        "swap_mib": 0,
        "run": 1,
        "alone": ALONE,
        "free_mib": ROOM,
        "idle_load": 0.4,
        "idle_probes": [0.018, 0.019],
        "is_over": True,
        "lines": lines.as_json(),
        "services_lost": [],
        "rows": rows,
        "differences": 0,
        **more,
    }


def all_done() -> Lines:
    """Each second one is done."""
    return read(said({job: 62.0 + 2 * n for n, job in enumerate(sorted(OVERRUN))}))


def test_what_a_power_cut_has_torn_is_left_out() -> None:
    """The whole lines count, and come back from the results as they were."""
    lines = read("start a 1.0 2.0\nend a 3.0 0.5\nsample 1 2 3\nprobe 4.0\nend a\nEnd of text")
    assert (len(lines.starts), len(lines.ends)) == (1, 1)
    assert not lines.samples + lines.probes
    assert of_json(lines.as_json()) == lines


def test_a_run_is_timed_alone_and_its_cpu_beside_another() -> None:
    """An emulated CPU, or half of a core, is slower while the other one is busy."""
    text = "start alone-k 1 2\nend alone-k 5 3.5\n"
    text += "start alone-k-0 6 7\nstart alone-k-1 6 7\nend alone-k-1 14 7.0\nend alone-k-0 14 8.0"
    assert read(text).alone("k") == {"wall_s": 4.0, "cpu_s": 7.5}


@pytest.mark.parametrize(
    ("kind", "iops", "least"),
    [
        (Kind(loops=1), 0, 15.0),  # 10 runs, 3 s of a CPU each, two CPUs
        (Kind(loops=1, peak_mib=400, first=1.0), 0, 20.0),  # two of them fit
        (Kind(loops=1, peak_mib=800, first=0.0, grows=1.0), 0, 20.0),  # in the mean, too
        (Kind(loops=1, reads=400), 100, 40.0),
    ],
)
def test_the_least_is_what_cpus_memory_and_disk_allow(kind: Kind, iops: int, least: float) -> None:
    """Whichever of them takes longest."""
    scenario = Scenario("s", {"one": (10, kind)}, iops=iops)
    assert least_s(scenario, {"one": {"wall_s": 4.0, "cpu_s": 3.0}}, ROOM) == least


def test_nothing_is_over_before_its_longest_run_is() -> None:
    """However idle the host is."""
    scenario = Scenario("s", {"one": (2, Kind(loops=1))})
    assert least_s(scenario, {"one": {"wall_s": 30.0, "cpu_s": 1.0}}, ROOM) == 30.0


def test_figures_count_from_the_first_start() -> None:
    """What the host did as it booted is no storm."""
    found = figures(record(all_done()))
    assert (found.jobs, found.done, found.lost, found.oom_kills) == (12, 12, 0, 0)
    assert found.over_s == 84.0
    assert found.peak_load == 1.5
    assert found.gap_s == 2.0
    assert found.drain == pytest.approx(24 / 22)  # 4 x 9 s and 8 x 1 s on two CPUs
    assert found.fresh_p99_s == pytest.approx(0.5)


def test_a_cell_that_was_cut_off_has_no_drain() -> None:
    """And what had not been done is lost by then; the gap goes on to the end."""
    found = figures(record(read(said({"light000": 62.0})), is_over=False))
    assert (found.over_s, found.drain, found.lost) == (None, None, 11)
    assert found.gap_s == 38.0


def test_a_fresh_run_that_does_not_start_is_late_until_it_does() -> None:
    """Each occurrence counts, also those that a later start stands for."""
    lines = read("start fresh 0.2 1000.2\nstart fresh 35.0 1035.0")
    assert delays(lines, 0.0, 40.0) == pytest.approx([0.2, 25.0, 15.0, 5.0])


def test_percentiles_are_values_that_were_seen() -> None:
    """The least that so many percent do not exceed."""
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


def test_all_goals_are_met_where_all_is_well() -> None:
    """Each of them, and each says what was found."""
    found = goals(record(all_done()))
    assert [goal.what for goal in found if not goal.is_met] == []
    assert all(goal.found for goal in found)


def test_each_goal_is_missed_by_what_it_is_about() -> None:
    """One thing goes wrong at a time."""
    lines = all_done()
    broken: dict[str, dict[str, object]] = {
        "no run lost": {"lines": read(said({"light000": 62.0})).as_json()},
        "each in one recorded end state": {"differences": 1},
        "probe at most 1.5 x idle": {"idle_probes": [0.010]},
        "drain at most 2 x the least": {"alone": {k: {"wall_s": 5, "cpu_s": 1} for k in ALONE}},
        "no service lost": {"services_lost": ["storm-probe.service"]},
    }
    for what, change in broken.items():
        missed = [goal.what for goal in goals(record(lines) | change) if not goal.is_met]
        assert what in missed


def test_a_run_that_cannot_be_done_is_not_held_against_anybody() -> None:
    """Without swap, a run that needs more than the RAM is killed: one kill, one lost."""
    scenario = next(one for one in SCENARIOS if one.has_too_large)
    done = {job: 62.0 for job, kind in scenario.jobs.items() if kind != "huge"}
    lines = read(said(done).replace(" 0 12 ", " 1 12 "))
    alone = {kind: {"wall_s": 10.0, "cpu_s": 5.0} for kind in scenario.kinds}
    told = record(lines, scenario=scenario.name, alone=alone)
    met = {goal.what: goal.is_met for goal in goals(told)}
    assert (met["no OOM kill"], met["no run lost"]) == (True, True)
    met = {goal.what: goal.is_met for goal in goals({**told, "swap_mib": 512})}
    assert (met["no OOM kill"], met["no run lost"]) == (False, False)


def test_the_model_plays_the_same_storm() -> None:
    """Beside each arm that it knows: the gate loses nothing of what plain timers lose."""
    alone = {"heavy": {"wall_s": 12.0, "cpu_s": 12.0}, "light": {"wall_s": 1.0, "cpu_s": 1.0}}
    told = record(all_done(), scenario="storm", alone=alone)
    ours, raw = (simulated(told | {"arm": arm}) for arm in ("hostagent", "raw"))
    assert ours is not None
    assert raw is not None
    assert ours.done == 28
    assert ours.drain is not None
    assert raw.done < 28
    assert simulated(told | {"arm": "systemd-cron"}) is None


def test_what_was_not_measured_is_said() -> None:
    """In the tables, and in the plot."""
    storm = dict.fromkeys(SCENARIOS[0].jobs, 62.0)
    alone = {kind: {"wall_s": 10.0, "cpu_s": 5.0} for kind in SCENARIOS[0].kinds}
    told = record(read(said(storm)), scenario="storm", alone=alone)
    text = report.markdown([told])
    assert "- storm, swap 0 MiB: raw, randomized, low-weight, systemd-cron" in text
    assert "- storm, swap 512 MiB: hostagent, raw" in text
    picture = plot.svg([told], (0, 512))
    ET.fromstring(picture)
    assert picture.count("not measured") == 2 * len(arms.ARMS) - 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_hostagent_is_given_is_good_and_says_nothing_of_the_gate(
    scenario: Scenario, tmp_path: Path
) -> None:
    """No limit, no peak, no lane: nobody has configured anything."""
    ((_, text),) = arms.jobs_toml(scenario).items()
    file = tmp_path / "jobs.toml"
    file.write_text(text)
    loaded = load(file, check_host=False)
    assert {warning.code for warning in loaded.warnings} <= {"HA104"}  # all at midnight: a storm
    assert len(loaded.spec.jobs) == len(scenario.jobs) + 1
    assert not any(word in text for word in ("memory", "weight", "lane", "interruptible"))
