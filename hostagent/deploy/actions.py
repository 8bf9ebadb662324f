"""What an apply has to do: pure, from what was deployed, what is wanted and what is found.

It compares what is wanted with what *stands* on the disk and in PID 1, not with what was meant to
stand there; so it repairs drift, finishes what was interrupted, and asks for nothing where
nothing differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hostagent.deploy.disk import MISSING, Found, Kind, file_of
from hostagent.model import Manifest


@dataclass(frozen=True, slots=True)
class Facts:
    """What is found.

    ``current`` is the manifest in force, ``begun`` those of interrupted applies. ``files`` holds
    what stands at each unit file's name that any of them or the new manifest has, ``wants`` what
    is enabled. ``loaded`` maps the timers that PID 1 has loaded to their active state; None when
    there is no PID 1 to ask (an image).
    """

    current: Manifest | None
    begun: Sequence[Manifest]
    files: Mapping[str, Found]
    wants: set[tuple[str, str]]
    loaded: Mapping[str, str] | None

    @property
    def known(self) -> list[Manifest]:
        """Every manifest whose files may stand on the disk."""
        return [*([self.current] if self.current else []), *self.begun]


@dataclass(frozen=True, slots=True)
class Actions:
    """What to do, in the words of systemd; empty where nothing differs.

    ``write`` and ``remove`` are unit files. ``enable`` and ``disable`` are (unit, target).
    ``stop`` and ``start`` are timers; ``gone`` and ``retire`` the timers and services that are no
    more. ``forget`` are timers that PID 1 must not remember when they start: they are disabled
    during the reload and enabled again after it. ``repaired`` says what had drifted, ``left``
    what is left alone; both are (unit, what). ``foreign`` are files of others that stand where
    ours must go: with one of them nothing may be done. ``reload``: PID 1 must read its files.
    """

    write: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    enable: tuple[tuple[str, str], ...] = ()
    disable: tuple[tuple[str, str], ...] = ()
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    repaired: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    foreign: tuple[str, ...] = ()
    reload: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done at all."""
        return not (self.reload or self.stop or self.start)


def decide(facts: Facts, new: Manifest, texts: Mapping[str, str]) -> Actions:
    """What makes the disk and PID 1 what ``new`` says; ``texts`` are its unit files."""
    wanted = dict(new.files)
    ours = {name for manifest in facts.known for name, _ in manifest.files}
    masked = sorted(name for name in wanted if _found(facts, name).kind is Kind.MASK)
    write = tuple(
        name
        for name, digest in wanted.items()
        if name not in masked and _found(facts, name).sha256 != digest
    )
    stale = sorted(name for name in ours - wanted.keys() if _found(facts, name) != MISSING)
    remove = tuple(name for name in stale if _is_ours(facts, name, ours))
    enable = tuple(want for want in new.wants if want not in facts.wants)
    once = {want for manifest in facts.known for want in manifest.wants}
    disable = tuple(sorted(once & facts.wants - set(new.wants)))
    gone = _gone(facts, new, "timer")
    rearm = _rearm(facts, new, texts, set(write))
    return Actions(
        write=write,
        remove=remove,
        enable=enable,
        disable=disable,
        stop=tuple(sorted({*rearm.stop, *gone & (facts.loaded or {}).keys()})),
        forget=rearm.forget,
        start=rearm.start,
        gone=tuple(sorted(gone)),
        retire=tuple(sorted(_gone(facts, new, "service"))),
        repaired=_repaired(facts, new, set(write), rearm.start),
        left=tuple((name, "masked") for name in masked)
        + tuple((name, "not ours any more") for name in stale if name not in remove),
        foreign=tuple(
            name
            for name in write
            if _found(facts, name) != MISSING and not _is_ours(facts, name, ours)
        ),
        reload=bool(write or remove or enable or disable or rearm.forget or facts.begun),
    )


def _found(facts: Facts, name: str) -> Found:
    return facts.files.get(name, MISSING)


def _is_ours(facts: Facts, name: str, ours: set[str]) -> bool:
    found = _found(facts, name)
    return name in ours and found.kind is Kind.FILE and found.is_marked


def _gone(facts: Facts, new: Manifest, kind: str) -> set[str]:
    """The units of a kind that were deployed and are no longer wanted."""
    before = {getattr(unit, kind) for manifest in facts.known for unit in manifest.units}
    return before - {getattr(unit, kind) for unit in new.units} - {None}


@dataclass(frozen=True, slots=True)
class _Rearm:
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()


def _rearm(facts: Facts, new: Manifest, texts: Mapping[str, str], write: set[str]) -> _Rearm:
    """The timers to stop, to have forgotten, and to start.

    A timer whose [Timer] section stays as it is goes on undisturbed: a reload alone neither
    fires it nor loses what it remembers. One that PID 1 has loaded and that has no stamp file
    (Persistent=no) computes its next elapse from when it was *started last*, and would fire at
    once; PID 1 forgets that only when it unloads the unit (tried on 252, 257, 262).
    """
    if facts.loaded is None:
        return _Rearm()
    running = {timer for timer, state in facts.loaded.items() if state in {"active", "activating"}}
    timers = [
        unit.timer
        for unit in new.units
        if unit.timer and _found(facts, file_of(unit.timer)).kind is not Kind.MASK
    ]
    changed = _changed_timer_files(facts, new, texts, write)
    start = tuple(t for t in timers if file_of(t) in changed or t not in running)
    return _Rearm(
        stop=tuple(t for t in start if t in running),
        forget=tuple(
            t for t in start if t in facts.loaded and not is_persistent(texts[file_of(t)])
        ),
        start=start,
    )


def _changed_timer_files(
    facts: Facts, new: Manifest, texts: Mapping[str, str], write: set[str]
) -> set[str]:
    """The timers' files of which PID 1 may have loaded another [Timer] section than the new one."""
    changed = {
        name
        for name in write
        if name.endswith(".timer") and _section(facts, name) != timer_section(texts[name])
    }
    if facts.begun:  # whether PID 1 read the old files or the new ones is not known
        known = [dict(manifest.files) for manifest in facts.known]
        changed |= {
            name
            for name, digest in new.files
            if name.endswith(".timer") and any(files.get(name) != digest for files in known)
        }
    return changed


def timer_section(text: str) -> str:
    """What a timer's text says about when it elapses: its [Timer] section, without comments."""
    _, _, rest = text.partition("\n[Timer]\n")
    section, _, _ = rest.partition("\n[")
    return "\n".join(line for line in section.splitlines() if line and line[0] not in "#;")


def is_persistent(text: str) -> bool:
    """Whether PID 1 keeps a stamp file for this timer."""
    values = [
        line.partition("=")[2].strip().lower()
        for line in timer_section(text).splitlines()
        if line.startswith("Persistent=")
    ]
    return bool(values) and values[-1] in {"1", "yes", "y", "true", "t", "on"}


def _section(facts: Facts, name: str) -> str:
    return timer_section(_found(facts, name).data.decode(errors="replace"))


def _repaired(
    facts: Facts, new: Manifest, write: set[str], start: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """What differs from the manifest in force although nobody changed it there."""
    if facts.current is None or facts.begun:
        return ()
    before = dict(facts.current.files)
    lines = [
        (name, "missing" if _found(facts, name) == MISSING else "edited")
        for name, digest in new.files
        if name in write and before.get(name) == digest
    ]
    lines += [
        (unit, "disabled")
        for unit, target in new.wants
        if (unit, target) in facts.current.wants and (unit, target) not in facts.wants
    ]
    was = {unit.timer for unit in facts.current.units}
    lines += [
        (timer, "not active")
        for timer in start
        if timer in was and facts.loaded is not None and facts.loaded.get(timer) != "active"
    ]
    return tuple(lines)
