"""Machines with a real PID 1, for what the kernel and systemd make together."""

from tests.machine.conftest import any_machine, boot, machine, roots

__all__ = ["any_machine", "boot", "machine", "roots"]
