"""The store in a shared directory on real NFS: a kernel's server, two clients without shared cache.

Both clients are mounts of one VM (``nosharecache``): what one remembers the other does not. The
export is ``sync``, the mounts are ``hard``, all else is as by default: names that a client believes
missing stay so for half a minute.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import disk as vm_disk
import nfs
import pytest
from vm import VM, NewVM, Parts

from tests.machine import images, layer

HERE = Path(__file__).parent
EXPORT = "/srv/share *(rw,sync,no_root_squash,no_subtree_check,insecure,fsid=1)"
OPTIONS = "hard,nosharecache,proto=tcp,timeo=100"
SHARES = ("/mnt/a", "/mnt/b")
PYTHON = f"{images.VENV}/bin/python3"


@pytest.fixture(scope="module")
def nfs_parts(
    parts: Parts,  # noqa: ARG001 -- skips where no VM can be booted
    tmp_path_factory: pytest.TempPathFactory,
) -> Parts:
    """The kernel and a disk with NFS on it."""
    linux, tree = nfs.system()
    root = images.root("bookworm")
    code = layer.lay(root, tmp_path_factory.mktemp("nfs-layers") / "code")
    return linux, vm_disk.make(tmp_path_factory.mktemp("nfs-disk"), [code, tree, root])


@pytest.fixture(scope="module")
def serving(nfs_parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A VM that serves a share, booted once for all tests."""
    with VM("nfs", tmp_path_factory.mktemp("serving"), *nfs_parts) as vm:
        vm.boot()
        vm.succeed(f"mkdir -p /srv/share {' '.join(SHARES)} && echo '{EXPORT}' >/etc/exports")
        vm.succeed("systemctl restart nfs-server && exportfs -ra", timeout=120)
        vm.succeed("cat >/root/rivals.py", stdin=(HERE / "rivals.py").read_text())
        yield vm.freeze()


@pytest.fixture(params=["3", "4.2"], ids=lambda version: f"v{version}")
def server(request: pytest.FixtureRequest, new_vm: NewVM, nfs_parts: Parts, serving: Path) -> VM:
    """It, and its share is mounted twice, by this version of NFS."""
    vm = new_vm(boots=nfs_parts, frozen=serving)
    vm.thaw()
    for share in SHARES:
        vm.succeed(
            f"mount -t nfs -o vers={request.param},{OPTIONS} 127.0.0.1:/srv/share {share}",
            timeout=120,
        )
    return vm


def rivals(vm: VM, what: str, *numbers: int, beside: str = ":") -> dict[str, float]:
    """What ``rivals.py`` prints of a new store, with a command that runs beside it."""
    places = [f"{share}/{what}-{len(numbers)}-{len(beside)}" for share in SHARES]
    vm.succeed(f"mkdir -m 750 {places[0]} && ls {SHARES[1]}")
    command = f"{PYTHON} /root/rivals.py {what} {' '.join(map(str, numbers))} {' '.join(places)}"
    told = vm.succeed(f"({beside}) >&2 & {command}; status=$?; wait; exit $status", timeout=600)
    result: dict[str, float] = json.loads(told)
    print(what, result)
    return result


def test_two_clients_claim_each_occurrence_once(server: VM) -> None:
    """Four processes on two mounts: one winner each, tokens without a gap, the same rows seen.

    Then the server restarts in the middle, twice: calls wait, or are settled by reading.
    """
    assert rivals(server, "race", 10)["runs"] <= 10
    restart = "for n in 1 2; do sleep 4; systemctl restart nfs-server; done"
    assert rivals(server, "race", 30, beside=restart)["runs"] <= 30


def test_of_a_beat_and_a_revocation_one_is_heard(server: VM) -> None:
    """Across two clients, each with its own memory of what exists; beats are seen at once.

    What a call takes is printed; a beat is far below what an agent waits for one.
    """
    assert rivals(server, "beats", 10)["seen_after_s"] < 5
    assert rivals(server, "rates")["beat"] < 1000
