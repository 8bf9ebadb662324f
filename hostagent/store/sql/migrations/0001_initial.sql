-- The first schema. One text for every SQL engine: text, bigint and smallint only; times are
-- microseconds since 1970-01-01T00:00:00Z, booleans 0 and 1.
CREATE TABLE IF NOT EXISTS meta (k text PRIMARY KEY, v text NOT NULL);
INSERT INTO meta VALUES
  ('generation', '0'), ('registry', ''),  -- the second: locked by register
  ('oldest', '1');  -- an agent that knows less does not go on with this store
CREATE TABLE session (
  id text PRIMARY KEY, host text NOT NULL, boot_id text NOT NULL, opened_at bigint NOT NULL,
  state smallint NOT NULL DEFAULT 0,  -- 0 open, 1 closed, 2 revoked
  beat bigint NOT NULL DEFAULT 0,
  ttl bigint, expires_at bigint,  -- none: it never expires
  version text NOT NULL, spec text NOT NULL, labels text NOT NULL, draining smallint NOT NULL,
  schema bigint NOT NULL DEFAULT 0  -- the newest that its agent knows; 0: it has not said
);
CREATE UNIQUE INDEX session_by_host ON session (host) WHERE state=0;
CREATE TABLE job_spec (
  job text NOT NULL, seq bigint NOT NULL, hash text NOT NULL, schedule text NOT NULL,
  scopes text NOT NULL, valid_from bigint NOT NULL, valid_to bigint,
  host text NOT NULL DEFAULT '',  -- whose schedule it is alone; empty: the cluster's
  PRIMARY KEY (job, seq)
);
CREATE TABLE cursor (
  job text NOT NULL, scope text NOT NULL, spec_hash text NOT NULL,
  high_water bigint NOT NULL, token bigint NOT NULL DEFAULT 0,
  active_token bigint,  -- of the ledger row that holds the claim
  retry_token bigint, retry_at bigint,  -- the attempt that is to be followed, and when
  retired smallint NOT NULL DEFAULT 0,  -- 1: the job is gone; token and mark are for its return
  successor text,  -- the name under which a renamed job goes on
  host text NOT NULL DEFAULT '',  -- that of the job_spec in force
  PRIMARY KEY (job, scope)
);
CREATE INDEX cursor_by_successor ON cursor (successor) WHERE successor IS NOT NULL;
CREATE TABLE run (
  job text NOT NULL, scope text NOT NULL, kind text NOT NULL, scheduled_for bigint NOT NULL,
  attempt bigint NOT NULL, token bigint NOT NULL, host text NOT NULL, reason text NOT NULL,
  spec_hash text NOT NULL, session text NOT NULL, boot_id text NOT NULL,
  claimed_at bigint, started_at bigint, ended_at bigint, outcome text, end_reason text,
  result text, exit_code bigint, signal text, cpu_us bigint, memory_peak bigint,
  io_read bigint, io_written bigint, invocation_id text, covers_from bigint,
  covers bigint NOT NULL DEFAULT 1, report text, report_problem text,
  PRIMARY KEY (job, scope, kind, scheduled_for, attempt)
);
CREATE INDEX run_by_time ON run (scheduled_for, outcome, kind);
CREATE INDEX run_by_job ON run (job, scheduled_for);
CREATE INDEX run_by_token ON run (job, scope, token);
CREATE INDEX run_open ON run (session) WHERE outcome IS NULL;
CREATE TABLE pause (
  target text NOT NULL, name text NOT NULL, reason text NOT NULL, by_whom text NOT NULL,
  since bigint NOT NULL, until bigint, PRIMARY KEY (target, name)
);
CREATE TABLE quarantine (
  job text NOT NULL, scope text NOT NULL, since bigint NOT NULL, host text NOT NULL,
  reason text NOT NULL, attempts text NOT NULL, evidence text NOT NULL, report text,
  PRIMARY KEY (job, scope)
);
CREATE TABLE decision (
  job text NOT NULL, scope text NOT NULL, at bigint NOT NULL, verdict text NOT NULL,
  reason text NOT NULL, scheduled_for bigint,
  seq bigint NOT NULL  -- the order of those of one instant
);
CREATE INDEX decision_by_job ON decision (job, scope, at, seq);
CREATE TABLE audit_log (
  at bigint NOT NULL, seq bigint NOT NULL, uid bigint NOT NULL, host text NOT NULL, action text NOT NULL,
  target text NOT NULL, detail text NOT NULL
);
CREATE INDEX audit_log_by_time ON audit_log (at, seq);
