"""One cell: a VM of two cores and 1 GiB is set up, loses its power, and comes back ten hours later.

Before the power cut, what a run of each kind takes is measured, and how the probe answers
while the host is idle. Only this module needs root and qemu.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.storm.vms import arms, scenarios
from bench.storm.vms.arms import JOB, Arm, Files, command
from bench.storm.vms.figures import Lines, read
from bench.storm.vms.scenarios import CAP_S, CORES, RAM_MIB, Kind, Record, Scenario
from tests.machine import images, layer
from tests.machine.guest import MachineError

sys.path.append(str(images.CHECKOUT / "vm-tests"))

import disk as vm_disk
from kernel import kernel
from vm import VM

START = datetime(2027, 3, 10, 20, 0, tzinfo=UTC)
OFF = timedelta(hours=10)
IDLE_S = 15.0
OBSERVER = "/usr/local/bin/observer.py"
ALONE_MIB = 300
"""What is tried before the power cut takes no more memory than that: it must not be killed."""

SERVICE = """\
[Unit]
{unit}
[Service]
{service}
[Install]
WantedBy={target}
"""

SAMPLER = SERVICE.format(
    unit="DefaultDependencies=no",
    service=f"ExecStart={OBSERVER} sample\nNice=-10\nOOMScoreAdjust=-950",
    target="sysinit.target",
)
PROBE = SERVICE.format(
    unit="Description=A service that must live on",
    service=f"ExecStart={OBSERVER} probe",
    target="multi-user.target",
)
SWAP = SERVICE.format(
    unit="DefaultDependencies=no",
    service="Type=oneshot\nRemainAfterExit=yes\nExecStart=/sbin/swapon /dev/vdb",
    target="sysinit.target",
)


@dataclass(frozen=True, slots=True)
class Cell:
    """``run``: the first, the second, … of the same."""

    arm: Arm
    scenario: Scenario
    swap_mib: int
    run: int = 1


def named(name: str) -> Cell:
    """The cell of that name."""
    arm, scenario, swap_mib, run = name.split("/")
    return Cell(arms.BY_NAME[arm], scenarios.BY_NAME[scenario], int(swap_mib), int(run))


def measure(cell: Cell) -> Record:
    """Boot the cell's VM, let it pay what it owes, for ``CAP_S`` at most.

    Raises:
        MachineError: the VM could not be set up, or did not come back.
    """
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        place = Path(name)
        with _machine(cell, place) as vm:
            vm.boot()
            vm.set_clock(f"{START:%Y-%m-%d %H:%M:%S}")
            alone, idle = _set_up(vm, cell)
            vm.succeed("sync")
            vm.crash()
            before = vm.history.stat().st_size
            vm.boot("basic.target", clock=START + OFF)
            lines, is_over = _wait(vm, cell, before)
            free = max(sample.available_mib for sample in idle.samples)
            return {
                "arm": cell.arm.name,
                "scenario": cell.scenario.name,
                "swap_mib": cell.swap_mib,
                "run": cell.run,
                "measured_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
                "alone": alone,
                "free_mib": free,
                "idle_load": min(sample.load for sample in idle.samples),
                "idle_probes": [round(probe.took_s, 3) for probe in idle.probes],
                "is_over": is_over,
                "lines": lines.as_json(),
                **_verdict(vm, cell),
            }


@contextlib.contextmanager
def _machine(cell: Cell, place: Path) -> Iterator[VM]:
    root = images.root(cell.arm.root)
    code = layer.lay(root, place / "code")
    (place / "disk").mkdir()
    (place / "vm").mkdir()
    disks = []
    if cell.swap_mib:
        disks = [place / "swap.img"]
        with disks[0].open("wb") as file:
            file.truncate(cell.swap_mib << 20)
        subprocess.run(["mkswap", "--quiet", str(disks[0])], check=True, capture_output=True)
    system = kernel(), vm_disk.make(place / "disk", [code, root])
    with VM(
        "storm",
        place / "vm",
        *system,
        memory_mb=RAM_MIB,
        cores=CORES,
        iops=cell.scenario.iops,
        disks=disks,
    ) as vm:
        yield vm


def _set_up(vm: VM, cell: Cell) -> tuple[dict[str, dict[str, float]], Lines]:
    """What a run of each kind takes, and what was seen of the idle host."""
    kinds = {name: asdict(kind) for name, (_, kind) in cell.scenario.kinds.items()}
    kinds["fresh"] = asdict(Kind(loops=20, steps=1))
    for name, kind in list(kinds.items()):
        kinds[f"alone-{name}"] = kind | {"peak_mib": min(kind["peak_mib"], ALONE_MIB)}
    units = {"storm-sampler": SAMPLER, "storm-probe": PROBE}
    units |= {"storm-swap": SWAP} if cell.swap_mib else {}
    files = {f"/etc/systemd/system/{name}.service": text for name, text in units.items()}
    files["/etc/storm.json"] = json.dumps(kinds)
    for program in (JOB, OBSERVER):
        files[program] = (Path(__file__).parent / Path(program).name).read_text()
    vm.succeed("tar -xC /", stdin=_tar({**files, **cell.arm.files(cell.scenario)}))
    vm.succeed(f"systemctl daemon-reload; systemctl enable --quiet --now {' '.join(units)}")
    for name in cell.scenario.kinds:
        vm.succeed(command(f"alone-{name}", f"alone-{name}"), timeout=120)
        each = [command(f"alone-{name}-{n}", f"alone-{name}") for n in range(CORES)]
        vm.succeed(f"{' & '.join(each)}; wait", timeout=120)
    vm.succeed(cell.arm.start, timeout=120)
    begun = vm.history.stat().st_size
    time.sleep(IDLE_S)
    seen = read(_after(vm, 0))
    alone = {name: seen.alone(name) for name in cell.scenario.kinds}
    return alone, read(_after(vm, begun))


def _tar(files: Files) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.removeprefix("/"))
            entry.size, entry.mode = len(text.encode()), 0o755 if "/bin/" in name else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return into.getvalue()


def _after(vm: VM, offset: int) -> str:
    with vm.history.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def _wait(vm: VM, cell: Cell, before: int) -> tuple[Lines, bool]:
    """Until all that was missed has come to its end, or the cap; whether it has."""
    count = len(cell.scenario.jobs)
    while True:
        time.sleep(1)
        lines = read(_after(vm, before))
        if not lines.samples:
            continue
        last = lines.samples[-1]
        if last.at_s > CAP_S:
            return lines, False
        if last.ended + last.gone >= count and (not cell.arm.is_ours or _is_paid(vm, cell)):
            return read(_after(vm, before)), True


def _rows(vm: VM) -> list[Record]:
    rows: list[Record] = json.loads(vm.succeed("hostagent runs -n 100000 --json", timeout=60))
    return [row for row in rows if row["job"] != "fresh"]


def _is_paid(vm: VM, cell: Cell) -> bool:
    """Whether no attempt of hostagent's goes on or is to come."""
    told = json.loads(vm.succeed("hostagent backlog list --json", timeout=60))
    if told["held"] or told["catching_up"]:
        return False
    last = {row["job"]: row for row in sorted(_rows(vm), key=lambda row: row["attempt"])}
    is_final = (_is_final(row, cell.scenario.retries) for row in last.values())
    return set(last) >= set(cell.scenario.jobs) and all(is_final)


def _is_final(row: Record, retries: int) -> bool:
    """Whether no other attempt follows: what failed may be tried again, what gave way once more."""
    if row["outcome"] != "failed":
        return row["outcome"] is not None
    return bool(row["attempt"] > retries + (row["result"] == "gate-stopped"))


def _verdict(vm: VM, cell: Cell) -> Record:
    """What the machine itself says at the end; None where it does not answer."""
    try:
        failed = vm.succeed("systemctl list-units --failed --plain --no-legend", timeout=20)
        units = [line.split()[0] for line in failed.splitlines()]
        found: Record = {"services_lost": [unit for unit in units if not _is_job(unit)]}
        if cell.arm.is_ours:
            rows = _rows(vm)
            found["rows"] = sorted(
                (row["job"], row["attempt"], row["outcome"], row["result"]) for row in rows
            )
            audit = vm.run("hostagent audit --json", timeout=60).stdout
            found["differences"] = len(json.loads(audit)["differences"])
    except MachineError:
        return {"services_lost": None}
    else:
        return found


def _is_job(unit: str) -> bool:
    if unit in {"storm-probe.service", "storm-sampler.service"}:
        return False
    return unit.startswith(("storm-", "hostagent-", "cron-"))
