"""A command line into its arguments, as systemd.service(5) "Command lines" splits it.

Quotes and C escapes mean what they mean in a unit file; ``$`` and ``%`` mean nothing: they are
passed on as they stand (the shell of ``sh -c '…'`` still sees them). An escape that systemd does
not know stays as it is, backslash included, as systemd leaves it. Stricter than systemd
where only an accident can be meant: a bare ``;``, an escape for NUL or for bytes that are no
UTF-8, a backslash at the end.
"""

from __future__ import annotations

import re

from hostagent.spec.values import WrongValueError, argument, characters, shown

WHITESPACE = " \t\n\r"
_PREFIXES = "@-:+!|"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTINUED = re.compile(r"\\\n[ \t]*")
_ESCAPE = re.compile(
    r"(?P<plain>[abfnrtvs\\\"'])|x(?P<hex>[0-9a-fA-F]{2})|(?P<oct>[0-7]{3})"
    r"|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})"
)
_PLAIN = dict(zip("abfnrtvs\\\"'", b"\a\b\f\n\r\t\v \\\"'", strict=True))
_MOST_LINE = 1024 * 1024 - 64


def split(text: str) -> list[str]:
    """The arguments in ``text``.

    Raises:
        WrongValueError: unbalanced quotes, a bare ``;`` (two commands), or an escape that makes a
            NUL or no UTF-8.
    """
    text = _CONTINUED.sub(" ", text).strip(WHITESPACE)
    words, at = [], 0
    while at < len(text):
        if _is_token(text, at, ";"):
            raise WrongValueError(
                'a ";" of its own would begin a second command',
                "run both through a shell: sh -c '…; …', or write \\; for the character",
            )
        if _is_token(text, at, "\\;"):
            words.append(";")
            at += 2
        else:
            word, at = _word(text, at)
            words.append(word)
        while at < len(text) and text[at] in WHITESPACE:
            at += 1
    return words


def _is_token(text: str, at: int, token: str) -> bool:
    after = text[at + len(token) : at + len(token) + 1]
    return text.startswith(token, at) and (not after or after in WHITESPACE)


def _word(text: str, at: int) -> tuple[str, int]:
    """The word that begins at ``at``, unquoted and unescaped, and where it ends."""
    out, quote = bytearray(), ""
    while at < len(text):
        char = text[at]
        if char == "\\":
            if at + 1 == len(text):
                raise WrongValueError("ends in a backslash, which would continue the line")
            decoded, at = _escape(text, at + 1)
            out += decoded
            continue
        if quote and char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote = char
        elif not quote and char in WHITESPACE:
            break
        else:
            out += char.encode()
        at += 1
    if quote:
        raise WrongValueError(f"the quote {quote} is not closed in {shown(text)}")
    try:
        return out.decode(), at
    except UnicodeDecodeError:
        raise WrongValueError(f"an escape in {shown(text)} makes no valid UTF-8") from None


def _escape(text: str, at: int) -> tuple[bytes, int]:
    """What the escape behind a backslash stands for; an unknown one stands for itself."""
    found = _ESCAPE.match(text, at)
    if not found:
        return ("\\" + text[at]).encode(), at + 1
    if plain := found["plain"]:
        return bytes([_PLAIN[plain]]), found.end()
    if found["hex"] or found["oct"]:
        code = int(found["hex"], 16) if found["hex"] else int(found["oct"], 8)
        if code > 255:
            return ("\\" + text[at]).encode(), at + 1
        decoded = bytes([code])
    else:
        code = int(found["u4"] or found["u8"], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise WrongValueError(f"\\{found[0]} is no character")
        decoded = chr(code).encode()
    if code == 0:
        raise WrongValueError(f"\\{found[0]} is a NUL character, which no argument can carry")
    return decoded, found.end()


def check(words: list[str]) -> list[str]:
    """Check a whole command, each argument of which has been checked."""
    if not words or not words[0]:
        raise WrongValueError("is empty", 'write for example "/usr/bin/true"')
    program = words[0]
    if program[0] in _PREFIXES:
        raise WrongValueError(
            f'{shown(program)} begins with "{program[0]}", which systemd reads as a prefix',
            "write the path alone; prefixes are not supported",
        )
    if any(c in "\"'\\" or ord(c) < 32 or ord(c) == 127 for c in program):
        raise WrongValueError(f"{shown(program)}: systemd refuses quotes and the like in a program")
    characters(program)
    if "/" in program and not program.startswith("/"):
        hint = "write the whole path, or the name alone to have systemd search for it"
        raise WrongValueError(f"{shown(program)} is neither a name nor an absolute path", hint)
    if program.rpartition("/")[2] in {"", ".", ".."}:
        raise WrongValueError(f"{shown(program)} is a directory")
    width = sum(_width(word) for word in words)
    if width > _MOST_LINE:
        raise WrongValueError(
            f"all arguments together are {width} bytes, escaped; a line of a unit holds 1 MiB",
            "put the data into a file and pass its path",
        )
    return words


def _width(word: str) -> int:
    """Bytes the word may take in a unit file, quoted and escaped."""
    special = sum(word.count(c) for c in "\"'\\%$")
    control = len(_CONTROL.findall(word))
    return len(word.encode()) + special + 3 * control + 3


def check_command_text(text: str) -> str:
    """Check a command that is kept as text (``on_failure``) and split later."""
    check([argument(word) for word in split(text)])
    return text
