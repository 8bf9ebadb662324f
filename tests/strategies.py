"""Hypothesis strategies for specs: what an administrator may write, every key, every form.

``specs()`` gives what ``tomli_w`` can dump and ``hostagent.spec.load`` must take without a
problem. It builds valid files by construction: no filter, no knowledge of what was refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from hypothesis import strategies as st

from hostagent.model import NONCHARACTER

Table = dict[str, Any]

_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_.-"
_HOSTS = ["db1", "db*", "web-[12]", "!canary", "node.example.org", "?"]
_ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]
_CALENDARS = [
    "daily",
    "hourly",
    "Mon..Fri 09:00",
    "*-*-* 02:30",
    "*-*~1 04:00",
    "Sat,Sun *-*-* 05:20:30",
    "*-01,07-01",
    "*:0/15",
    "quarterly",
    "*-2-29 12:00",
]
_CRONS = [
    "*/5 * * * *",
    "0 2 * * *",
    "30 4 1,15 * 5",
    "@daily",
    "0 0 29 2 *",
    "5 0 * jan-mar mon-fri",
]
_SPANS = ["90s", "5min", "1h 30min", "2d", "1.5h", "45", 90, "1w 2d"]


def _is_plain(char: str) -> bool:
    return not NONCHARACTER.match(char)


anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
"""Text an argument can carry: all but NUL."""

nasty = anything | st.sampled_from(
    [
        "%n %% %h",
        "$HOME ${X} $$",
        "\"'\\",
        "a\nb\n",
        "\t",
        "\\",
        "-x",
        ";",
        "# no",
        "é😀",
        " a ",
        "\nExecStartPre=/bin/false",
        "%",
        "x" * 5000,
    ]
)
"""The same, with what an escaping gets wrong."""

text = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cn", "Co"]), max_size=40
) | st.sampled_from(["%n", "$HOME", "it's", "a\nb", "\\"])
"""Text that systemd's own checks let pass in variables and descriptions."""

line = st.text(
    st.characters(exclude_characters="\\", exclude_categories=["Cc", "Cs", "Cn", "Co", "Z"]),
    min_size=1,
    max_size=20,
) | st.sampled_from(["%n", 'it\'s "so"', "a b", "$X"])
"""Text on one line, with nothing around it that systemd would strip."""

names = st.text(_NAME_CHARS, min_size=1, max_size=12).map(lambda t: "n" + t + "0")
paths = line.map(lambda t: "/srv/" + t.strip().replace("..", "_"))
spans = st.sampled_from(_SPANS)
instants = st.integers(1_767_225_600, 1_893_456_000).map(lambda t: datetime.fromtimestamp(t, UTC))
programs = st.sampled_from(["/usr/bin/true", "/bin/echo", "/opt/a b/run", "/usr/bin/é%n$x", "true"])
sizes = st.sampled_from(["512M", "2G", "1.5G", 1_073_741_824])


def _one_or_many(one: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return one | st.lists(one, min_size=1, max_size=3, unique=True)


def _commands() -> st.SearchStrategy[Any]:
    array = st.builds(lambda p, a: [p, *a], programs, st.lists(nasty, max_size=4))
    plain = st.sampled_from(["/bin/echo 'a b' \"c\\td\" \\x41", "/usr/bin/true", "true --x=\\;"])
    return array | plain


def _variables() -> st.SearchStrategy[dict[str, str]]:
    keys = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
    return st.dictionaries(keys, text, max_size=3)


def _schedules() -> st.SearchStrategy[Table]:
    """Exactly one form, with the keys that go with it."""
    zone = st.sampled_from(_ZONES)
    calendar = _one_or_many(st.sampled_from(_CALENDARS))
    suffixed = st.builds(lambda c, z: {"calendar": f"{c} {z}"}, st.sampled_from(_CALENDARS), zone)
    every = st.sampled_from(["1s", "7s", "90min", "36h", "1d", "5min 20s", 3600])
    return st.one_of(
        st.fixed_dictionaries({"calendar": calendar}, optional={"timezone": zone}),
        suffixed,
        st.fixed_dictionaries({"cron": st.sampled_from(_CRONS)}, optional={"timezone": zone}),
        st.fixed_dictionaries({"every": every}, optional={"anchor": instants}),
        st.fixed_dictionaries({"at": instants | st.just(date(2027, 5, 1))}),
        st.just({"on_boot": True, "run_on": "each"}),
    )


def _places() -> st.SearchStrategy[Table]:
    """Where: each excludes scopes."""
    hosts = st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=3, unique=True)
    common = {
        "hosts": hosts,
        "labels": st.lists(st.sampled_from(["db", "role=web", "zone=eu-1"]), unique=True),
        "prefer": hosts,
    }
    scopes = st.lists(line.map(lambda t: t[:6].strip()), min_size=1, max_size=3, unique=True)
    return st.fixed_dictionaries(
        {}, optional={**common, "run_on": st.just("one"), "for_each": scopes}
    ) | st.fixed_dictionaries({"run_on": st.just("each")}, optional=common)


def _limits() -> dict[str, st.SearchStrategy[Any]]:
    backoff = st.one_of(
        spans,
        st.lists(spans, min_size=1, max_size=3),
        st.fixed_dictionaries(
            {}, optional={"first": st.just("10s"), "factor": st.just(1.5), "most": st.just("1d")}
        ),
    )
    return {
        "retries": st.integers(0, 10),
        "backoff": backoff,
        "retry_elsewhere": st.booleans(),
        "quarantine_after": st.integers(1, 9),
        "alarm_after": st.integers(1, 9),
        "grace": st.sampled_from(["90s", "2h"]),
        "mute": _one_or_many(st.sampled_from(["hung", "late"])),
        "overlap": st.sampled_from(["skip", "queue", "replace"]),
        "missed": st.sampled_from(["skip", "latest", "all"]),
        "catch_up_window": spans,
        "catch_up_max": st.integers(1, 99),
        "start_deadline": spans,
        "stop_timeout": spans,
        "memory_high": st.just("256M"),
        "memory_max": sizes,
        "cpu_quota": st.sampled_from(["50%", "200%", "12.5%"]),
        "cpu_weight": st.integers(1, 10000),
        "io_weight": st.integers(1, 10000),
        "tasks_max": st.integers(1, 4096),
        "nice": st.integers(-20, 19),
        "lane": st.sampled_from(["critical", "normal", "bulk"]),
        "interruptible": st.booleans(),
        "jitter": st.sampled_from(["0", "30s", "2min", 7]),
        "blackout": _one_or_many(
            st.sampled_from(["2026-12-24..2027-01-02", "22:00..06:00", "Mon..Fri 08:00..18:00"])
        ),
        "not_before": st.just(datetime.fromisoformat("2026-01-01T00:00:00")),
        "not_after": st.just(date(2199, 1, 1)),
        "sandbox": st.sampled_from(["off", "default", "strict"]),
        "systemd": _passthrough(),
    }


def _passthrough() -> st.SearchStrategy[Table]:
    return st.fixed_dictionaries(
        {},
        optional={
            "service": st.fixed_dictionaries(
                {},
                optional={
                    "ReadWritePaths": st.just(["/srv", "-/var/cache"]),
                    "LimitNOFILE": st.integers(64, 4096),
                    "PrivateTmp": st.booleans(),
                    "SyslogIdentifier": st.just("job-%i"),
                },
            ),
            "timer": st.fixed_dictionaries({}, optional={"WakeSystem": st.just(False)}),
            "unit": st.fixed_dictionaries(
                {},
                optional={
                    "After": st.just("network-online.target"),
                    "Documentation": st.just(["man:true(1)"]),
                },
            ),
        },
    )


def _process() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "description": text,
        "user": st.just("root"),
        "group": st.just("root"),
        "working_directory": paths | st.just("~"),
        "environment": _variables(),
        "environment_file": _one_or_many(paths | paths.map(lambda p: "-" + p)),
        "credentials": st.dictionaries(
            st.sampled_from(["key", "db.pass"]),
            st.sampled_from(["/etc/keys/a%n", "/srv/ö", "vault"]),
        ),
        "success_exit_status": st.lists(st.sampled_from([1, 255, "SIGTERM", "TEMPFAIL"]))
        | st.just(3),
        "umask": st.sampled_from(["022", "0077"]),
        "ping_url": st.just("https://hc.example.org/ping/1?x=%20"),
    }


@st.composite
def _times(draw: Callable[[Any], Any]) -> Table:
    """The timeout and a heartbeat that is shorter."""
    timeout: Table = draw(st.fixed_dictionaries({}, optional={"timeout": st.just("3h")}))
    if timeout and draw(st.booleans()):
        timeout["heartbeat"] = draw(st.sampled_from(["30s", "5min"]))
    return timeout


@st.composite
def jobs(
    draw: Callable[[Any], Any], pools: list[str], profiles: list[str], notify: list[str]
) -> Table:
    """One job's table; ``after`` and ``renamed_from`` are added by ``specs``."""
    optional = {**_process(), **_limits()}
    messages = st.sampled_from([*notify, "/usr/bin/logger -p daemon.err 'a job'"])
    optional |= {"on_failure": _one_or_many(messages), "on_success": _one_or_many(messages)}
    if pools:
        optional |= {"pool": st.sampled_from(pools), "weight": st.sampled_from([1, 0.5])}
    if profiles:
        optional["extends"] = _one_or_many(st.sampled_from(profiles))
    job: Table = {"command": draw(_commands())}
    job |= draw(st.fixed_dictionaries({}, optional=optional))
    job |= draw(_times())
    schedule, places = draw(_schedules()), draw(_places())
    if "on_boot" in schedule:
        places.pop("for_each", None)
    return {**job, **places, **schedule}


@st.composite
def specs(draw: Callable[[Any], Any], min_jobs: int = 1, max_jobs: int = 4) -> Table:
    """A whole jobs.toml as ``tomli_w`` dumps it; ``load`` takes it without a problem."""
    pools = draw(st.lists(names, max_size=2, unique=True))
    notify = draw(st.lists(names, max_size=2, unique=True))
    profiles = draw(st.lists(names, max_size=2, unique=True))
    job_names = draw(st.lists(names, min_size=min_jobs, max_size=max_jobs, unique=True))
    shared = st.fixed_dictionaries({}, optional=_limits() | _process())
    spec: Table = {
        "defaults": draw(shared),
        "pool": {name: {"max": draw(st.integers(1, 9))} for name in pools},
        "notify": {name: draw(_notify()) for name in notify},
        "profile": {name: draw(shared) for name in profiles},
        "job": {name: draw(jobs(pools, profiles, notify)) for name in job_names},
    }
    for earlier, later in itertools.pairwise(profiles):
        if draw(st.booleans()):
            spec["profile"][later]["extends"] = earlier
    for earlier, later in itertools.pairwise(job_names):
        first, second = spec["job"][earlier], spec["job"][later]
        is_alike = first.get("run_on") == second.get("run_on") and "on_boot" not in first
        if is_alike and draw(st.booleans()):
            second["after"] = [earlier]
    if draw(st.booleans()):
        spec["job"][job_names[0]]["renamed_from"] = "the-old-name"
    return {key: value for key, value in spec.items() if value}


def _notify() -> st.SearchStrategy[Table]:
    where = st.one_of(
        st.builds(lambda c: {"command": c}, _commands()),
        st.just({"webhook": "https://chat.example.org/hook"}),
        st.just(
            {"webhook": "https://chat.example.org/hook", "body": '{"text": {{ text | tojson }}}'}
        ),
        st.just({"mail": "root@localhost"}),
        st.just({"apprise": "ntfy://ntfy.sh/topic"}),
    )
    quiet = st.sampled_from(
        [{}, {"quiet": "22:00..07:00", "timezone": "Europe/Berlin"}, {"of_hosts": True}]
    )
    return st.builds(lambda one, hours: one | hours, where, quiet)
