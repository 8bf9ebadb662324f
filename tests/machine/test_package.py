"""The .deb on clean machines: installed, upgraded while a job runs, removed, purged.

Building it takes minutes, so this is for when there is time (``HOSTAGENT_LONG``). What a purge
takes is tested on an image, too: tests/unit/deploy/test_purge.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from debian import build
from tests.machine import agent, clean
from tests.machine.machine import Machine

pytestmark = pytest.mark.skipif(not agent.LONG, reason="builds packages: set HOSTAGENT_LONG")

JOBS = """
[job.long]
command = "/bin/sleep 3600"
calendar = "daily"

[job.quick]
command = "/bin/true"
calendar = "daily"

[job.fan]
command = "/bin/true"
calendar = "daily"
for_each = ["a", "b"]
"""

# Written by a person, or not a file of the package's at all: a purge leaves it.
LEFT = ["/etc/hostagent", "/etc/hostagent/jobs.toml"]


@pytest.fixture(scope="module", params=list(build.RELEASES))
def packages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """A release, its package, and one of the next version."""
    place = tmp_path_factory.mktemp("packages")
    package = build.build(request.param, "0.1.0", place)
    return request.param, package, next_version(package, place / "next.deb")


def next_version(package: Path, new: Path) -> Path:
    """The same as 0.1.1: for dpkg, and as hostagent says."""
    tree = new.with_suffix("")
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: 0.1.0", "Version: 0.1.1"))
    (code,) = tree.glob("usr/lib/hostagent/venv/lib/python3.*/site-packages/hostagent")
    (code / "__init__.py").write_text('__version__ = "0.1.1"\n')
    for compiled in code.glob("__pycache__/__init__.*.pyc"):
        compiled.unlink()
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, new], check=True)
    shutil.rmtree(tree)
    return new


@pytest.fixture
def host(packages: tuple[str, Path, Path]) -> Iterator[Machine]:
    """A clean machine with both packages in /root."""
    release, old, new = packages
    with Machine(f"clean-{release}", [clean.root(release)]) as machine:
        for name, package in ("old.deb", old), ("new.deb", new):
            machine.write(f"/root/{name}", package.read_bytes())
        yield machine


def apt(machine: Machine, words: str) -> str:
    """What apt-get says; it asks nobody, and has no network for what is only recommended."""
    options = "--quiet --yes --no-install-recommends"
    command = f"DEBIAN_FRONTEND=noninteractive apt-get {options} {words}"
    return machine.succeed(command, timeout=180)


def show(machine: Machine, unit: str, name: str) -> str:
    """A property of a unit."""
    return machine.succeed(f"systemctl show --property={name} --value {unit}").strip()


def outcomes(machine: Machine, job: str) -> list[str | None]:
    """What became of the runs of a job, the latest first."""
    return [run["outcome"] for run in json.loads(machine.succeed(f"hostagent runs {job} --json"))]


def traces(machine: Machine) -> list[str]:
    """Files and directories that are named after hostagent, but for the journal's and dpkg's."""
    command = (
        "find / -xdev '(' -path /var/log -o -path /root -o -path /sys -o -path /proc ')' -prune"
    )
    found = machine.succeed(
        f"{command} -o -path '*hostagent*' -print; ls -d /run/hostagent || true"
    )
    return sorted(found.split())


def test_from_install_to_purge(host: Machine) -> None:
    """It works; an upgrade stops no job; a removal loses nothing; a purge leaves little."""
    # Units of an installation without a package would hide the package's.
    host.write("/etc/systemd/system/hostagent.service", "[Service]\nExecStart=/bin/false\n")
    assert "removed /etc/systemd/system/hostagent.service" in apt(host, "install /root/old.deb")
    for unit in "hostagent.service", "hostagent.socket":
        assert host.succeed(f"systemctl is-enabled {unit}; systemctl is-active {unit}").split() == [
            "enabled",
            "active",
        ]
    assert host.succeed("systemctl --failed --no-legend") == ""
    host.succeed("getent group hostagent && hostagent doctor")
    for page in "man1/hostagent.1", "man8/hostagent-agent.8", "man5/jobs.toml.5":
        host.succeed(f"test -s /usr/share/man/{page}.gz")
    assert "complete_bash" in host.succeed(
        "cat /usr/share/bash-completion/completions/hostagent && "
        "test -s /usr/share/zsh/vendor-completions/_hostagent && "
        "test -s /usr/share/fish/vendor_completions.d/hostagent.fish"
    )

    host.write("/etc/hostagent/jobs.toml", JOBS)
    host.succeed("hostagent apply && hostagent run quick --wait && hostagent run long")
    host.wait_for_unit("hostagent-long.service", "activating")
    before = {
        unit: show(host, unit, "InvocationID")
        for unit in ("hostagent-long.service", "hostagent.service", "hostagent.socket")
    }
    apt(host, "install /root/new.deb")
    after = {unit: show(host, unit, "InvocationID") for unit in before}
    assert {unit for unit in before if before[unit] != after[unit]} == {"hostagent.service"}
    assert "0.1.1" in host.succeed("hostagent agent status --json")
    assert outcomes(host, "long") == [None]
    assert outcomes(host, "quick") == ["succeeded"]

    refused = host.run("hostagent agent uninstall")
    assert refused.returncode == 3
    assert "apt remove hostagent" in refused.stderr

    apt(host, "remove hostagent")
    assert show(host, "hostagent.service", "LoadState") == "not-found"
    assert show(host, "hostagent-long.service", "InvocationID") == before["hostagent-long.service"]
    host.succeed("systemctl is-active hostagent-quick.timer; systemctl start hostagent-quick")
    assert show(host, "hostagent-quick.service", "ConditionResult") == "no"
    apt(host, "install /root/new.deb")
    assert outcomes(host, "quick") == ["succeeded"]
    assert outcomes(host, "long") == [None]
    host.succeed("hostagent run quick --wait && hostagent audit")

    apt(host, "purge hostagent")
    assert show(host, "hostagent-long.service", "InvocationID") == before["hostagent-long.service"]
    assert host.succeed("systemctl list-timers --all --no-legend 'hostagent*'") == ""
    host.succeed("systemctl stop hostagent-long.service")
    units = "'hostagent*.service' 'hostagent*.socket' 'hostagent*.timer'"
    assert host.succeed(f"systemctl list-units --all --no-legend {units}") == ""
    assert traces(host) == LEFT
    host.succeed("getent group hostagent")


def test_a_disabled_agent_stays_disabled(host: Machine) -> None:
    """An upgrade neither enables nor starts what an administrator disabled and stopped."""
    apt(host, "install /root/old.deb")
    host.succeed("systemctl disable --now hostagent.service hostagent.socket")
    apt(host, "install /root/new.deb")
    host.fail("systemctl is-enabled hostagent.service || systemctl is-active hostagent.service")
