"""The commands, by Typer. Thin: parse, call, print."""
