"""A container machine with an agent, for the benchmarks (see tests/machine)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine import images, layer
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
