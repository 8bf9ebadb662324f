"""The commands, by Typer. Thin: parse, call, print. Heavy imports happen inside the commands."""
