"""A line for a shell: as the command of a job, and what to call that job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

SHELL = "/bin/sh"
"""What a line is for where nothing else is said."""

_BOURNE = frozenset({"sh", "dash", "bash", "ash", "ksh"})
_PLAIN = re.compile(r"/[A-Za-z0-9_./+@-]*(?:[ \t]+[A-Za-z0-9_./:,=@+-]+)*")
_PARTS = re.compile(r"&&|\|\||\$\(|[;|&(){}`\n]")
_ASSIGNED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_ASIDE = frozenset(
    ["[", "test", "true", "false", ":", ".", "cd", "sleep", "command", "export", "set", "umask"]
)
"""What prepares, or asks whether to run at all."""
_AROUND = {
    **dict.fromkeys(["if", "then", "else", "elif", "while", "do", "!", "exec", "time"], 0),
    **dict.fromkeys(["nice", "ionice", "env", "nohup", "setsid", "chronic", "sudo", "chpst"], 0),
    **dict.fromkeys(["flock", "timeout", "setlock"], 1),
}
"""What runs another command, and how many operands of its own come before that."""
_INTERPRETERS = frozenset({*_BOURNE, "python", "python3", "perl", "php", "ruby", "node", "java"})
_SUFFIX = re.compile(r"\.(?:sh|bash|py|pl|php|rb|js|jar)\Z")


def command(shell: str, line: str) -> str | list[str]:
    """The ``command`` of jobs.toml that does what ``shell -c line`` does.

    The line itself where it is a program by its whole path and words that mean nothing to a shell.
    """
    if PurePosixPath(shell).name in _BOURNE and _PLAIN.fullmatch(line):
        return " ".join(line.split())
    return [shell, "-c", line]


def plain(words: Sequence[str]) -> str | list[str]:
    """The ``command`` of jobs.toml that has these arguments, as one text where it can be."""
    line = " ".join(words)
    return line if line.split() == list(words) and _PLAIN.fullmatch(line) else list(words)


def name(line: str) -> str:
    """What a person would call the job: the program that does the work, or its script."""
    for part in _PARTS.split(line):
        words = [word.strip("\"'") for word in part.split()]
        if (found := _program(words)) and found not in _ASIDE:
            return _SUFFIX.sub("", found)
    return ""


def _program(words: list[str]) -> str:
    words = list(_from_program(words))
    if not words:
        return ""
    program = PurePosixPath(words[0]).name
    operands = [word for word in words[1:] if not word.startswith("-")]
    if program == "run-parts" and operands:
        return PurePosixPath(operands[-1]).name
    if program in _INTERPRETERS and operands and _is_file(operands[0]):
        return PurePosixPath(operands[0]).name
    return program


def _is_file(word: str) -> bool:
    return "/" in word or bool(_SUFFIX.search(word))


def _from_program(words: list[str]) -> Iterable[str]:
    """The words from the program on, without what stands around it."""
    own = 0
    for index, word in enumerate(words):
        if _ASSIGNED.match(word):
            continue
        is_option = index > 0 and (word.startswith("-") or words[index - 1] == "-u")
        if index > 0 and (is_option or word.isdecimal()):
            continue
        around = _AROUND.get(PurePosixPath(word).name)
        if around is not None:
            own = around
        elif own:
            own -= 1
        else:
            return words[index:]
    return []
