"""Where this host's sendmail is: the program that every mail transport agent brings."""

from __future__ import annotations

import os
import shutil

ADVICE = "install a mail transport agent (postfix, msmtp-mta, …)"
"""What to do where there is none."""


def sendmail() -> str | None:
    """Its path; None: there is none. Users have no sbin in their PATH."""
    return shutil.which("sendmail", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib")
