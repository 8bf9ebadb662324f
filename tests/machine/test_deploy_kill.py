"""kill -9 of apply at random instants: no unit half-written, and the next apply finishes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hostagent.codec import to_json
from hostagent.model import Missed, Spec
from tests.machine.deploying import admit_everything, clock, job, ran
from tests.machine.images import VENV
from tests.machine.machine import Machine

KILLS = 50

# Forks one child per apply (the imports are done once), kills it, and looks at what it left.
LOOP = """
import json, os, pathlib, random, signal, sys, time, traceback
from datetime import UTC, datetime
from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from hostagent.deploy import apply, drift
from hostagent.deploy.generations import sha256
from hostagent.host import paths
from hostagent.codec import from_json
from hostagent.model import Spec
from hostagent.store.open import open_store
from hostagent.systemd.manager import Manager

asked = json.load(sys.stdin)
random.seed(asked["seed"])
AGENT = {"hostagent.service", "hostagent.socket"}
places = paths.system()
target = Target(Manager().version(), "machine")
wanted, texts = [], {}
for data in asked["specs"]:
    spec = from_json(Spec, data)
    compiled = compile_spec(spec, target)
    wanted.append(apply.desired(spec, compiled, target, datetime.now(UTC)))
    for name, text in compiled.files.items():
        texts.setdefault(name, set()).add(text)


def fork(generation):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        store = open_store(places.store_url)
        apply.apply(apply.Site(places, "machine", Manager(), store), generation)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(generation):
    began = time.monotonic()
    _, status = os.waitpid(fork(generation), 0)
    assert status == 0, "an apply that nobody killed failed"
    return time.monotonic() - began


def units():
    found = [path for path in places.units.glob("hostagent[-.]*") if path.is_file()]
    found = [path for path in found if path.name not in AGENT]
    return {path.name: path.read_text() for path in found}


def check_whole():
    for name, text in units().items():
        assert text in texts[name], f"{name} is neither the old nor the new one: {text!r}"
    json.loads(places.manifest.read_bytes())


def check_finished(generation):
    assert units() == generation.files
    assert not list(places.units.glob(".hostagent*")), "staged files are left"
    assert drift.drift(apply.Site(places, "machine", Manager())) == []
    wants = {path.name for path in (places.units / "timers.target.wants").glob("hostagent*")}
    assert wants == {unit for unit, _ in generation.manifest.wants}, wants
    timers = {unit.timer for unit in generation.manifest.units if unit.timer}
    loaded = Manager().loaded("hostagent-*.timer")
    active = {name for name, state in loaded.items() if state == "active"}
    assert active == timers, active ^ timers
    store = open_store(places.store_url)
    specs = {spec.job: spec.hash for spec in store.specs() if spec.valid_to is None}
    assert specs == {job.name: job.schedule.hash for job in generation.manifest.jobs}
    store.close()


finish(wanted[0])
span = max(finish(wanted[1]), finish(wanted[0]))
killed = finished = 0
for turn in range(asked["kills"]):
    goal = wanted[(turn + 1) % 2]
    pid = fork(goal)
    time.sleep(random.uniform(0, span))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    killed += os.WIFSIGNALED(status)
    check_whole()
    if random.random() < 0.6:  # else the next one meets what two of them left
        goal = random.choice(wanted)
        span = finish(goal)  # the machine may be busier, or less, than at first
        check_finished(goal)
        finished += 1
goal = wanted[0]
finish(goal)
check_finished(goal)
print(json.dumps({"killed": killed, "finished": finished, "span": span}))
"""


def test_apply_killed_at_any_instant_is_finished_by_the_next(any_machine: Machine) -> None:
    """After each kill every unit file is the old or the new one, whole; nothing ever starts."""
    admit_everything(any_machine)
    past = clock(datetime.now(UTC) - timedelta(minutes=1))
    missed = (Missed.LATEST, Missed.SKIP)
    old = [job(f"j{n}", "2030-01-01", missed=missed[n % 2]) for n in range(12)]
    new = [job(f"j{n}", past, missed=missed[n % 2]) for n in range(6)]
    new += old[6:9] + [job(f"n{n}", past, missed=missed[n % 2]) for n in range(3)]
    seed = any_machine.leader
    asked = {
        "specs": [to_json(Spec(tuple(jobs))) for jobs in (old, new)],
        "kills": KILLS,
        "seed": seed,
    }
    any_machine.write("/opt/kill.py", LOOP)
    print(f"SEED={seed}")
    told = any_machine.succeed(
        f"{VENV}/bin/python3 /opt/kill.py", stdin=json.dumps(asked), timeout=300
    )
    assert json.loads(told)["killed"] > KILLS / 2, told
    assert ran(any_machine) == set()
