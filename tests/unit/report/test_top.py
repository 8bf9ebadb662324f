"""A picture of the host, drawn (report.top, report.picture)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hostagent.host.pressure import Averages
from hostagent.policy.backlog import Memory
from hostagent.report.picture import Picture, Running, picture_of
from hostagent.report.top import draw, starts
from tests import answers

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
GIB = 2**30
KERNEL = Averages(12.4, 0.0, None, 1.25, Memory(4 * GIB, 3 * GIB))


def stamp(at: datetime) -> str:
    """As the agent writes it."""
    return at.isoformat().replace("+00:00", "Z")


def using(name: str, minutes: int = 1, **changes: Any) -> Any:
    """A run of that age."""
    started = stamp(T - timedelta(minutes=minutes))
    return answers.using(run_id=f"{name}.20261121T010000Z", started=started, **changes)


def picture(runs: list[Any] = [], held: list[Any] = [], **status: Any) -> Picture:  # noqa: B006 -- read only
    """What the agent said at ``T``."""
    return picture_of(
        T,
        answers.status(**status),
        answers.going(read_at=stamp(T), runs=runs),
        answers.backlog(held=held, level=4, used=2),
        KERNEL,
        2,
    )


def lines(one: Picture, width: int = 200, height: int | None = None) -> list[str]:
    """Its text."""
    return [line.text for line in draw(one, None, width, height)]


def line(one: Picture, word: str) -> str:
    """The one line that has ``word``."""
    (found,) = (text for text in lines(one) if word in text)
    return found


def test_the_head_says_how_the_host_is() -> None:
    """What the kernel does not tell is left out."""
    one = picture(next_job="report", next_at=stamp(T + timedelta(minutes=5)))
    assert line(one, "pressure") == "pressure CPU 12 %, memory 0 % of the last 10 s"
    assert line(one, "load ") == "load     1.25 on 2 cores, 3 GiB of 4 GiB memory available"
    assert line(one, "catch-up") == "catch-up 2 of level 4, at most 8"
    assert line(one, "next").endswith("(in 5min)")
    blind = replace(one, kernel=Averages(None, None, None, None, None), cores=1, next_at=None)
    assert line(blind, "pressure") == "pressure this kernel does not tell it (PSI)"
    assert line(blind, "load ") == "load     1 core"
    assert line(blind, "next") == "next     nothing is due ever again"


def test_lanes_and_pools_say_what_runs_in_them_and_what_waits() -> None:
    """Of a lane without either nothing is said."""
    going = answers.going(
        read_at=stamp(T),
        lanes=[answers.slots("normal", 2, held=3), answers.slots("bulk", 0)],
        pools=[answers.slots("db", 2, used=1.5, most=2, held=1), answers.slots("net", 1)],
    )
    one = picture_of(T, answers.status(), going, answers.backlog(), KERNEL, 2)
    assert line(one, "lanes") == "lanes    normal: 2 running, 3 held"
    assert line(one, "pools") == "pools    db: 1.5 of 2 places, 1 held; net: 1 running"
    assert line(picture(), "lanes") == "lanes    nothing runs, nothing is held"


def test_a_run_is_a_line_with_what_it_uses() -> None:
    """What nobody counts is a dash; what may hang says why."""
    runs = [
        using("copy", 90, cpu_s=60.0, memory=3 * GIB, catches_up=True),
        using("quiet", cpu_s=None, memory=None),
    ]
    one = picture(
        runs,
        hung=["quiet.20261121T010000Z"],
        hung_since=[stamp(T)],
        hung_because=["has used no CPU time"],
    )
    *_, heading, copy, quiet, why, _, _ = lines(one)
    assert heading.split("  ")[0] == "FOR"
    run = "copy.20261121T010000Z"
    assert " ".join(copy.split()) == f"1h 30min 1.1 60.0 s 3 GiB normal catch-up {run}"
    assert quiet.split()[1:4] == ["-", "-", "-"]
    assert quiet.endswith("quiet.20261121T010000Z")
    assert why == "  hung? has used no CPU time"


def test_cpu_use_is_that_since_the_picture_before() -> None:
    """In the first one that since the start; after a clock was set back, nobody knows."""
    run = Running("a", T - timedelta(seconds=100), 25.0, None, "normal", False, "")
    before = replace(picture(), running=(run,), read_at=T)
    later = replace(run, cpu_s=28.0)
    now = replace(before, running=(later,), read_at=T + timedelta(seconds=2))
    assert before.cpu_of(run, None) == 25
    assert now.cpu_of(later, before) == 150
    assert now.cpu_of(later, picture()) == pytest.approx(100 * 28 / 102)
    assert replace(now, read_at=T).cpu_of(later, before) is None


def test_what_is_held_says_when_it_starts_and_below_it_why() -> None:
    """Whole, however narrow the terminal is."""
    reason = "held: level 4 is used up by 4 runs that catch up, and the host's CPUs are busy"
    one = picture(
        held=[answers.held("report@eu", reason=reason, due=stamp(T - timedelta(hours=3)))]
    )
    *_, heading, held, why, more = lines(one, width=60)
    assert heading.split() == ["DUE", "STARTS", "HELD"]
    assert held == "3h ago  -       report@eu"
    assert f"{why.strip()} {more.strip()}" == reason.removeprefix("held: ")


def test_an_estimate_says_that_it_is_one() -> None:
    """And where only the earliest time is known, why."""
    told = f"{T.astimezone():%H:%M}"
    assert starts(None, "", T) == "-"
    assert starts(T, "", T) == f"about {told}"
    assert starts(T, "settles", T) == f"not before {told} (settles)"
    assert starts(T, "", T - timedelta(days=3)) == f"about {T.astimezone():%a %Y-%m-%d %H:%M}"


def test_what_is_in_the_way_is_said_first() -> None:
    """Four of it; status says the rest."""
    one = picture(barred="the store is not reached", paused=[f"job {n}" for n in range(5)])
    text = "\n".join(lines(one))
    assert "barred   the store is not reached" in text
    assert "paused   job 2" in text
    assert "job 3" not in text
    assert "and 2 more: hostagent status" in text


@pytest.mark.parametrize("width", [1, 20, 80])
@pytest.mark.parametrize("height", [1, 8, 12, 20, 24, 50])
def test_it_fits_whatever_the_terminal_is(width: int, height: int) -> None:
    """No line is wider, and there are no more lines."""
    runs = [using(f"job-{n}", n) for n in range(60)]
    one = picture(runs, [answers.held(f"held-{n}", reason="held: x " * 30) for n in range(40)])
    found = lines(one, width, height)
    assert len(found) <= height
    assert max(map(len, found)) <= width


def test_what_there_is_no_room_for_is_counted() -> None:
    """Runs and what is held share the lines; where one needs few, the other has the rest."""
    runs = [using(f"job-{n}", n) for n in range(60)]
    held = [answers.held(f"held-{n}") for n in range(40)]
    both = lines(picture(runs, held), height=30)
    shown = sum("job-" in text for text in both), sum("held-" in text for text in both)
    assert f"and {60 - shown[0]} more" in both
    assert f"and {40 - shown[1]} more" in both
    assert min(shown) >= 4
    alone = lines(picture(runs), height=30)
    assert sum("job-" in text for text in alone) > 2 * shown[0] - 4
    assert "Nothing is held." in alone[-1]
    assert len(lines(picture(runs, held))) > 140
