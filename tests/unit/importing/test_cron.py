"""Crontabs as people write them, and the jobs they become."""

from __future__ import annotations

import pytest

from hostagent.errors import InputError
from hostagent.importing.cron import Kind, Source, import_cron
from hostagent.importing.jobs import Table
from tests.unit.importing.loading import crontab, jobs_of, said, system, tables_of

OPERATORS = """\
# Edit this file to introduce tasks to be run by cron.
# m h  dom mon dow   command
PATH=/usr/local/bin:/usr/bin:/bin
MAILTO="ops@example.org"

# Rotate the reports
30 6 * * 1-5   cd /srv/report && ./make --date=$(date +\\%F) >> make.log 2>&1
*/15 8-18 * * MON-FRI /usr/local/bin/poll --all   --quiet
0 22 * * 1-5   mail -s "It's 10pm" joe%Joe,%%Where are your kids?%
@daily         flock -n /tmp/sync.lock /usr/local/bin/sync.sh
15 3 1,15 * 5  nice -n 19 python3 /opt/audit/audit.py
@reboot        /usr/local/bin/tunnel
"""


def test_an_operators_crontab_becomes_jobs_that_do_the_same() -> None:
    """The shell where the line needs one, cron's directory, no catching up, the same times."""
    found = crontab(OPERATORS, zone="Europe/Berlin")
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    common: Table = {"timezone": "Europe/Berlin", "missed": "skip", "user": "anna"}
    common |= {"working_directory": "~", "environment": path}
    line = "cd /srv/report && ./make --date=$(date +%F) >> make.log 2>&1"
    sync = "flock -n /tmp/sync.lock /usr/local/bin/sync.sh"
    audit = "nice -n 19 python3 /opt/audit/audit.py"
    assert tables_of(found) == {
        "make": {
            "description": "Rotate the reports",
            "command": ["/bin/sh", "-c", line],
            "cron": "30 6 * * 1-5",
            **common,
        },
        "poll": {
            "command": "/usr/local/bin/poll --all --quiet",
            "cron": "*/15 8-18 * * MON-FRI",
            **common,
        },
        "mail": {
            "command": ["/bin/sh", "-c", 'mail -s "It\'s 10pm" joe'],
            "cron": "0 22 * * 1-5",
            **common,
            "systemd": {
                "service": {
                    "StandardInput": "data",
                    "StandardInputText": "Joe,\\n\\nWhere are your kids?",
                }
            },
        },
        "sync": {"command": ["/bin/sh", "-c", sync], "cron": "@daily", **common},
        "audit": {"command": ["/bin/sh", "-c", audit], "cron": "15 3 1,15 * 5", **common},
        "tunnel": {
            "command": "/usr/local/bin/tunnel",
            "on_boot": True,
            "run_on": "each",
            "user": "anna",
            "working_directory": "~",
            "environment": path,
        },
    }
    mail, reboot = said(found)
    assert mail == "anna:4:1: MAILTO is not carried over: what a job prints goes to the journal"
    assert reboot.startswith("anna:12:1: @reboot: what it starts is stopped when it ends")


def test_each_job_stands_below_the_line_it_is_from() -> None:
    """So that the crontab can be cleared line by line."""
    text = crontab("\n@daily /bin/x\n").toml("Title.")
    assert text.startswith("# Title.\n\n# anna:2\n[job.x]\n")


def test_a_system_crontab_names_the_user_in_each_line() -> None:
    """Root too: a job without a user has no HOME."""
    found = system("*/5 *\t* * *\troot\t/usr/sbin/dma -q\n@hourly www-data /usr/bin/php -v\n")
    users = {name: table["user"] for name, table in tables_of(found).items()}
    assert users == {"dma": "root", "php": "www-data"}


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        ("SHELL=/bin/bash", {"command": "/bin/x -a", "environment": {"SHELL": "/bin/bash"}}),
        ("SHELL=/bin/sh", {"command": "/bin/x -a"}),
        ("SHELL=/usr/bin/fish", {"command": ["/usr/bin/fish", "-c", "/bin/x -a"]}),
        ("HOME=/srv", {"working_directory": "/srv", "environment": {"HOME": "/srv"}}),
        ("LOGNAME=root", {"user": "anna"}),
        ("CRON_TZ=Asia/Tokyo", {"timezone": "Asia/Tokyo"}),
        ("TZ=Asia/Tokyo", {"environment": {"TZ": "Asia/Tokyo"}}),
        ("RANDOM_DELAY = 10", {"jitter": "10min"}),
        ("A = b c  ", {"environment": {"A": "b c"}}),
        ("A=' b '", {"environment": {"A": " b "}}),
        ('"A"="it\'s"', {"environment": {"A": "it's"}}),
        ("A=$HOME/x", {"environment": {"A": "$HOME/x"}}),
        ('MAILTO=""', {}),
        ("A=", {"environment": {"A": ""}}),
    ],
)
def test_a_setting_holds_for_the_lines_below_it(setting: str, keys: dict[str, object]) -> None:
    """And not for those above."""
    tables = tables_of(crontab(f"@daily /bin/x -a\n{setting}\n@daily /bin/x -a\n"))
    plain = {
        "command": "/bin/x -a",
        "cron": "@daily",
        "missed": "skip",
        "user": "anna",
        "working_directory": "~",
    }
    settings = {"environment": {"SHELL": "/usr/bin/fish"}} if "fish" in setting else {}
    assert tables == {"x": plain, "x-2": plain | keys | settings}


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("MAILTO=me\n@daily x", "1:1: MAILTO is not carried over: what a job prints goes to"),
        ("CRON_TZ=Asia/Tokyo\n@daily x", "1:1: CRON_TZ is taken for the time zone, Asia/Tokyo;"),
        ("CRON_TZ=Mars/X\n@daily x", '1:1: CRON_TZ: "Mars/X" is not a time zone; UTC is taken'),
        ("RANDOM_DELAY=x\n@daily x", '1:1: RANDOM_DELAY: "x" is no number of minutes'),
        ("@reboot x", "1:1: @reboot: what it starts is stopped when it ends"),
        ("@daily x >/dev/null &", "1:1: ends in &: what it leaves running is stopped"),
        ("@daily test -d /run/systemd/system || x", "1:1: asks whether systemd runs"),
        ("\nA-B=1\n@daily x", '3:1: the job is not carried over: environment.A-B: "A-B" is'),
        ("HOME=x\n@daily x", "2:1: the job is not carried over: working_directory: "),
        ("HOSTAGENT_JOB=x\n@daily x", "2:1: the job is not carried over: environment."),
    ],
)
def test_what_is_not_carried_over_is_named_with_its_line(text: str, warning: str) -> None:
    """Once, however many jobs it holds for."""
    found = crontab(text + "\n" + text.rpartition("\n")[2])
    assert sum(line.startswith(f"anna:{warning}") for line in said(found)) == 1, said(found)


def test_nothing_is_said_where_nothing_is_lost() -> None:
    """A warning that always comes is not read."""
    assert not said(crontab('MAILTO=""\nPATH=/bin\n*/5 * * * * x 2>&1 | y && z\n'))


def test_a_crontab_of_nobody_runs_as_root_and_says_so() -> None:
    """Unless it is for the user's own manager."""
    found = crontab("@daily /bin/x\n", owner=None)
    assert "user" not in tables_of(found)["x"]
    assert said(found) == ["anna:1:1: whose crontab this is is not known: its jobs run as root"]
    for owner in (None, "anna"):
        own = import_cron([Source("-", "@daily /bin/x\n", Kind.USER, owner)], "UTC", own=True)
        assert "user" not in tables_of(own)["x"]
        assert not own.warnings


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("* * * *", "1:1", "is neither a setting nor an entry: it has 4 of five fields"),
        ("60 * * * * x", "1:1", '"60 * * * *" is not a cron expression: a bad minute'),
        ("  */0 * * * * x", "1:3", "is not a cron expression"),
        ("0 0 30 2 * x", "1:1", "is not a cron expression"),
        ("@fortnightly x", "1:1", "an unknown nickname"),
        ("* * * * *", "1:10", "has no command"),
        ("@daily", "1:7", "has no command"),
        ("@daily %x", "1:8", "has no command"),
        ('A="b\n@daily x', "1:3", "the quote is not closed on its line"),
    ],
)
def test_a_line_that_is_none_is_refused_with_its_place(line: str, place: str, message: str) -> None:
    """Cron would pass over the whole file without a word."""
    with pytest.raises(InputError) as refusal:
        crontab(line + "\n")
    assert str(refusal.value).startswith(f"anna:{place}: ")
    assert message in str(refusal.value)


def test_all_bad_lines_of_all_files_are_named_at_once() -> None:
    """In the order of files and lines."""
    sources = [Source(name, "x\n@daily a\n@x\n", Kind.USER, "anna") for name in ("b", "a")]
    with pytest.raises(InputError) as refusal:
        import_cron(sources, "UTC")
    places = [(problem.path, problem.line) for problem in refusal.value.problems]
    assert places == [("b", 1), ("b", 3), ("a", 1), ("a", 3)]


def test_a_crontab_without_users_is_not_read_as_one_with_them() -> None:
    """A program in the place of the user is seen."""
    with pytest.raises(InputError, match=r"crontab:1:11: \"/bin/x\" is no user's name") as refusal:
        system("* * * * * /bin/x -a\n")
    assert refusal.value.problems[0].hint == "a crontab without users is read with --owner NAME"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/usr/local/bin/backup.sh --all", "backup"),
        ("cd /srv && ./run.py x", "run"),
        ("test -x /usr/bin/a && /usr/bin/a", "a"),
        ("[ -x /usr/bin/a ] && FOO=1 /usr/bin/b.pl", "b"),
        ("if [ -x /x ]; then nice -n10 /usr/sbin/logcheck -R; fi", "logcheck"),
        ("sudo -u www-data php /srv/cron.php", "cron"),
        ("php -f /srv/app/cron.php", "cron"),
        ("timeout 5m flock -n /tmp/l /usr/bin/rsync -a x y", "rsync"),
        ("cd / && run-parts --report /etc/cron.daily", "cron-daily"),
        ("/usr/bin/env python3 -m http.server", "python3"),
        ("ionice -c3 nice -n 19 bash /root/x.sh", "x"),
        ("true", "job"),
        ("{ }", "job"),
        ("/srv/übung", "bung"),
    ],
)
def test_a_job_is_called_after_what_does_the_work(line: str, name: str) -> None:
    """Not after what asks, waits or goes somewhere first."""
    assert [*jobs_of(crontab(f"@daily {line}\n"))] == [name]


def test_a_package_in_cron_d_gives_its_name() -> None:
    """To its one job, or to each of them."""
    assert [*jobs_of(system("@daily root /bin/x\n", "/etc/cron.d/php"))] == ["php"]
    text = "@daily root /bin/x\n@daily root php-y\n@daily root /bin/x\n"
    assert [*jobs_of(system(text, "/etc/cron.d/php"))] == ["php-x", "php-y", "php-x-2"]


@pytest.mark.parametrize(
    ("comment", "description"),
    [
        ("# Fetch mail", "Fetch mail"),
        ("## Fetch mail ", "Fetch mail"),
        ("# Fetch mail\n", None),
        ("# Two\n# lines", None),
        ("# m h  dom mon dow   command", None),
        ("# 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/", None),
        ("#@daily /bin/y", None),
        ("# ------", None),
        ("#MAILTO=me", None),
        ("# Fetch mail\nA=b", None),
    ],
)
def test_the_sentence_right_above_a_line_describes_it(
    comment: str, description: str | None
) -> None:
    """Headings and what is commented out do not."""
    table = tables_of(crontab(f"{comment}\n@daily /bin/x\n"))["x"]
    assert table.get("description") == description
