"""From the store's URL to libpq's parameters, and what of them may be shown."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from hostagent.errors import InputError

CONNECT_S = 3
"""How long one host of the URL may take to answer."""

SILENCE_MS = 4000
"""After how long without an acknowledgement the network takes the server for gone."""

CREDENTIAL = "pgpass"
"""The systemd credential (``LoadCredential=``) that is libpq's password file."""

_HIDDEN = "***"
_SECRETS = ("password", "sslpassword")


class Address:
    """Where the server is. What the URL says goes before what we would choose.

    Raises:
        InputError: libpq does not understand the URL.
    """

    def __init__(self, url: str, *, read_only: bool) -> None:
        try:
            asked = {key: str(value) for key, value in conninfo_to_dict(url).items()}
        except psycopg.Error:
            raise InputError(  # libpq's own message holds parts of the URL
                "the store's URL is not one that libpq understands",
                "write postgresql://USER@HOST/DATABASE, with %XX for special characters",
            ) from None
        ours = {
            "application_name": "hostagent",
            "client_encoding": "UTF8",
            "connect_timeout": str(CONNECT_S),
            "keepalives_idle": "2",
            "keepalives_interval": "1",
            "keepalives_count": "3",
            "tcp_user_timeout": str(SILENCE_MS),
            "target_session_attrs": "any" if read_only else "read-write",
        }
        if (credential := _credential()) is not None:
            ours["passfile"] = str(credential)
        self.parameters = ours | asked
        self._secrets = [asked[name] for name in _SECRETS if asked.get(name)]

    def __str__(self) -> str:
        """What people may see: never a password."""
        told = self.parameters
        if "service" in told:
            return f"postgresql://?service={told['service']}"
        place = told.get("host") or told.get("hostaddr") or ""
        port = f":{told['port']}" if told.get("port", "").strip(",") else ""
        return f"postgresql://{place}{port}/{told.get('dbname', '')}"

    def without_secrets(self, text: str) -> str:
        """A message of libpq's or the server's, on one line."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def _credential() -> Path | None:
    """systemd's copy of the password file, if this service was given one."""
    place = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(place, CREDENTIAL) if place else None
    return path if path is not None and path.exists() else None
