"""The agent's Varlink interface: the same declaration serves the daemon and the command line.

Anyone may call ``Status``, ``Going``, ``Backlog``, ``Samples``, ``Wait`` and ``Holds``; ``Admit``
only the process that PID 1 runs in the very unit it names; the rest needs root, the group
``hostagent``, or (with ``--user``) one's own uid. Times are RFC 3339. What a method refuses comes
back as one of the errors below, whose ``reason`` is a sentence for people.
"""

# ruff: noqa: N802 -- Varlink methods and errors are written LikeThis

from typing import Protocol, TypedDict

from asyncvarlink import TypedVarlinkErrorReply, VarlinkInterface, varlinkmethod

from hostagent.host.peer import Peer

NAME = "io.hostagent.Agent"


class Admission(TypedDict):
    """The answer to ``Admit``. ``admitted`` stands first: the client looks no further."""

    admitted: bool
    reason: str


class Standing(TypedDict):
    """An alarm that stands; ``sentence`` says all of it."""

    job: str
    scope: str
    alarm: str
    since: str
    reason: str
    sentence: str


class Untold(TypedDict):
    """Who did not take the last message: ``times`` in a row, the last ``at``, and ``why`` then."""

    name: str
    times: int
    at: str
    why: str


class Status(TypedDict):
    """What an agent says of itself. ``next_at`` is empty when nothing is due ever again.

    ``hung`` are those of the ``running`` that do not seem to move, ``hung_since`` since when;
    ``hung_because`` is a sentence for each.

    ``held`` are the jobs that the catch-up gate holds (``job`` or ``job@scope``), in the order in
    which it will let them go; ``held_because`` is a sentence for each.

    ``waits`` are the jobs whose occurrence waits until others have succeeded (``after``);
    ``waits_because`` is a sentence for each.

    ``settles`` is why nothing is caught up yet after the last wake, else empty; ``pace`` how fast a
    person lets go how many, else empty.

    ``paused`` are people's orders that hold here, one sentence each.

    ``barred`` is why it may start nothing of the cluster's just now, else empty. ``store_reached``
    is false while the store that hosts share is away. ``lease_s`` are the seconds until its lease
    of the cluster's runs ends, if it is not renewed; None: it has none. ``alarms`` are those of
    the whole store. ``untold`` are those of [notify.NAME] whom no message reaches.
    """

    version: str
    host: str
    generation: int
    jobs: int
    running: list[str]
    hung: list[str]
    hung_since: list[str]
    hung_because: list[str]
    held: list[str]
    held_because: list[str]
    waits: list[str]
    waits_because: list[str]
    settles: str
    pace: str
    paused: list[str]
    next_job: str
    next_at: str
    barred: str
    store_reached: bool
    lease_s: float | None
    alarms: list[Standing]
    untold: list[Untold]


class Stopping(TypedDict):
    """A run that was asked to end. ``goes_on``: it has not ended yet."""

    run_id: str
    goes_on: bool


class Tried(TypedDict):
    """The attempt that a person asked for."""

    run_id: str
    attempt: int


class Held(TypedDict):
    """A missed run that waits: of which ``job`` or ``job@scope``, when it was ``due``, how many
    occurrences it ``covers``, ``since`` when it is held, and when it is ``lost`` (empty: never, it
    is a backfill's). It starts when it is ``expected`` to (empty: nobody knows), or no sooner,
    where ``bound`` says why.
    """

    name: str
    due: str
    covers: int
    since: str
    lost: str
    expected: str
    bound: str
    reason: str


class Sample(TypedDict):
    """How it was in ten seconds of a backlog; see ``policy.samples``."""

    at: str
    cpu: float | None
    memory: float | None
    memory_full: float | None
    in_use: float | None
    level: float
    used: float
    held: int
    released: int


class Backfilling(TypedDict):
    """What is ``left`` to be run of ``job`` or ``job@scope``, of a range of its past.

    None: the store that knows it is away.
    """

    name: str
    first: str
    last: str
    left: int | None
    by: str


class Due(TypedDict):
    """One occurrence."""

    job: str
    scope: str
    scheduled_for: str


class StormFact(TypedDict):
    """One of the three facts that prove a storm over."""

    is_so: bool
    sentence: str


class Backlog(TypedDict):
    """What the gate holds, in the order in which it will let it go, and what catches up now.

    ``used`` is what catches up now, by weight; ``level`` bounds it, and ``most`` bounds the level.
    """

    settles: str
    level: float
    most: float
    used: float
    pace: str
    held: list[Held]
    catching_up: list[str]
    backfills: list[Backfilling]
    storm: list[StormFact]


class Using(TypedDict):
    """A run that goes on: in which ``unit``, and since when it is ``started`` (empty: not yet). It
    has used ``cpu_s`` seconds of CPU time and holds ``memory`` bytes; None: nobody counts that.
    """

    run_id: str
    unit: str
    started: str
    cpu_s: float | None
    memory: int | None
    lane: str
    pool: str
    catches_up: bool


class Slots(TypedDict):
    """Of a lane, or a pool; see ``policy.slots``."""

    name: str
    running: int
    used: float
    most: int | None
    held: int


class Activity(TypedDict):
    """The runs of this host, the oldest first, as they were at ``read_at``; and who takes slots."""

    read_at: str
    runs: list[Using]
    lanes: list[Slots]
    pools: list[Slots]


class Abandoned(TypedDict):
    """How many occurrences of a ``job`` or ``job@scope`` were given up; and whether a ``retry``."""

    name: str
    count: int
    retry: bool


class Abandonment(TypedDict):
    """What was given up, and what of it was not: it waits, but was never missed (``fresh``)."""

    abandoned: list[Abandoned]
    fresh: list[str]


class NotPermitted(TypedVarlinkErrorReply, interface=NAME):
    """The caller may not do this."""

    class Parameters:
        """What the error carries."""

        reason: str


class NotPossible(TypedVarlinkErrorReply, interface=NAME):
    """The request makes no sense now: no such job, a run is active, the unit is gone."""

    class Parameters:
        """What the error carries."""

        reason: str


class Service(Protocol):
    """What answers the calls; every method may raise the errors above."""

    async def admit(self, caller: Peer, unit: str, invocation_id: str) -> Admission:
        """Decide about a start that PID 1 has under way."""

    async def run(self, caller: Peer, job: str, scope: str, as_of: str | None) -> str:
        """Start a manual run; its run id."""

    async def stop(self, caller: Peer, run: str, reason: str) -> Stopping:
        """Stop a run of this host."""

    async def retry(self, caller: Peer, run: str) -> Tried:
        """Start another attempt of a run that has ended."""

    async def backfill(
        self, caller: Peer, job: str, scope: str, first: str, last: str, only: str, is_dry: bool
    ) -> list[Due]:
        """Have a past range run; what is to be run."""

    async def wait(self, run_id: str) -> str:
        """Wait until the run is final; its outcome."""

    async def pause(
        self, caller: Peer, target: str, name: str, until: str | None, reason: str
    ) -> None:
        """Set a pause."""

    async def resume(self, caller: Peer, target: str, name: str) -> bool:
        """Lift a pause."""

    async def reload(self, caller: Peer) -> None:
        """Take up the manifest in force."""

    async def drain(self, caller: Peer, drains: bool) -> list[str]:
        """Claim nothing of the cluster's any more, or again; the runs that go on here."""

    async def reinstate(self, caller: Peer, job: str, scope: str) -> bool:
        """Put a job back that was in quarantine; False when it was not."""

    async def try_out(self, caller: Peer, name: str) -> str:
        """Tell somebody that nothing is wrong; why it was not taken."""

    async def status(self) -> Status:
        """What the agent sees."""

    async def going(self) -> Activity:
        """What runs, and what it uses."""

    async def backlog(self) -> Backlog:
        """What the gate holds."""

    async def samples(self) -> list[Sample]:
        """How the backlogs of the last hour went."""

    async def release(self, caller: Peer, job: str, rate: str | None) -> list[str]:
        """Let go what is held of a job (empty: of all), at a ``rate`` such as 6/min."""

    async def abandon(self, caller: Peer, job: str, before: str | None, reason: str) -> Abandonment:
        """Give up what is owed of a job (empty: of all), up to ``before``."""

    async def holds(self, job: str, scope: str, token: int) -> bool:
        """Whether this host's run with that token may go on."""


class AgentInterface(VarlinkInterface, name=NAME):
    """What can be asked of the agent; one instance for each connection knows its caller."""

    def __init__(self, service: Service, caller: Peer) -> None:
        self._service = service
        self._caller = caller

    @varlinkmethod
    async def Admit(self, *, unit: str, invocation_id: str) -> Admission:
        """May this start of ``unit`` go on? Asked by ``admit`` from ExecCondition=."""
        return await self._service.admit(self._caller, unit, invocation_id)

    @varlinkmethod(return_parameter="run_id")
    async def Run(self, *, job: str, scope: str, as_of: str | None) -> str:
        """Start the job now as a manual run; ``as_of`` becomes its ``scheduled_for``."""
        return await self._service.run(self._caller, job, scope, as_of)

    @varlinkmethod
    async def Stop(self, *, run: str, reason: str) -> Stopping:
        """Stop a run of this host: its id, or the name of a job that has one run."""
        return await self._service.stop(self._caller, run, reason)

    @varlinkmethod
    async def Retry(self, *, run: str) -> Tried:
        """Start another attempt of a run that has ended."""
        return await self._service.retry(self._caller, run)

    @varlinkmethod(return_parameter="due")
    async def Backfill(
        self, *, job: str, scope: str, first: str, last: str, only: str, is_dry: bool
    ) -> list[Due]:
        """Run what fell due from ``first`` to ``last`` and has no success; or only say what."""
        return await self._service.backfill(self._caller, job, scope, first, last, only, is_dry)

    @varlinkmethod(return_parameter="outcome")
    async def Wait(self, *, run_id: str) -> str:
        """Return the outcome of a run once it is final."""
        return await self._service.wait(run_id)

    @varlinkmethod
    async def Pause(self, *, target: str, name: str, until: str | None, reason: str) -> None:
        """Nothing scheduled starts for the target until then (None: until resumed)."""
        await self._service.pause(self._caller, target, name, until, reason)

    @varlinkmethod(return_parameter="was_paused")
    async def Resume(self, *, target: str, name: str) -> bool:
        """Lift a pause."""
        return await self._service.resume(self._caller, target, name)

    @varlinkmethod
    async def Reload(self) -> None:
        """Read the manifest again; returns when it is in force."""
        await self._service.reload(self._caller)

    @varlinkmethod(return_parameter="running")
    async def Drain(self, *, drains: bool) -> list[str]:
        """Claim nothing of the cluster's here any more, or again; the runs that go on."""
        return await self._service.drain(self._caller, drains)

    @varlinkmethod(return_parameter="was_out")
    async def Reinstate(self, *, job: str, scope: str) -> bool:
        """Put a job back that was in quarantine."""
        return await self._service.reinstate(self._caller, job, scope)

    @varlinkmethod(return_parameter="why")
    async def TryOut(self, *, name: str) -> str:
        """Send a test message to [notify.NAME]; why it was not taken, empty: it was."""
        return await self._service.try_out(self._caller, name)

    @varlinkmethod
    async def Status(self) -> Status:
        """What this agent sees."""
        return await self._service.status()

    @varlinkmethod
    async def Going(self) -> Activity:
        """What runs on this host, and what it uses."""
        return await self._service.going()

    @varlinkmethod
    async def Backlog(self) -> Backlog:
        """What the catch-up gate holds on this host."""
        return await self._service.backlog()

    @varlinkmethod(return_parameter="samples")
    async def Samples(self) -> list[Sample]:
        """How the backlogs of the last hour went, the oldest first."""
        return await self._service.samples()

    @varlinkmethod(return_parameter="released")
    async def Release(self, *, job: str, rate: str | None = None) -> list[str]:
        """Let a job's missed run go now, but for memory; empty: lift all holds, settle no more.

        With a ``rate`` what is held goes at that, the most urgent first.
        """
        return await self._service.release(self._caller, job, rate)

    @varlinkmethod
    async def Abandon(self, *, job: str, before: str | None, reason: str) -> Abandonment:
        """Give up what is owed of a job (empty: of all) and was due up to ``before``."""
        return await self._service.abandon(self._caller, job, before, reason)

    @varlinkmethod(return_parameter="holds")
    async def Holds(self, *, job: str, scope: str, token: int) -> bool:
        """Is the run with this token still the holder of its claim? Asked by jobs themselves."""
        return await self._service.holds(job, scope, token)
