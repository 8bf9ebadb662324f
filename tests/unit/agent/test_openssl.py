"""The agent does without OpenSSL, an eighth of its memory, for as long as its store does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]

PROGRAM = """
import sys
import hostagent.agent.__main__
from hostagent.store.open import open_store
with_store = open_store(sys.argv[1])
with_store.open_session("one", "boot")
with_store.alarms()
with_store.close()
print(*sorted(sys.modules.keys() & {"ssl", "_ssl", "_hashlib"}))
print("libssl" in open("/proc/self/maps").read() or "libcrypto" in open("/proc/self/maps").read())
"""
"""All that the daemon imports, and what its store does when it is first used."""


@pytest.mark.parametrize("scheme", ["sqlite", "dir"])
def test_openssl_is_not_loaded(scheme: str, tmp_path: Path) -> None:
    """Not by what is imported, nor by what a store on this host's files needs later."""
    (tmp_path / "store").mkdir()
    place = {"sqlite": tmp_path / "state.db", "dir": tmp_path / "store"}[scheme]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"{scheme}://{place}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\nFalse\n"
