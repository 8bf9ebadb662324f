-- What people are told of, once, and again when it is over.
CREATE TABLE alarm (
  job text NOT NULL, scope text NOT NULL, kind text NOT NULL, since bigint NOT NULL,
  reason text NOT NULL, over_at bigint,
  told text NOT NULL, untold text NOT NULL,  -- names, as JSON
  tries bigint NOT NULL, due_at bigint,
  PRIMARY KEY (job, scope)
);

-- A person's order that a range of a job's past is run.
CREATE TABLE backfill (
  job text NOT NULL, scope text NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
  only_those text NOT NULL, by_whom text NOT NULL, since bigint NOT NULL,
  PRIMARY KEY (job, scope)
);
