"""The command that looks whether this host is well."""

from __future__ import annotations

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json


def doctor(*, user: User = False, as_json: Json = False) -> None:
    """Look at all that hostagent needs here, and say what to type.

    Nothing is changed. Exit 1: something is wrong.
    """
    from hostagent.cli.examining import examine
    from hostagent.report.health import Verdict, sum_up

    found = list(examine(paths_of(user=user)))
    if as_json:
        emit_json(
            [
                {"what": f.what, "verdict": str(f.verdict), "sentence": f.sentence, "fix": f.fix}
                for f in found
            ]
        )
    else:
        width = max(len(finding.what) for finding in found)
        for finding in found:
            mark = typer.style(f"{finding.verdict:<8}", fg=COLOURS[finding.verdict])
            typer.echo(f"{mark} {finding.what:<{width}}  {finding.sentence}")
            if finding.fix:
                typer.echo(f"{' ' * 8} fix: {finding.fix}")
        typer.echo(sum_up(found))
    if any(finding.verdict is Verdict.WRONG for finding in found):
        raise typer.Exit(1)


COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}
"""Where there is a terminal; ``echo`` takes them out where there is none."""
