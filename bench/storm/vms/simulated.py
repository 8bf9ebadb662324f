"""The same storm in the model of ``bench.storm``, to stand beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.storm import host
from bench.storm.host import Host, Policy, Task
from bench.storm.policies import UNKNOWN, Gate, Randomized, Timers
from bench.storm.vms.arms import FRESH_S
from bench.storm.vms.scenarios import BY_NAME, CAP_S, CORES, RAM_MIB, Record, Scenario, least_s

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "hostagent": lambda: Gate(known=UNKNOWN),
    "raw": Timers,
    "randomized": Randomized,
    "low-weight": lambda: Timers(weight=20),
}
"""The model has nothing like systemd-cron."""

BOOT_S = 10.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the model says by the cap; ``drain`` None: it is not over."""

    done: int
    drain: float | None


def simulated(record: Record) -> Simulated | None:
    """The cell in the model, with what a run of each kind takes in the VM."""
    if record["arm"] not in POLICIES:
        return None
    scenario, alone = BY_NAME[record["scenario"]], record["alone"]
    base = 1 - record["free_mib"] / RAM_MIB
    model = host.Scenario(
        scenario.name,
        CORES,
        lambda _: _tasks(scenario, alone),
        swap=record["swap_mib"] / RAM_MIB,
        disk=1.0 if scenario.iops else 4.0,
        base_memory=base,
        fails_until_s=scenario.fails_until_s,
    )
    played = Host(model, POLICIES[record["arm"]](), seed=1)
    played.simulate(CAP_S, CAP_S)
    done = [task for task in played.backlog if _is_done(task)]
    is_over = all(task.ended_s is not None for task in played.backlog)
    if not is_over:
        return Simulated(len(done), None)
    ended_s = max(task.ended_s or 0.0 for task in played.backlog)
    begun_s = min(task.started_s or 0.0 for task in played.backlog)
    least = least_s(scenario, alone, record["free_mib"])
    return Simulated(len(done), (ended_s - max(begun_s, scenario.fails_until_s)) / least)


def _is_done(task: Task) -> bool:
    return task.ended_s is not None and not (task.is_killed or task.has_failed)


def _tasks(scenario: Scenario, alone: Mapping[str, Mapping[str, float]]) -> list[Task]:
    tasks = [
        Task("boot", BOOT_S, 0.9, kind=host.Kind.BOOT),
        Task("boot too", BOOT_S, 0.9, kind=host.Kind.BOOT),
    ]
    for name, kind_name in scenario.jobs.items():
        kind, one = scenario.kinds[kind_name][1], alone[kind_name]
        tasks.append(
            Task(
                name,
                one["wall_s"],
                min(1.0, one["cpu_s"] / one["wall_s"]),
                disk=1.0 if kind.reads else 0.02,
                peak=kind.peak_mib / RAM_MIB,
                first=kind.first,
                grows=kind.grows,
            )
        )
    for number in range(int(CAP_S / FRESH_S)):
        at_s = number * FRESH_S
        tasks.append(Task("fresh", 0.3, 0.9, arrives_s=at_s, kind=host.Kind.FRESH))
    return tasks
