"""What the agent's unit must be allowed so that it reaches its store: a drop-in. Pure.

As shipped, the unit has no network and writes nowhere but to its own state: right for a store
that is a file of this host.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

_HEAD = "# Made by hostagent agent install for the store that agent.toml names.\n"

_NETWORK = """\
[Unit]
Wants=network-online.target
After=network-online.target nss-lookup.target

[Service]
PrivateNetwork=no
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
# Which addresses the store has is for the resolver to say.
IPAddressDeny=
"""

_DIRECTORY = """\
[Service]
# Nothing waits for it: this host's own jobs go on while it is away, and what is mounted later is
# seen then.
ReadWritePaths="-{place}"
"""


def drop_in(store: str) -> str | None:
    """The drop-in's text for a store's URL; None where the unit as shipped will do."""
    parts = urlsplit(store)
    if parts.scheme in {"postgresql", "postgres"}:
        return _HEAD + _NETWORK
    if parts.scheme == "dir":
        place = unquote(parts.path).replace("%", "%%")
        return _HEAD + _DIRECTORY.format(place=place)
    return None
