"""What other schedulers' files say, as jobs of ours: crontabs, anacrontabs, systemd's own timers.

Texts come in, tables of jobs.toml and warnings go out. What cannot be carried over is named with
its file and line, never left out in silence. Nothing here reads a file or knows this host; that is
``hostagent.cli.importing``.
"""
