"""What jobs.toml comes to mean: merging, origins, defaults, and the schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostagent.errors import InputError
from hostagent.model import Backoff, Form, Job, Overlap
from hostagent.schedule.interval import default_anchor
from hostagent.spec.load import Loaded, load
from hostagent.spec.spans import parse_span


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A function from the text of a jobs.toml to what was loaded."""
    monkeypatch.chdir(tmp_path)

    def function(text: str) -> Loaded:
        Path("jobs.toml").write_text(text)
        return load(Path("jobs.toml"), check_host=False)

    return function


def job_of(loaded: Loaded, name: str = "j") -> Job:
    """The job of that name."""
    return next(job for job in loaded.spec.jobs if job.name == name)


MERGED = """\
[defaults]
retries = 1
nice = 5
environment = { A = "defaults", B = "defaults" }
calendar = "daily"
[profile.base]
nice = 6
retries = 2
environment = { B = "base", C = "base" }
[profile.left]
extends = "base"
nice = 7
[profile.right]
extends = "base"
umask = "0077"
[job.j]
command = "/usr/bin/true"
extends = ["left", "right"]
every = "1h"
environment = { C = "job" }
[job.j.systemd.service]
LimitNOFILE = 64
"""


def test_the_nearest_layer_wins(read) -> None:  # type: ignore[no-untyped-def]
    """Defaults, then profiles (each once, its parents first), then the job; tables are merged."""
    loaded = read(MERGED)
    job = job_of(loaded)
    assert (job.retries, job.nice, job.umask) == (2, 7, "0077")
    assert dict(job.environment) == {"A": "defaults", "B": "base", "C": "job"}
    assert job.schedule.form is Form.EVERY
    assert job.passthrough == (("service", "LimitNOFILE", ("64",)),)


def test_every_value_has_an_origin(read) -> None:  # type: ignore[no-untyped-def]
    """Path, line and table of what was written; the rule of what was derived."""
    origins = {key: str(origin) for key, origin in read(MERGED).origins["j"].items()}
    assert origins["nice"] == "jobs.toml:12 [profile.left]"
    assert origins["retries"] == "jobs.toml:8 [profile.base]"
    assert origins["environment.A"] == "jobs.toml:4 [defaults]"
    assert origins["environment.C"] == "jobs.toml:20 [job.j]"
    assert origins["systemd.service.LimitNOFILE"] == "jobs.toml:22 [job.j]"
    assert "calendar" not in origins
    assert origins["timeout"].startswith("default: 0.9 of the period")


@pytest.mark.parametrize(
    ("schedule", "jitter", "window", "timeout"),
    [
        ('calendar = "daily"', "2min", "1d", "21h 36min"),
        ('calendar = "*:0/10"', "30s", "1h", "9min"),
        ('cron = "* * * * *"', "3s", "1h", "54s"),
        ('calendar = "yearly"', "2min", "31d", "1d"),
        ('every = "36h"', "0", "36h", "1d"),
        ('every = "1h"\nanchor = 2026-01-01', "2min", "1h", "54min"),
        ("at = 2027-01-01", "0", "31d", "1d"),
        ('on_boot = true\nrun_on = "each"', "0", "31d", "1d"),
    ],
)
def test_defaults_follow_from_the_period(  # type: ignore[no-untyped-def]
    read, schedule: str, jitter: str, window: str, timeout: str
) -> None:
    """jitter min(5 %, 2min), window one period in 1h to 31d, timeout min(0.9 period, 24h)."""
    job = job_of(read(f'[job.j]\ncommand = "/usr/bin/true"\n{schedule}\n'))
    assert job.schedule.jitter == parse_span(jitter)
    assert job.catch_up_window == parse_span(window)
    assert job.timeout == parse_span(timeout)


def test_the_zone_of_a_calendar(read) -> None:  # type: ignore[no-untyped-def]
    """Its own suffix, else timezone, else UTC; a nearer suffix wins over an inherited timezone."""
    loaded = read(
        '[defaults]\ncommand = "/usr/bin/true"\ntimezone = "Europe/Paris"\n'
        '[job.a]\ncalendar = ["01:00 Asia/Tokyo", "02:00 Asia/Tokyo"]\n'
        '[job.b]\ncalendar = "daily"\n'
        '[job.c]\nevery = "1h"\n'
    )
    assert job_of(loaded, "a").schedule.zone == "Asia/Tokyo"
    assert job_of(loaded, "a").schedule.calendar == ("01:00", "02:00")
    assert job_of(loaded, "b").schedule.zone == "Europe/Paris"
    assert job_of(loaded, "c").schedule.zone == "UTC"


def test_instants_without_an_offset_are_meant_in_the_zone(read) -> None:  # type: ignore[no-untyped-def]
    """And are UTC in the model."""
    job = job_of(
        read('[job.j]\ncommand = "x"\ntimezone = "Europe/Berlin"\nat = 2027-01-01T12:00:00\n')
    )
    assert job.schedule.at == datetime(2027, 1, 1, 11, tzinfo=UTC)


def test_a_renamed_job_keeps_its_anchor(read) -> None:  # type: ignore[no-untyped-def]
    """The anchor that the old name had."""
    job = job_of(read('[job.j]\ncommand = "x"\nevery = "1h"\nrenamed_from = "old"\n'))
    assert job.schedule.anchor == default_anchor("old", timedelta(hours=1))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"1min"', Backoff(timedelta(minutes=1))),
        ('"2h"', Backoff(timedelta(hours=2), most=timedelta(hours=2))),
        ('["1s", "1min"]', Backoff(steps=(timedelta(seconds=1), timedelta(minutes=1)))),
        ('{ first = "1s", factor = 3 }', Backoff(timedelta(seconds=1), 3.0)),
    ],
)
def test_backoff_has_three_spellings(read, written: str, meant: Backoff) -> None:  # type: ignore[no-untyped-def]
    """A first wait, all waits, or a table."""
    job = job_of(read(f'[job.j]\ncommand = "x"\ncalendar = "daily"\nbackoff = {written}\n'))
    assert job.backoff == meant


def test_an_array_is_taken_literally(read) -> None:  # type: ignore[no-untyped-def]
    """Nothing in it is special, and 100 kB go through."""
    words = ["/bin/echo", "%n $X ${Y}", '"\\', "a\\nb", ";", "x" * 100_000]
    text = ", ".join(f"'{word}'" for word in words)
    loaded = read(f'[job.j]\ncommand = [{text}]\ncalendar = "daily"\noverlap = "queue"\n')
    assert job_of(loaded).command == tuple(words)
    assert job_of(loaded).overlap is Overlap.QUEUE


def test_an_argument_is_refused_from_128_kib_on(read) -> None:  # type: ignore[no-untyped-def]
    """The kernel's bound, with the place of the argument."""
    with pytest.raises(InputError, match=r"jobs.toml:2:25: job.j.command\[1\]: is 131072 bytes"):
        read(f'[job.j]\ncommand = ["/bin/echo", "{"x" * 131072}"]\ncalendar = "daily"\n')


def test_a_secret_is_in_no_message(read) -> None:  # type: ignore[no-untyped-def]
    """Values of environment and credentials are not repeated, whatever is wrong with them."""
    with pytest.raises(InputError) as caught:
        read(
            '[job.j]\ncommand = "x"\ncalendar = "daily"\n'
            '[job.j.environment]\nA = 4711\nB = ["4711"]\nC = "4711\\u0000"\n"D D" = "4711"\n'
        )
    assert len(caught.value.problems) == 4
    assert "4711" not in str(caught.value)


def test_a_long_chain_and_many_diamonds_are_quick(read) -> None:  # type: ignore[no-untyped-def]
    """Each profile is merged once for each job, however it is reached."""
    profiles = "[profile.p0]\nnice = 1\n" + "".join(
        f'[profile.p{i}]\nextends = ["p{i - 1}", "p{max(i - 2, 0)}"]\n'
        if i > 1
        else '[profile.p1]\nextends = "p0"\n'
        for i in range(1, 2000)
    )
    loaded = read(f'{profiles}[job.j]\ncommand = "x"\ncalendar = "daily"\nextends = "p1999"\n')
    assert job_of(loaded).nice == 1
