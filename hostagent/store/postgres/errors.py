"""PostgreSQL's errors as the port's."""

from __future__ import annotations

import psycopg

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.postgres.address import Address

REPEATED = {"40001", "40P01", "23505", "55P03"}
"""Another transaction was in the way: serialization, deadlock, a row that both would add, and a
lock that was not got in time."""

_PASSING = {
    "25006",  # a primary that became a standby
    "25P03",  # idle in a transaction for too long
    "53",  # too many connections, disk full, out of memory
    "57",  # cancelled by a timeout, shut down, starting up
    "58",  # an error of the server's file system
}
"""SQLSTATEs, or their classes, that say nothing about the store itself."""

_HINTS = {
    "42501": "grant it to the role of the URL, or run hostagent store init as the owner",
    "3F000": "create the schema of the role's search_path",
}


def is_passing(error: psycopg.Error) -> bool:
    """Whether the same call may succeed later. Without an SQLSTATE nobody answered."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in _PASSING or state[:2] in _PASSING or state in REPEATED or state[:2] == "08"


def as_ours(error: psycopg.Error, address: Address) -> StoreError:
    """The error to raise, ``from None``: what libpq says can hold parts of the URL."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    text = f"{address}: {address.without_secrets(said)}"
    if is_passing(error):
        return StoreUnavailable(text)
    return StoreError(text, _HINTS.get(error.sqlstate or ""))
