"""The words of the project as frozen types (docs/reference/words.md is the dictionary).

Pure data: no clock, no files, no decisions. What an administrator wrote becomes a ``Job`` (made
by ``hostagent.spec``); a ``Job`` becomes units (``hostagent.compile``) and is kept in the
deployed manifest, from which the agent reads it back. Datetimes are aware and in UTC; durations
are ``timedelta``. ``hostagent.codec`` has the JSON form of every type.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from hostagent.codec import content_hash

UNIT_PREFIX = "hostagent-"

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(=[A-Za-z0-9_.:/-]+)?")
"""A label, as hosts have them and jobs ask for them: a name, or a name and a value."""

_LAST_TWO = "".join(
    chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
)
NONCHARACTER = re.compile(f"[\ufdd0-\ufdef{_LAST_TWO}]")
"""U+FDD0 to U+FDEF, U+xxFFFE, U+xxFFFF: to systemd, a line that holds one is no text (utf8.c)."""


class Form(StrEnum):
    """How a schedule was written; exactly one form for each job."""

    CALENDAR = "calendar"
    CRON = "cron"
    EVERY = "every"
    AT = "at"
    ON_BOOT = "on_boot"


class RunOn(StrEnum):
    """Where an occurrence runs: on one eligible host of the cluster, or on each of them."""

    ONE = "one"
    EACH = "each"


class Missed(StrEnum):
    """The misfire policy: what becomes of occurrences that did not start in time."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What an occurrence does when the job's previous run has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Lane(StrEnum):
    """A slice and an order of admission."""

    CRITICAL = "critical"
    NORMAL = "normal"
    BULK = "bulk"


class Sandbox(StrEnum):
    """How far a job's processes are shut in (hostagent.compile.sandbox lists the directives)."""

    OFF = "off"
    DEFAULT = "default"
    STRICT = "strict"


class Kind(StrEnum):
    """Why a run exists. Only scheduled runs read or move the high-water mark of a job."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL = "backfill"


class Only(StrEnum):
    """Which occurrences of its range a backfill runs: of all without a success, or of these."""

    ANY = "any"
    MISSING = "missing"
    FAILED = "failed"


class Outcome(StrEnum):
    """How an occurrence or an attempt ended; final once written."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    ABANDONED = "abandoned"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job runs.

    ``text`` is what the administrator wrote, for people. For the forms ``calendar`` and ``cron``,
    ``calendar`` holds OnCalendar expressions without a zone, whose union is meant in ``zone``
    (an IANA name; cron's are translated, DOM or DOW as cron means it). ``every`` names
    ``anchor + k * every``. ``at`` is one instant. ``on_boot`` is one occurrence for each boot.
    An instant outside ``not_before <= t < not_after`` is no occurrence; one inside a
    ``blackout`` range is an occurrence that is skipped. ``jitter`` is the upper bound of the
    job's stable delay, never part of ``scheduled_for``.
    """

    form: Form
    text: str
    calendar: tuple[str, ...] = ()
    zone: str = "UTC"
    every: timedelta | None = None
    anchor: datetime | None = None
    at: datetime | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    blackout: tuple[str, ...] = ()
    jitter: timedelta = timedelta(0)

    @property
    def hash(self) -> str:  # the store's word for it
        """16 hexadecimal digits that change exactly when the set of occurrences can change."""
        return content_hash(dataclasses.replace(self, text="", jitter=timedelta(0)))


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before attempt n + 1: ``min(first * factor ** (n - 1), most)``, or a step."""

    first: timedelta = timedelta(seconds=30)
    factor: float = 2.0
    most: timedelta = timedelta(hours=1)
    steps: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as resolved: defaults and profiles merged in, every value checked.

    ``command`` is the argument vector as systemd must hand it to the process. Sizes are bytes,
    ``cpu_quota`` is percent of one CPU, weights are systemd's 1 to 10000. ``timeout`` is never
    None. ``passthrough`` holds ``(section, directive, values)`` of [job.NAME.systemd.*].
    """

    name: str
    command: tuple[str, ...]
    schedule: Schedule
    timeout: timedelta
    description: str = ""
    user: str | None = None
    group: str | None = None
    working_directory: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    environment_file: tuple[str, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()
    success_exit_status: tuple[str, ...] = ()
    umask: str | None = None

    start_deadline: timedelta | None = None

    run_on: RunOn = RunOn.ONE
    hosts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    for_each: tuple[str, ...] = ()

    missed: Missed = Missed.LATEST
    catch_up_window: timedelta = timedelta(hours=1)
    catch_up_max: int | None = None

    retries: int = 0
    backoff: Backoff = Backoff()
    retry_elsewhere: bool = False
    quarantine_after: int = 2
    overlap: Overlap = Overlap.SKIP

    heartbeat: timedelta | None = None
    stop_timeout: timedelta | None = None
    memory_max: int | None = None
    memory_high: int | None = None
    cpu_quota: float | None = None
    cpu_weight: int | None = None
    io_weight: int | None = None
    tasks_max: int | None = None
    nice: int | None = None
    lane: Lane = Lane.NORMAL
    pool: str | None = None
    weight: float = 1.0
    interruptible: bool = True

    sandbox: Sandbox = Sandbox.OFF
    passthrough: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    after: tuple[str, ...] = ()
    on_failure: tuple[str, ...] = ()
    alarm_after: int = 1
    grace: timedelta | None = None
    mute: tuple[str, ...] = ()
    on_success: tuple[str, ...] = ()
    ping_url: str | None = None
    renamed_from: str | None = None

    def scopes(self, host: str) -> tuple[str, ...]:
        """The scopes whose occurrences ``host`` answers for: for_each, the host, or empty."""
        if self.for_each:
            return self.for_each
        return (host,) if self.run_on is RunOn.EACH else ("",)

    @property
    def period(self) -> timedelta | None:
        """The length of one period where the schedule has one by itself (``every``)."""
        return self.schedule.every


@dataclass(frozen=True, slots=True)
class Pool:
    """``[pool.NAME]``: how many of its jobs run at once on a host. None: no bound."""

    name: str
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Notify:
    """``[notify.NAME]``: where messages go; exactly one of command, webhook, mail, apprise is set.

    ``body`` is a template of what the webhook gets; None: all of the message, as JSON. In the
    ranges ``quiet`` of times in ``zone`` nothing is told. ``of_hosts``: alarms of hosts are
    told there, too. A command that a job names itself
    is one, too: its text is the name.
    """

    name: str
    command: tuple[str, ...] = ()
    webhook: str | None = None
    mail: str | None = None
    body: str | None = None
    apprise: str | None = None
    quiet: tuple[str, ...] = ()
    zone: str = "UTC"
    of_hosts: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """All that jobs.toml and jobs.d say, resolved. ``sources`` are ``(path, sha256)``."""

    jobs: tuple[Job, ...]
    pools: tuple[Pool, ...] = ()
    notify: tuple[Notify, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Where a (job, scope) lives in systemd: full unit names, ``timer`` None for on_boot jobs."""

    job: str
    scope: str
    service: str
    timer: str | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is deployed on this host: the jobs, their units, and each unit file's sha256.

    Written by ``apply`` beside the unit files, read by the agent. ``units`` names one entry for
    each (job, scope); ``files`` maps a unit file's name to the sha256 of its text; ``wants`` are
    the ``(unit, target)`` pairs that ``apply`` enabled. ``hostagent`` is the version that
    compiled it. ``labels`` are the host's, as they were then: jobs that ask for others, or for
    other hosts, have no units here.
    """

    generation: int
    created_at: datetime
    systemd: int
    host: str
    jobs: tuple[Job, ...]
    pools: tuple[Pool, ...] = ()
    notify: tuple[Notify, ...] = ()
    units: tuple[Unit, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    wants: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    hostagent: str = ""
    labels: tuple[str, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    """One instant that a job's schedule names; its identity never changes."""

    scheduled_for: datetime
    job: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used, where systemd tells; None: not known. Bytes and seconds."""

    cpu_s: float | None = None
    memory_peak: int | None = None
    io_read: int | None = None
    io_written: int | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended, as PID 1 (or, after an absence, its journal) tells.

    ``result`` is systemd's service result (``success``, ``exit-code``, ``signal``, ``core-dump``,
    ``timeout``, ``watchdog``, ``oom-kill``, ``resources``, …), or ``unknown``.
    """

    outcome: Outcome
    reason: str
    result: str = "unknown"
    exit_code: int | None = None
    signal: str | None = None
    ended_at: datetime | None = None
    usage: Usage = field(default_factory=Usage)
    report: str | None = None
    report_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the ledger: an attempt, or the record that an occurrence got none.

    ``attempt`` counts from 1; 0 means that no attempt was made (skipped, abandoned,
    quarantined). ``outcome`` None: running or claimed. ``covers_from`` and ``covers`` say which
    occurrences this row stands for: ``covers`` of them, from ``covers_from`` to
    ``scheduled_for``. ``reason`` says why it was admitted (or got no attempt), ``end_reason`` how
    the attempt ended.
    """

    job: str
    scope: str
    kind: Kind
    scheduled_for: datetime
    attempt: int
    token: int
    host: str
    reason: str
    spec_hash: str = ""
    session: str = ""
    boot_id: str = ""
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    end_reason: str | None = None
    result: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    usage: Usage = field(default_factory=Usage)
    invocation_id: str | None = None
    covers_from: datetime | None = None
    covers: int = 1
    report: str | None = None
    report_problem: str | None = None

    @property
    def run_id(self) -> str:
        """``JOB[@SCOPE].20261121T020000Z``, with ``.manual`` or ``.backfill`` behind it."""
        return run_id(self.job, self.scope, self.kind, self.scheduled_for)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is wrong with a (job, scope), and how far people know it. A (job, scope) has one.

    ``kind`` and ``reason`` say what it is, ``since`` when it began; ``over_at`` is when it was over
    (None: it stands). ``told`` are those who know that it began, by their names in jobs.toml;
    ``untold`` are to be told what is new: that it began, or is over. ``tries`` were made for
    them, and the next is due at ``due_at``; whoever makes one moves that first.
    """

    job: str
    scope: str
    kind: str
    since: datetime
    reason: str
    over_at: datetime | None = None
    told: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    tries: int = 0
    due_at: datetime | None = None


def run_id(job: str, scope: str, kind: Kind, scheduled_for: datetime) -> str:
    """The id that people and ``why`` use for a run; the same on every host, for every attempt."""
    stamp = scheduled_for.astimezone(UTC).strftime("%Y%m%dT%H%M%S")
    if scheduled_for.microsecond:
        stamp += f".{scheduled_for.microsecond:06d}"
    tail = "" if kind is Kind.SCHEDULED else f".{kind}"
    return f"{job}{'@' + scope if scope else ''}.{stamp}Z{tail}"


_RUN_ID = re.compile(
    r"(?P<job>[^@]+)(?:@(?P<scope>.+))?\.(?P<at>\d{8}T\d{6}(?:\.\d{6})?)Z(?:\.(?P<kind>[a-z]+))?"
)


def parse_run_id(text: str) -> tuple[str, str, Kind, datetime] | None:
    """The inverse of ``run_id``: job, scope, kind, scheduled_for; None when it is no run id."""
    found = _RUN_ID.fullmatch(text)
    if found is None:
        return None
    stamp = found["at"] if "." in found["at"] else found["at"] + ".0"
    try:
        at = datetime.strptime(stamp, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
        kind = Kind(found["kind"] or Kind.SCHEDULED)
    except ValueError:
        return None
    return found["job"], found["scope"] or "", kind, at
