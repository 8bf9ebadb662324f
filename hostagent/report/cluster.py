"""Who is in the cluster, as their sessions tell: for ``status --cluster``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.policy.words import span_text
from hostagent.store.port import Presence


@dataclass(frozen=True, slots=True)
class Member:
    """One host: ``state`` is live, draining, silent (no beat for its TTL) or over."""

    host: str
    state: str
    runs: int
    version: str
    spec: str
    labels: tuple[str, ...]
    ttl: str


def members(sessions: Sequence[Presence]) -> list[Member]:
    """One line for each session."""
    return [
        Member(
            host=one.session.host,
            state=_state(one),
            runs=one.claims,
            version=one.profile.version,
            spec=one.profile.spec[:8],
            labels=one.profile.labels,
            ttl=span_text(one.ttl) if one.ttl is not None else "-",
        )
        for one in sessions
    ]


def mixed_specs(sessions: Sequence[Presence]) -> list[str]:
    """Sentences that name the live hosts whose jobs.toml or version is not that of most."""
    live = [one for one in sessions if one.is_live and one.profile.spec]
    sentences = []
    for word, values in (
        ("jobs.toml", {one.session.host: one.profile.spec[:8] for one in live}),
        ("version", {one.session.host: one.profile.version for one in live}),
    ):
        counts = Counter(values.values())
        if len(counts) < 2:
            continue
        most, _ = counts.most_common(1)[0]
        others = ", ".join(f"{host} ({value})" for host, value in values.items() if value != most)
        sentences.append(f"mixed {word}: most hosts have {most}, but not {others}")
    return sentences


def _state(one: Presence) -> str:
    if not one.is_live:
        return "over"
    if one.has_expired:
        return "silent"
    return "draining" if one.profile.draining else "live"
