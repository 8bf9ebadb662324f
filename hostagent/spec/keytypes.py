"""The types of the values in jobs.toml: how each is read from TOML, checked, and described.

Each is a pydantic annotation that turns what ``tomllib`` gives into what the model needs and
raises ``WrongValueError`` with a hint where it cannot.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from hostagent import body
from hostagent.model import LABEL
from hostagent.schedule import blackout
from hostagent.schedule.errors import CalendarError
from hostagent.schedule.zones import zone_of
from hostagent.spec import command as commands
from hostagent.spec.sizes import parse_percent, parse_size
from hostagent.spec.spans import parse_span
from hostagent.spec.values import (
    MAX_ARGUMENT,
    WrongValueError,
    absolute,
    argument,
    characters,
    filled,
    kind_of,
    line,
    shown,
)

T = TypeVar("T")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_UNIT_SUFFIXES = (".service", ".timer", ".slice", ".target", ".socket", ".path", ".mount", ".d")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CREDENTIAL = re.compile(r"[!-.0-9;-\[\]-~]{1,255}")  # printable; no / : \
_HOST = re.compile(r"[A-Za-z0-9._*?\[\]!-]{1,253}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,255}\$?")
_EXIT_NAMES = frozenset(
    {
        "SUCCESS",
        "FAILURE",
        "INVALIDARGUMENT",
        "NOTIMPLEMENTED",
        "NOPERMISSION",
        "NOTINSTALLED",
        "NOTCONFIGURED",
        "NOTRUNNING",
        "USAGE",
        "DATAERR",
        "NOINPUT",
        "NOUSER",
        "NOHOST",
        "UNAVAILABLE",
        "SOFTWARE",
        "OSERR",
        "OSFILE",
        "CANTCREAT",
        "IOERR",
        "TEMPFAIL",
        "PROTOCOL",
        "NOPERM",
        "CONFIG",
    }
)


def name(text: str) -> str:
    """Check the name of a job, a profile, a pool or a notify table."""
    if not NAME.fullmatch(text):
        raise WrongValueError(
            f"{shown(text)} is not a name",
            "use letters, digits, _ . and -, a letter or digit first, at most 100 characters",
        )
    return text


def job_name(text: str) -> str:
    """Check the name of a job, which becomes the name of its units."""
    name(text)
    if text.endswith(_UNIT_SUFFIXES):
        raise WrongValueError(f"{shown(text)} ends as a unit's name does; that is added by apply")
    return text


def each(items: Iterable[tuple[str | int, Any]], check: Callable[[Any, Any], T]) -> list[T]:
    """``check(key, item)`` for all items; what it refuses is raised together, each at its place."""
    checked: list[T] = []
    wrong: list[InitErrorDetails] = []
    for key, item in items:
        try:
            checked.append(check(key, item))
        except WrongValueError as problem:
            error = PydanticCustomError("value_error", "{error}", {"error": problem})
            wrong.append({"type": error, "loc": (key,), "input": None})
    if wrong:
        raise ValidationError.from_exception_data("table", wrong)
    return checked


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else _array(value)


def _command(value: Any) -> Any:
    return commands.split(value) if isinstance(value, str) else _array(value)


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise WrongValueError(f"must be text in quotes or an array, not {kind_of(value)}")
    return value


def _text(value: Any) -> str:
    """Check that a value which may be a secret is text, without showing it."""
    if not isinstance(value, str):
        raise WrongValueError(
            f"must be text in quotes, not {kind_of(value)}", 'put it in quotes: "…"'
        )
    return value


def _distinct(values: list[str]) -> list[str]:
    seen: set[str] = set()

    def check(_: int, value: str) -> None:
        if value in seen:
            raise WrongValueError(f"{shown(value)} stands here twice")
        seen.add(value)

    each(enumerate(values), check)
    return values


def _not_empty(values: list[str]) -> list[str]:
    if not values:
        raise WrongValueError("is an empty array", "leave the key out, or name at least one")
    return values


def _positive_span(value: Any) -> timedelta:
    span = parse_span(value)
    if span <= timedelta(0):
        raise WrongValueError(f"{shown(value)} is no time at all", 'write for example "5min"')
    return span


def _seconds(value: Any) -> timedelta:
    span = _positive_span(value)
    if span % timedelta(seconds=1):
        raise WrongValueError(f"{shown(value)} is not a whole number of seconds")
    return span


def _when(value: Any) -> datetime:
    """An instant; naive where no offset was written (it is then meant in the job's zone)."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise WrongValueError(
            "is not a date and time", "write for example 2026-12-24T18:00:00 or 2026-12-24"
        )
    if not 1970 < value.year < 2200:
        raise WrongValueError(f"{value.year} is not a year between 1971 and 2199")
    return value


def _environment(values: dict[str, Any]) -> dict[str, str]:
    each(values.items(), _variable)
    return values


def _variable(key: str, value: Any) -> None:
    """Check one variable. Its value may be a secret: no message shows it."""
    if not _VARIABLE.fullmatch(key):
        raise WrongValueError(
            f"{shown(key)} is not the name of a variable",
            "use letters, digits and _, no digit first",
        )
    if key.startswith("HOSTAGENT_"):
        raise WrongValueError(f"{key} is one of the variables that every run gets from the agent")
    characters(_text(value))
    size = len(f"{key}={value}".encode())
    if size > MAX_ARGUMENT:
        raise WrongValueError(
            f"is {size} bytes long; the kernel passes at most {MAX_ARGUMENT} in one variable",
            "put the data into a file and pass its path",
        )


def _environment_file(text: str) -> str:
    absolute(text.removeprefix("-"))
    return text


def _credentials(values: dict[str, Any]) -> dict[str, str]:
    each(values.items(), _credential)
    return values


def _credential(key: str, value: Any) -> None:
    if not _CREDENTIAL.fullmatch(key) or key in {".", ".."}:
        raise WrongValueError(f"{shown(key)} is not the name of a credential")
    if "/" in _text(value) or not _CREDENTIAL.fullmatch(
        value
    ):  # else: one that the manager was given
        absolute(value)
        if "\\" in value or " " in value:
            why = "systemd takes no credential from a path with spaces or backslashes"
            raise WrongValueError(f"{shown(value)}: {why}")


def _exit_status(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 255:
            raise WrongValueError(f"{value} is not an exit status; those go from 0 to 255")
        return str(value)
    if isinstance(value, str):
        if value in _EXIT_NAMES or (value.isdecimal() and len(value) < 4 and int(value) <= 255):
            return value
        if value in signal.Signals.__members__ and value.startswith("SIG"):
            return value
        if f"SIG{value}" in signal.Signals.__members__:
            return f"SIG{value}"
    raise WrongValueError(
        f"{shown(value)} is neither an exit status nor a signal",
        'write for example [1, "SIGTERM", "TEMPFAIL"]; systemd.exec(5) lists the names',
    )


def _statuses(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _umask(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise WrongValueError("must be text, since it is octal", 'write for example "0027"')
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise WrongValueError(f"{shown(value)} is not a umask", 'write for example "0027"')
    return value


def _directory(text: str) -> str:
    return text if text == "~" else absolute(text)


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise WrongValueError(f"{shown(text)} is not the name of a user or group")
    return text


def _matching(pattern: re.Pattern[str], what: str, hint: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise WrongValueError(f"{shown(text)} is not {what}", hint)
        return text

    return AfterValidator(check)


def _scope(text: str) -> str:
    filled(text)
    escaped = sum(
        1 if c.isascii() and (c.isalnum() or c in ":_./") else 4 * len(c.encode()) for c in text
    )
    if escaped > 130:
        raise WrongValueError(f"{shown(text)}: a scope has to fit into the name of a unit")
    return text


def _url(text: str) -> str:
    """Check an address, which may be a secret: no message shows it."""
    try:
        parts = urlsplit(line(text))
        is_whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        is_whole = False
    if not is_whole or not re.fullmatch(r"[!-~]+", text):
        raise WrongValueError(
            "is not an http or https URL", 'write for example "https://hc.example/…"'
        )
    return text


def _address(text: str) -> str:
    """Check an address for apprise, which may be a secret: no message shows it."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+", text):
        hint = 'write for example "ntfy://ntfy.sh/topic"; apprise lists all services it knows'
        raise WrongValueError("is not an address that apprise could know", hint)
    return text


def _body(text: str) -> str:
    try:
        body.check(text)
    except body.BodyError as error:
        raise WrongValueError(error.message, error.hint) from error
    return text


def _mail(text: str) -> str:
    if not re.fullmatch(r"[^\s@,;]+@[^\s@,;]+|[a-z_][a-z0-9_-]*", line(text)):
        raise WrongValueError(f"{shown(text)} is not a mail address")
    return text


def _range(text: str) -> str:
    try:
        blackout.check(text, "UTC")
    except CalendarError as error:
        message = error.message.replace("a blackout range", "a range of times")
        raise WrongValueError(message, error.hint) from error
    return text


def _zone(text: str) -> str:
    try:
        zone_of(text)
    except CalendarError as error:
        raise WrongValueError(error.message, error.hint) from error
    return text


def _backoff(value: Any) -> Any:
    """Bring the three ways of writing it into the form of the table."""
    if isinstance(value, list):
        return {"steps": value}
    return value if isinstance(value, dict) else {"first": value}


_SPAN_SCHEMA = {
    "anyOf": [{"type": "string", "examples": ["90s", "5min", "1h 30min"]}, {"type": "integer"}]
}
_MANY = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_WHEN_SCHEMA = {"type": "string", "examples": ["2026-12-24T18:00:00"]}

Sentence = Annotated[str, AfterValidator(characters), Field(max_length=4000)]
Filled = Annotated[str, AfterValidator(filled)]
Name = Annotated[str, AfterValidator(name)]
JobName = Annotated[str, AfterValidator(job_name)]
Argument = Annotated[str, AfterValidator(argument)]
Command = Annotated[
    list[Argument],
    BeforeValidator(_command),
    AfterValidator(commands.check),
    WithJsonSchema(_MANY),
]
Texts = Annotated[
    list[Filled],
    BeforeValidator(_one_or_many),
    AfterValidator(_not_empty),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Names = Annotated[
    list[Name], BeforeValidator(_one_or_many), AfterValidator(_distinct), WithJsonSchema(_MANY)
]
Alarms = Annotated[
    list[
        Literal[
            "near_interval",
            "late",
            "too_short",
            "overran",
            "hung",
            "silent",
            "failed",
            "quarantined",
        ]
    ],
    BeforeValidator(_one_or_many),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Hosts = Annotated[
    list[Annotated[str, _matching(_HOST, "a host's name or glob", 'write for example "db*"')]],
    BeforeValidator(_one_or_many),
    AfterValidator(_not_empty),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Labels = Annotated[
    list[Annotated[str, _matching(LABEL, "a label", 'write "name" or "name=value"')]],
    BeforeValidator(_one_or_many),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Scopes = Annotated[
    list[Annotated[str, AfterValidator(_scope)]],
    AfterValidator(_not_empty),
    AfterValidator(_distinct),
]
Span = Annotated[timedelta, BeforeValidator(parse_span), WithJsonSchema(_SPAN_SCHEMA)]
PositiveSpan = Annotated[timedelta, BeforeValidator(_positive_span), WithJsonSchema(_SPAN_SCHEMA)]
Seconds = Annotated[timedelta, BeforeValidator(_seconds), WithJsonSchema(_SPAN_SCHEMA)]
When = Annotated[datetime, BeforeValidator(_when), WithJsonSchema(_WHEN_SCHEMA)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "examples": ["512M", "2G"]}, {"type": "integer"}]}
    ),
]
Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "examples": ["50%", "200%"]}),
]
Weight = Annotated[int, Field(ge=1, le=10000)]
Environment = Annotated[dict[str, Any], AfterValidator(_environment), WithJsonSchema(_STRINGS)]
EnvironmentFiles = Annotated[
    list[Annotated[str, AfterValidator(_environment_file)]],
    BeforeValidator(_one_or_many),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Credentials = Annotated[dict[str, Any], AfterValidator(_credentials), WithJsonSchema(_STRINGS)]
ExitStatuses = Annotated[
    list[Annotated[str, BeforeValidator(_exit_status)]],
    BeforeValidator(_statuses),
    WithJsonSchema(
        {"type": ["string", "integer", "array"], "items": {"type": ["string", "integer"]}}
    ),
]
Umask = Annotated[str, BeforeValidator(_umask), WithJsonSchema({"type": "string"})]
Directory = Annotated[str, AfterValidator(_directory)]
User = Annotated[str, AfterValidator(_user)]
Url = Annotated[str, AfterValidator(_url)]
Body = Annotated[str, AfterValidator(_body), Field(max_length=20_000)]
Address = Annotated[str, AfterValidator(_address)]
Mail = Annotated[str, AfterValidator(_mail)]
Ranges = Annotated[
    list[Annotated[str, AfterValidator(_range)]],
    BeforeValidator(_one_or_many),
    AfterValidator(_not_empty),
    AfterValidator(_distinct),
    WithJsonSchema(_MANY),
]
Zone = Annotated[str, AfterValidator(_zone)]
BackoffForm = BeforeValidator(_backoff)
