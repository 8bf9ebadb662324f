"""Several clients of one share at one store: run inside a VM, with the agent's own Python.

    rivals.py race ROUNDS SHARE…    two processes on each share claim the same occurrences
    rivals.py beats TURNS SHARE…    an owner on the first share, a revoker on the last
    rivals.py rates SHARE…          what one call takes on the first share, alone

Prints one JSON object; a rule that was broken is an AssertionError.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from hostagent.errors import StoreUnavailable
from hostagent.model import End, Kind, Outcome, Run
from hostagent.store.directory.engine import DirectoryStore
from hostagent.store.port import (
    Claimed,
    Finish,
    Over,
    Registration,
    Renewed,
    RunFilter,
    Session,
    Want,
)

T0 = datetime(2025, 3, 1, tzinfo=UTC)
HASH = "a" * 16
TTL = timedelta(minutes=10)
EACH = 2
DONE = End(Outcome.SUCCEEDED, "exit 0", exit_code=0)


def want(n: int) -> Want:
    return Want("a", "", HASH, Kind.SCHEDULED, T0 + timedelta(seconds=n), "due", T0)


def again(call: Callable[[], Any]) -> Any:
    """The call's answer, once the store can be reached."""
    while True:
        try:
            return call()
        except StoreUnavailable as error:
            print(error, file=sys.stderr)


def forked(work: Callable[[], Any]) -> int:
    """The reading end of what ``work`` returned, as JSON."""
    output, into = os.pipe()
    if os.fork() == 0:
        os.close(output)
        status = 1
        try:
            os.write(into, json.dumps(work()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(into)
    return output


def told(outputs: list[int]) -> list[Any]:
    texts = []
    for output in outputs:
        with os.fdopen(output, "rb") as reader:
            texts.append(reader.read())
    for _ in outputs:
        _, status = os.wait()
        assert status == 0
    return [json.loads(text) for text in texts]


def set_up(share: Path) -> None:
    with closing(DirectoryStore(share)) as store:
        store.register([Registration("a", HASH, "{}", ("",))], [], T0)


def race(rounds: int, shares: list[Path]) -> dict[str, Any]:
    """Each occurrence is run once, by a token of its own, whoever asks and whatever fails."""
    set_up(shares[0])
    begun = time.monotonic()
    racers = [(share, k) for share in shares for k in range(EACH)]
    outputs = [forked(partial(claim_all, share, k, rounds)) for share, k in racers]
    won = told(outputs)
    took_s = time.monotonic() - begun
    runs = [(n, token) for part in won for n, token in part]
    assert max(Counter(n for n, _ in runs).values()) == 1, runs
    views = []
    for share in shares:
        with closing(DirectoryStore(share)) as store:
            views.append(store.runs(RunFilter()))
            assert [c.active for c in store.cursors()] == [None]
    assert all(view == views[0] for view in views)
    rows = {(row.scheduled_for - T0).total_seconds(): row.token for row in views[0]}
    assert rows == dict(runs), (rows, runs)
    assert sorted(rows.values()) == list(range(1, len(rows) + 1))
    assert max(rows) == rounds
    assert {row.outcome for row in views[0]} == {Outcome.SUCCEEDED}
    return {"runs": len(rows), "by": [len(part) for part in won], "runs_per_s": len(rows) / took_s}


def claim_all(share: Path, k: int, rounds: int) -> list[tuple[int, int]]:
    """What this process ran. After an error it reads what it holds: a reply may have been lost."""
    store = again(lambda: DirectoryStore(share))
    host = f"{share.name}-{k}"
    session = again(lambda: store.open_session(host, "boot", ttl=TTL))
    won: list[tuple[int, int]] = []
    for n in range(1, rounds + 1):
        again(lambda: store.beat(session))
        try:
            given = [a.run for a in store.claim(session, [want(n)]) if isinstance(a, Claimed)]
        except StoreUnavailable as error:
            print(error, file=sys.stderr)
            given = again(lambda: store.held(session.id))
        for run in given:
            end(store, run)
            won.append((int((run.scheduled_for - T0).total_seconds()), run.token))
    return won


def end(store: DirectoryStore, run: Run) -> None:
    again(lambda: store.finish([Finish(run.job, run.scope, run.token, DONE)]))


def beats(turns: int, shares: list[Path]) -> dict[str, Any]:
    """Of a beat and a revocation at the same moment exactly one is heard, on every client."""
    set_up(shares[0])
    results: Counter[str] = Counter()
    with closing(DirectoryStore(shares[0])) as owner, closing(DirectoryStore(shares[-1])) as other:
        for turn in range(turns):
            session = owner.open_session("owner", f"boot-{turn}", ttl=timedelta(microseconds=1))
            number = [p.beat for p in other.sessions() if p.session == session]
            assert number == [0], number
            calls = [partial(renew, shares[0], session), partial(revoke, shares[-1], session)]
            answers = told([forked(call) for call in calls[:: 1 if turn % 2 else -1]])
            renewed, revoked = answers[:: 1 if turn % 2 else -1]
            assert renewed != revoked, (renewed, revoked)
            for store in (owner, other):
                live = [p.session for p in store.sessions() if p.is_live]
                assert (session in live) == renewed
            assert isinstance(owner.beat(session), Renewed if renewed else Over)
            results["renewed" if renewed else "revoked"] += 1
        session = owner.open_session("owner", "boot", ttl=TTL)
        lags = []
        for n in range(1, 21):
            owner.beat(session)
            begun = time.monotonic()
            while [p.beat for p in other.sessions() if p.session == session] != [n]:
                assert time.monotonic() < begun + 5, "a beat is not seen"
            lags.append(time.monotonic() - begun)
    return {**results, "seen_after_s": max(lags)}


def renew(share: Path, session: Session) -> bool:
    with closing(DirectoryStore(share)) as store:
        return store.beat(session, ttl=TTL) != Over()


def revoke(share: Path, session: Session) -> bool:
    with closing(DirectoryStore(share)) as store:
        return store.revoke(session.id, 0)


def rates(share: Path) -> dict[str, float]:
    """Medians, in ms."""
    set_up(share)
    with closing(DirectoryStore(share)) as store:
        session = store.open_session("one", "boot", ttl=TTL)
        spent: dict[str, list[float]] = {
            "claim": [],
            "finish": [],
            "beat": [],
            "no": [],
            "read": [],
        }

        def timed(what: str, call: Callable[[], Any]) -> Any:
            begun = time.perf_counter()
            answer = call()
            spent[what].append((time.perf_counter() - begun) * 1000)
            return answer

        for n in range(1, 31):
            (given,) = timed("claim", partial(store.claim, session, [want(n)]))
            finish = Finish("a", "", given.run.token, DONE)
            timed("finish", partial(store.finish, [finish]))
            timed("no", partial(store.claim, session, [want(n)]))
            timed("beat", partial(store.beat, session))
            timed("read", store.cursors)
    return {what: round(statistics.median(times), 1) for what, times in spent.items()}


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "rates":
        result: dict[str, Any] = rates(Path(rest[0]))
    else:
        result = {"race": race, "beats": beats}[what](int(rest[0]), [Path(r) for r in rest[1:]])
    print(json.dumps(result))


main()
