"""Container machines with agents, for the benchmarks (see tests/machine)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine import images, layer
from tests.machine.cluster import Cluster
from tests.machine.machine import Machine


@contextmanager
def machine_with_agent(release: str = "bookworm") -> Iterator[Machine]:
    """A booted machine of this checkout's code with its agent up."""
    root = images.root(release)
    with tempfile.TemporaryDirectory() as place:
        code = layer.lay(root, Path(place) / "layer")
        with Machine("bench", [code, root]) as machine:
            machine.succeed("hostagent agent install")
            machine.wait_for_unit("hostagent.service")
            yield machine


@contextmanager
def cluster_of(hosts: int) -> Iterator[Cluster]:
    """So many hosts of this checkout's code, without agents yet, and PostgreSQL."""
    with tempfile.TemporaryDirectory() as place:
        roots = {}
        for name in ("bookworm", "bookworm+postgres"):
            root = images.root(name)
            roots[name] = [layer.lay(root, Path(place) / name), root]
        with Cluster(roots, hosts) as cluster:
            yield cluster
