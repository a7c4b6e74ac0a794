-- What was done, or would have been done, to somebody's session. A digest of the query and not its
-- text, which may hold what nobody else should read.
CREATE TABLE pgsteward.remediation_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Not now(): several sessions are treated in one transaction.
    at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    job TEXT NOT NULL,
    run_id UUID,
    rule TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('observe', 'dry_run', 'cancel', 'terminate', 'refused')),
    result TEXT NOT NULL,
    pid INTEGER NOT NULL,
    -- A pid is used again; with this it is one session.
    backend_start TIMESTAMP WITH TIME ZONE,
    query_start TIMESTAMP WITH TIME ZONE,
    xact_start TIMESTAMP WITH TIME ZONE,
    usename TEXT,
    datname TEXT,
    application_name TEXT,
    state TEXT,
    age_s DOUBLE PRECISION,
    -- Sessions that waited for this one.
    victims INTEGER,
    query_digest TEXT
);

CREATE INDEX remediation_log_at ON pgsteward.remediation_log (at);

GRANT SELECT ON pgsteward.remediation_log TO pg_monitor;
