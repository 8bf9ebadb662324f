"""Whether something is wrong with a host that people should be told of, by what its agent knows.

It is at most one thing, the worst of these:

- ``skew``: its clock is so far from the store's that nothing of the cluster starts there.
- ``backlog``: it holds many missed runs back, or one of them for long; until it holds none.
- ``drift``: its units are not what the last apply wrote.
- ``mixed_specs``: for some time it has had another jobs.toml than most live hosts.

And, apart from these, ``store``: for some time it has not reached the store that hosts share. That
cannot be said there, so it is an alarm in the host's own ledger (``decide_reach``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from hostagent.policy.skew import Skew
from hostagent.policy.skew import Verdict as Clock
from hostagent.policy.trouble import Trouble, Verdict, Wrong
from hostagent.policy.words import span_text

MANY, LONG = 100, timedelta(hours=1)
"""A backlog of more runs, or of one that waits for longer, is told."""

MIXED_FOR = timedelta(minutes=15)
"""So long an upgrade of the fleet may take."""

UNREACHED_TTLS = 12
"""For so many lifetimes of a lease the store may be away before that is told: 3 min of 15 s."""


@dataclass(frozen=True, slots=True)
class Facts:
    """``held`` missed runs wait here, one of them for ``held_for``. ``clock``: how it is judged.

    ``specs`` are the digests of what live hosts have deployed, by host, this one's among them;
    it has been the odd one for ``odd_for``. ``drift`` is how its units differ from what was
    applied, in words; empty: they do not, None: nobody has looked yet. ``standing`` is the kind of
    the alarm that stands.
    """

    host: str
    held: int = 0
    held_for: timedelta = timedelta(0)
    clock: Clock | None = None
    specs: Mapping[str, str] = field(default_factory=dict)
    odd_for: timedelta = timedelta(0)
    drift: str | None = ""
    standing: str = ""


def decide(facts: Facts) -> Verdict:
    """Whether the host is in trouble. Whoever asks says when again."""
    trouble = _skew(facts) or _backlog(facts) or _drift(facts) or _mixed(facts)
    relief = {
        Wrong.SKEW: "its clock is near the store's",
        Wrong.BACKLOG: "it holds nothing back any more",
        Wrong.DRIFT: "its units are as applied",
        Wrong.STORE: "it shares no store any more",
        Wrong.MIXED_SPECS: "it has the jobs.toml of the others",
    }
    kind = next((wrong for wrong in relief if wrong == facts.standing), Wrong.BACKLOG)
    return Verdict(trouble, relief[kind], None)


def decide_reach(ttl: timedelta, away_for: timedelta | None, why: str, standing: str) -> Verdict:
    """Whether the host has done without the store that hosts share for too long.

    ``away_for``: no beat had an answer for so long, the last one for the reason ``why``; None: it
    is reached. A ``standing`` alarm stands until then: an agent that begins anew does not end it.
    """
    trouble = None
    is_long = away_for is not None and away_for >= UNREACHED_TTLS * ttl
    if away_for is not None and (is_long or standing == Wrong.STORE):
        since = f"not for {span_text(away_for)} by now ({why})"
        reason = f"{since}; its runs of the cluster wait; see: hostagent doctor"
        trouble = Trouble(Wrong.STORE, reason)
    return Verdict(trouble, "it reaches the store again", None)


def is_odd(facts: Facts) -> bool:
    """Whether most live hosts have another jobs.toml; of as many, one side is odd."""
    counts = Counter(facts.specs.values())
    return bool(counts) and facts.specs[facts.host] != max(counts, key=lambda s: (counts[s], s))


def _skew(facts: Facts) -> Trouble | None:
    if facts.clock is None or facts.clock.skew is not Skew.FENCED:
        return None
    return Trouble(Wrong.SKEW, facts.clock.reason)


def _backlog(facts: Facts) -> Trouble | None:
    is_large = facts.held > MANY or facts.held_for > LONG
    if not facts.held or not (is_large or facts.standing == Wrong.BACKLOG):
        return None
    count = f"{facts.held} missed runs wait" if facts.held > 1 else "a missed run waits"
    since = f"{count}, for {span_text(facts.held_for)} by now"
    return Trouble(Wrong.BACKLOG, f"{since}; see: hostagent backlog list")


def _drift(facts: Facts) -> Trouble | None:
    if facts.drift is None and facts.standing == Wrong.DRIFT:
        return Trouble(Wrong.DRIFT, "nobody has looked again yet")
    return Trouble(Wrong.DRIFT, f"{facts.drift}; see: hostagent drift") if facts.drift else None


def _mixed(facts: Facts) -> Trouble | None:
    if not is_odd(facts) or not (facts.odd_for >= MIXED_FOR or facts.standing == Wrong.MIXED_SPECS):
        return None
    others = [host for host, spec in facts.specs.items() if spec != facts.specs[facts.host]]
    few = ", ".join(sorted(others)[:3]) + (" and others" if len(others) > 3 else "")
    return Trouble(Wrong.MIXED_SPECS, f"that of {few} is another; see: hostagent status --cluster")
