"""A throwaway machine from the command line: for ./quickstart, and for trying things by hand.

``python -m tests.machine.console`` boots a Debian 12 with this checkout's code and opens a shell
in it; ``--script FILE`` runs a script there instead; ``--cluster`` boots three, with a directory
that they share. The machines are gone when that ends.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.machine import images, layer, prompt
from tests.machine.cluster import Cluster
from tests.machine.machine import Machine, MachineError


def main() -> int:
    """Boot, run, and return the exit status of what ran."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine.console")
    parser.add_argument("--release", choices=images.RELEASES, default="bookworm")
    parser.add_argument("--script", type=Path, help="a file to run in the machine")
    parser.add_argument("--cluster", action="store_true", help="three hosts, and a prompt")
    arguments = parser.parse_args()
    try:
        root = images.root(arguments.release)
        with tempfile.TemporaryDirectory(prefix="hostagent-layer-") as place:
            code = layer.lay(root, Path(place))
            if arguments.cluster:
                return cluster(arguments.release, [code, root])
            began = time.monotonic()
            with Machine(arguments.release, [code, root]) as machine:
                took = time.monotonic() - began
                version = machine.succeed("systemctl --version | head -n 1").strip()
                print(f"{arguments.release} is up after {took:.1f} s: {version}", flush=True)
                if arguments.script is None:
                    return machine.attach("exec /bin/bash --login")
                inside = f"/root/{arguments.script.name}"
                machine.write(inside, arguments.script.read_bytes(), 0o755)
                return machine.attach(f"exec {inside} --inside")
    except (images.BuildError, MachineError) as error:
        print(error, file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


def cluster(release: str, lower: list[Path]) -> int:
    """Boot three hosts that share a directory, and do there what a person types."""
    began = time.monotonic()
    with Cluster({release: lower}, hosts=3, store="dir", release=release) as made:
        print(f"{', '.join(made.hosts)} are up after {time.monotonic() - began:.1f} s\n")
        print(prompt.HELP, flush=True)
        prompt.Prompt(made).read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
