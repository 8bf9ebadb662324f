"""PostgreSQL's driver where libpq is not installed: a package only suggests it."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_LIBPQ = """
import ctypes.util, sys

sys.modules["psycopg_c"] = sys.modules["psycopg_binary"] = None
ctypes.util.find_library = lambda name: None

from hostagent.errors import StoreError
from hostagent.store.open import open_store

try:
    open_store("postgresql://nowhere/hostagent")
except StoreError as error:
    print(error.message, error.hint, sep="\\n")
"""


def test_a_missing_libpq_says_what_to_install() -> None:
    """The driver's own words are five lines about itself."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBPQ], capture_output=True, text=True, check=True
    )
    said, hint = done.stdout.splitlines()
    assert said == "PostgreSQL's client library is not on this host"
    assert hint.endswith("apt install libpq5")
