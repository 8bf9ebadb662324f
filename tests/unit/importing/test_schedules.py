"""When imported jobs are due: what cronsim says that cron does, for any schedule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hostagent.errors import InputError, Problem
from hostagent.schedule import occurrences
from tests.unit.importing.loading import crontab, jobs_of

START = datetime(2027, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=366)  # with the 29th of February 2028
MOST = 1000
MONTHS = ["jan", "Feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "DEC"]
DAYS = ["sun", "Mon", "TUE", "wed", "thu", "fri", "sat"]


@st.composite
def fields(draw: st.DrawFn, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """A field: stars, numbers, names, ranges and steps, and lists of these."""

    def number(value: int) -> str:
        # A name may stand for its number, but not for Sunday as a 7.
        is_named = names and value - low < len(names) and draw(st.booleans())
        return names[value - low] if is_named else str(value)

    def element() -> str:
        kind = draw(st.sampled_from(["*", "number", "number", "range"]))
        first = draw(st.integers(low, high))
        if kind == "number":
            return number(first)
        last = draw(st.integers(first, high))
        text = "*" if kind == "*" else f"{number(first)}-{number(last)}"
        step = draw(st.integers(1, high) | st.none())
        return text if step is None else f"{text}/{step}"

    return ",".join(element() for _ in range(draw(st.integers(1, 3))))


SCHEDULES = st.one_of(
    st.tuples(
        fields(0, 59),
        fields(0, 23),
        fields(1, 31),
        fields(1, 12, tuple(MONTHS)),
        fields(0, 7, tuple(DAYS)),
    ).map(" ".join),
    st.sampled_from(["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly"]),
)
BLANKS = st.sampled_from([" ", "\t", "   ", " \t"])


def cronsims(cron: str, after: datetime) -> Iterator[datetime]:
    """What cronsim gives from there to the end of the year."""
    nicknames = {"@midnight": "0 0 * * *", "@hourly": "0 * * * *", "@daily": "0 0 * * *"}
    nicknames |= {"@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}
    simulated = CronSim(nicknames.get(cron, cron), after)
    return itertools.takewhile(lambda at: at <= START + YEAR, simulated)


@settings(max_examples=150, deadline=None)
@given(SCHEDULES, BLANKS, st.integers(0, 366 * 24 * 60))
def test_an_imported_job_is_due_when_cron_would_run_it(cron: str, blank: str, minutes: int) -> None:
    """Over a year in a zone without clock changes: 1000 times from its start and from any minute.

    Ranges that end on a Sunday as a name run backwards, and days that no month has never come:
    those crontabs are refused, as another test shows.
    """
    try:
        expected = list(itertools.islice(cronsims(cron, START), MOST))
    except CronSimError:
        assume(False)
    found = crontab(f"{blank.join(cron.split())}{blank}/bin/x\n")
    schedule = jobs_of(found)["x"].schedule
    until = START + YEAR
    assert list(itertools.islice(occurrences.between(schedule, START, until), MOST)) == expected
    after = START + timedelta(minutes=minutes)
    later = list(itertools.islice(cronsims(cron, after), MOST))
    assert list(itertools.islice(occurrences.between(schedule, after, until), MOST)) == later


def problems(text: str) -> list[Problem]:
    """What an import refuses of a crontab; what it takes is a jobs.toml that compiles."""
    try:
        found = crontab(text)
    except InputError as error:
        return error.problems
    entries = [line for line in text.split("\n") if line.lstrip().startswith("@")]
    assert jobs_of(found) or found.warnings or "=" in text or not entries
    return []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
def test_any_text_is_imported_or_refused_with_its_places(lines: list[str]) -> None:
    """Settings, entries, neither."""
    text = "\n".join(f"@daily {line}" if index % 2 else line for index, line in enumerate(lines))
    places = [problem.line for problem in problems(text)]
    assert all(1 <= place <= text.count("\n") + 1 for place in places)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=40))
def test_any_command_is_carried_over_or_named(command: str) -> None:
    """Whatever is in it: control characters, quotes, percent signs."""
    assert {problem.message for problem in problems(f"@daily {command}\n")} <= {"has no command"}
