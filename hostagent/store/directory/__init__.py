"""The engine without a server: hosts that share a directory, on NFS or any POSIX file system.

A log of hard links orders the calls that write; each process replays it into a private copy of
the SQL engine's tables and asks that. Nothing in the directory is ever run: it holds calls of the
port as data. See docs/decisions/0305.
"""
