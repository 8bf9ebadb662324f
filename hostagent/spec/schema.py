"""The tables of jobs.toml: one model for each, whose descriptions are also the JSON Schema's.

A key that is not written is None here: defaults belong to ``hostagent.spec.jobs``, which knows
the job as a whole. Keys of every job are on ``Common``, so that [defaults] and profiles may set
them too.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from hostagent.spec import keytypes as t
from hostagent.spec import passthrough


class Table(BaseModel):
    """A table of jobs.toml: no key but those named, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class BackoffTable(Table):
    """The wait before each retry: a duration that doubles, an array of durations, or this table."""

    first: t.PositiveSpan | None = None
    """The wait before the second attempt (30s)."""
    factor: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False, strict=False)] | None = None
    """What each wait is longer than the one before (2)."""
    most: t.PositiveSpan | None = None
    """The longest wait (1h)."""
    steps: list[t.Span] | None = Field(default=None, min_length=1, max_length=1000)
    """The waits one by one; the last repeats. Stands alone."""


def _directives(section: str) -> AfterValidator:
    def check(table: dict[str, Any]) -> dict[str, Any]:
        values = t.each(table.items(), partial(passthrough.values_of, section))
        return dict(zip(table, values, strict=True))

    return AfterValidator(check)


class SystemdTable(Table):
    """Directives passed to systemd as they stand; what the promises rest on is refused."""

    service: Annotated[dict[str, Any], _directives("service")] | None = None
    """Directives of [Service]."""
    timer: Annotated[dict[str, Any], _directives("timer")] | None = None
    """Directives of [Timer]."""
    unit: Annotated[dict[str, Any], _directives("unit")] | None = None
    """Directives of [Unit], for the service."""


class Common(Table):
    """What a job runs, when, where, and within which limits."""

    command: t.Command | None = None
    """What to run: text, split into arguments as systemd does ($ and % stay as they are), or an
    array of arguments taken literally."""
    description: t.Sentence | None = None
    """What systemctl and the journal show."""
    user: t.User | None = None
    """The user it runs as; root when absent."""
    group: t.User | None = None
    """The group it runs as; the user's own when absent."""
    working_directory: t.Directory | None = None
    """An absolute path, or "~" for the user's home."""
    environment: t.Environment | None = None
    """Variables of the process. Not for secrets: any user can read them; use credentials."""
    environment_file: t.EnvironmentFiles | None = None
    """Files with NAME=value lines; a - in front: it may be absent."""
    credentials: t.Credentials | None = None
    """Secrets by name, each from a file that only root reads (LoadCredential=)."""
    success_exit_status: t.ExitStatuses | None = None
    """Exit statuses and signals that count as success beside 0."""
    umask: t.Umask | None = None
    """The file mode mask, octal, as text."""

    calendar: t.Texts | None = None
    """OnCalendar expressions, as in "daily", "Mon..Fri 09:00", "*-*-* 02:00 Europe/Berlin"."""
    cron: t.Filled | None = None
    """Five fields as in crontab(5)."""
    every: t.Seconds | None = None
    """An interval: anchor + k * every, whatever happens to the host or the agent."""
    anchor: t.When | None = None
    """An instant at which an interval falls due (if absent, one derived from the job's name)."""
    at: t.When | None = None
    """One instant, once."""
    on_boot: bool | None = None
    """Once for each boot; with run_on = "each" only."""
    timezone: t.Filled | None = None
    """The zone of calendar, cron, and of dates without an offset (UTC)."""
    jitter: t.Span | None = None
    """The most by which a start is delayed, stable for each job (5 % of the period, up to 2min)."""
    not_before: t.When | None = None
    """Nothing is due before this instant."""
    not_after: t.When | None = None
    """Nothing is due at or after this instant."""
    blackout: t.Texts | None = None
    """Times in which occurrences are skipped, as in "2026-12-24..2027-01-02" or "22:00..06:00"."""
    start_deadline: t.PositiveSpan | None = None
    """An occurrence that could not start for so long is skipped. What waits for other jobs (after)
    is skipped after the catch_up_window at the latest."""

    run_on: Literal["one", "each"] | None = None
    """On one eligible host of the cluster for each occurrence (one), or on each of them (each)."""
    hosts: t.Hosts | None = None
    """Hosts that may run it: names and globs; all when absent."""
    labels: t.Labels | None = None
    """Labels that a host must have, all of them."""
    prefer: t.Hosts | None = None
    """Hosts that are asked first, in this order."""
    for_each: t.Scopes | None = None
    """Scopes: the job runs once for each of them, with HOSTAGENT_SCOPE set."""

    missed: Literal["skip", "latest", "all"] | None = None
    """What becomes of missed occurrences: none runs, one for all of them (latest), or each."""
    catch_up_window: t.PositiveSpan | None = None
    """How far back missed occurrences are run (one period, at least 1h, at most 31d)."""
    catch_up_max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """At most so many missed occurrences are run, the latest ones."""

    retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How often a failed run is tried again (0)."""
    backoff: Annotated[BackoffTable, t.BackoffForm] | None = None
    """The wait before each retry: a duration that doubles, an array of durations, or a table."""
    retry_elsewhere: bool | None = None
    """Whether a retry prefers another host (false)."""
    quarantine_after: Annotated[int, Field(ge=1, le=1000)] | None = None
    """After so many consecutive crashes the job is taken out until a person reinstates it (2)."""
    overlap: Literal["skip", "queue", "replace"] | None = None
    """What an occurrence does while the previous run still runs (skip)."""

    timeout: t.PositiveSpan | None = None
    """The longest a run may take (0.9 of the period, at most 24h)."""
    heartbeat: t.PositiveSpan | None = None
    """The job must call sd_notify WATCHDOG=1 at least so often, else it is taken for hung."""
    stop_timeout: t.PositiveSpan | None = None
    """From TERM to KILL."""
    memory_max: t.Size | None = None
    """The most memory it may use; beyond, it is killed."""
    memory_high: t.Size | None = None
    """The memory above which it is slowed down."""
    cpu_quota: t.Percent | None = None
    """The most CPU time it may use; 100% is one CPU."""
    cpu_weight: t.Weight | None = None
    """Its share of contended CPUs, 1 to 10000 (100)."""
    io_weight: t.Weight | None = None
    """Its share of contended disks, 1 to 10000 (100)."""
    tasks_max: Annotated[int, Field(ge=1, le=4_194_304)] | None = None
    """The most processes and threads it may have."""
    nice: Annotated[int, Field(ge=-20, le=19)] | None = None
    """Its nice level, -20 to 19."""
    lane: Literal["critical", "normal", "bulk"] | None = None
    """Its slice and its order of admission (normal)."""
    pool: t.Name | None = None
    """The [pool.NAME] that bounds how many runs of its jobs go at once on a host; others wait."""
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, strict=False)] | None = None
    """How many places it takes in its pool and among runs that are caught up (1)."""
    interruptible: bool | None = None
    """Whether the gate may stop a catch-up run of it when memory runs out (true)."""

    sandbox: Literal["off", "default", "strict"] | None = None
    """How far its processes are shut in (off)."""
    systemd: SystemdTable | None = None
    """Any other directive, in [job.NAME.systemd.service], .timer or .unit."""

    after: t.Names | None = None
    """Jobs that must have succeeded first, on any host: the last occurrence of each at or before
    this job's own. What has waited until its start_deadline is skipped."""
    on_failure: t.Texts | None = None
    """Who is told, once, of each alarm of the job (it fails, is silent, may hang, …), and once when
    that is over: names of [notify.NAME] tables, or commands."""
    alarm_after: Annotated[int, Field(ge=1, le=1000)] | None = None
    """After so many occurrences without a success the job counts as failing, or silent (1). A run
    and its retries count once."""
    grace: t.PositiveSpan | None = None
    """How long after the occurrence that counts, and its jitter, the job is silent if no run has
    succeeded (the timeout)."""
    mute: t.Alarms | None = None
    """Alarms that it never has, as "hung" where it waits by design: of near_interval, late,
    too_short, overran, hung, silent, failed, quarantined."""
    on_success: t.Texts | None = None
    """Who is told of each scheduled run that succeeded: names of [notify.NAME] tables, or
    commands."""
    ping_url: t.Url | None = None
    """The job's address at healthchecks.io, or a service like it, which gets a POST when a run
    starts (URL/start), succeeds (URL) or fails (URL/fail, or URL/1 for the exit status 1)."""


class Defaults(Common):
    """What holds for every job that does not say otherwise."""


class Profile(Common):
    """A named set of keys that jobs and profiles take over with extends."""

    extends: t.Names | None = None
    """Profiles to start from; a later one wins."""


class JobTable(Common):
    """One job."""

    extends: t.Names | None = None
    """Profiles to start from; a later one wins, and the job's own keys win over all."""
    renamed_from: t.JobName | None = None
    """The name it had before, whose history and anchor it takes over."""


class PoolTable(Table):
    """How many of its jobs run at once on a host."""

    max: Annotated[int, Field(ge=1, le=1_000_000)]
    """At most so many."""


class NotifyTable(Table):
    """Where messages go: exactly one of command, webhook, mail, apprise."""

    command: t.Command | None = None
    """Run with the alarm as JSON on its standard input; in its environment HOSTAGENT_ALARM, _WAS,
    _JOB, _SCOPE, _SINCE, _REASON, and _TEXT, which is the whole sentence."""
    webhook: t.Url | None = None
    """Gets the message as JSON by POST, or the body."""
    body: t.Body | None = None
    """What the webhook gets: a template (jinja2) of the message's alarm, was, job, scope, since,
    reason and text; each of them with | tojson where it is JSON."""
    mail: t.Mail | None = None
    """An address, for sendmail."""
    apprise: t.Address | None = None
    """An address of one of the services that apprise (a package of its own) knows."""
    quiet: t.Ranges | None = None
    """When nothing is told, written as a blackout; what is still so is told after them."""
    timezone: t.Zone | None = None
    """The zone of quiet (UTC)."""
    of_hosts: bool | None = None
    """Whether alarms of hosts (drift, skew, store and others) are told there, too (false)."""


class File(Table):
    """jobs.toml, or one file of jobs.d."""

    model_config = ConfigDict(title="hostagent jobs.toml")

    defaults: Defaults | None = None
    """What holds for every job that does not say otherwise."""
    profile: dict[t.Name, Profile] = {}
    """Named sets of keys."""
    job: dict[t.JobName, JobTable] = {}
    """The jobs."""
    pool: dict[t.Name, PoolTable] = {}
    """Bounds on how many jobs run at once."""
    notify: dict[t.Name, NotifyTable] = {}
    """Where messages go."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of jobs.toml, for editors."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}
    plain: dict[str, Any] = _without_null(schema)
    return plain


def _without_null(node: Any) -> Any:
    """TOML has no null: what may be absent is just not required."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {k: _without_null(v) for k, v in node.items() if not (k == "default" and v is None)}
    choices = [c for c in out.get("anyOf", []) if c != {"type": "null"}]
    if len(choices) == 1:
        del out["anyOf"]
        out = {**choices[0], **out}
    elif choices:
        out["anyOf"] = choices
    if out.get("type") == "object" or "title" in out:
        out.pop("title", None)
    if isinstance(out.get("description"), str):
        out["description"] = " ".join(out["description"].split())
    return out
