"""The tests' way into a VM, run in the VM: commands come in at a virtio port, results go out.

One line of JSON each way. Standard library only, for the VM's own Python; part of no product.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from typing import Any


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run one command; what is left of its process group when its time is up is killed."""
    process = subprocess.Popen(
        ["/bin/bash", "-c", asked["command"]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    is_late = False
    try:
        out, err = process.communicate(base64.b64decode(asked["stdin"]), asked["timeout"])
    except subprocess.TimeoutExpired:
        is_late = True
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    return {
        "number": asked["number"],
        "status": process.returncode,
        "stdout": out.decode(errors="backslashreplace"),
        "stderr": err.decode(errors="backslashreplace"),
        "is_late": is_late,
    }


def main() -> None:
    """Serve the port named on the command line for ever."""
    with open(sys.argv[1], "r+b", buffering=0) as port:  # noqa: PTH123 -- a device
        heard = b""
        while True:
            heard += port.read(65536)
            while b"\n" in heard:
                line, _, heard = heard.partition(b"\n")
                told = memoryview(json.dumps(answer(json.loads(line))).encode() + b"\n")
                while told:
                    told = told[port.write(told) :]


if __name__ == "__main__":
    main()
