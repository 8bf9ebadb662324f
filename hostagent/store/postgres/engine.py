"""PostgreSQL behind the port: many hosts, and the server's clock.

Each method is one transaction, as the port says, but for ``claim``: what is claimed as a first
scheduled attempt and given at once is a transaction of its own, before that of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hostagent.model import Kind
from hostagent.store.port import MAX_SKEW, Claimed, Refused, Session, Want
from hostagent.store.postgres.connection import CLOCK, Connection
from hostagent.store.postgres.setup import set_up
from hostagent.store.sql.claims import opened
from hostagent.store.sql.engine import SqlStore
from hostagent.store.sql.rows import interval_us, micros

CLAIM = f"""
WITH live AS MATERIALIZED (
  SELECT s.host, s.boot_id, clock.now FROM session s, (SELECT {CLOCK} AS now) clock
  WHERE s.id=? AND s.host=? AND s.boot_id=? AND s.state=0
    AND (s.expires_at IS NULL OR s.expires_at > clock.now)
    AND (?::bigint IS NULL OR abs(clock.now - ?::bigint) <= ?)
  FOR SHARE OF s
),
want AS (
  SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::bigint[],
    ?::text[], ?::bigint[], ?::bigint[])
  AS w(job, scope, spec_hash, scheduled_for, reason, claimed_at, invocation_id, covers_from, covers)
),
free AS (
  SELECT w.*, live.host, live.boot_id
  FROM live, cursor c JOIN want w USING (job, scope, spec_hash)
  WHERE c.retired=0 AND c.active_token IS NULL AND c.retry_token IS NULL
    AND c.high_water < coalesce(w.covers_from, w.scheduled_for) AND w.scheduled_for <= live.now
    AND NOT EXISTS (SELECT 1 FROM cursor f
      WHERE f.successor=c.job AND f.scope=c.scope AND f.active_token IS NOT NULL)
  ORDER BY c.job, c.scope FOR UPDATE OF c SKIP LOCKED
),
taken AS (
  UPDATE cursor k SET token=k.token+1, active_token=k.token+1, high_water=f.scheduled_for
  FROM free f WHERE k.job=f.job AND k.scope=f.scope RETURNING f.*, k.token
)
INSERT INTO run (job, scope, kind, scheduled_for, attempt, token, host, reason, spec_hash,
  session, boot_id, claimed_at, started_at, invocation_id, covers_from, covers)
SELECT job, scope, 'scheduled', scheduled_for, 1, token, host, reason, spec_hash,
  ?, boot_id, claimed_at, CASE WHEN invocation_id IS NULL THEN NULL ELSE claimed_at END,
  invocation_id, covers_from, covers
FROM taken
RETURNING job, scope, token
"""
"""Who is free and due is taken; what another has locked is passed by."""


class PostgresStore(SqlStore):
    """See ``port.Store``. One thread at a time."""

    is_shared = True

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._pg = Connection(url, read_only=read_only)
        super().__init__(self._pg)
        try:
            set_up(self._pg)
        except BaseException:
            self._pg.close()
            raise

    def claim(
        self, session: Session, wants: Sequence[Want], clock: datetime | None = None
    ) -> list[Claimed | Refused]:
        """See the port. What is not given at once gets a second look, which waits and says why."""
        given = self._claim_at_once(session, wants, clock)
        left = [n for n in range(len(wants)) if n not in given]
        if left:
            answers = super().claim(session, [wants[n] for n in left], clock)
            given |= dict(zip(left, answers, strict=True))
        return [given[n] for n in range(len(wants))]

    def _claim_at_once(
        self, session: Session, wants: Sequence[Want], clock: datetime | None
    ) -> dict[int, Claimed | Refused]:
        """By their places: the claims that nothing stands in the way of."""
        places: dict[tuple[str, str], int] = {}
        for n, want in enumerate(wants):
            places.setdefault((want.job, want.scope), n)
        asked = [wants[n] for n in places.values() if _is_plain(wants[n])]
        if not asked:
            return {}
        found = self._pg.write(
            CLAIM,
            [
                session.id,
                session.host,
                session.boot_id,
                micros(clock),
                micros(clock),
                interval_us(MAX_SKEW),
                [want.job for want in asked],
                [want.scope for want in asked],
                [want.spec_hash for want in asked],
                [micros(want.scheduled_for) for want in asked],
                [want.reason for want in asked],
                [micros(want.at) for want in asked],
                [want.invocation_id or None for want in asked],
                [micros(want.covers_from) for want in asked],
                [want.covers for want in asked],
                session.id,
            ],
        )
        given: dict[int, Claimed | Refused] = {}
        for row in found:
            n = places[row["job"], row["scope"]]
            given[n] = Claimed(opened(session, wants[n], row["token"]))
        return given


def _is_plain(want: Want) -> bool:
    return want.kind is Kind.SCHEDULED and want.attempt == 1
