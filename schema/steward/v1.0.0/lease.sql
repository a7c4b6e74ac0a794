-- Here already when pgsteward applied this; not when the statements are run by hand.
CREATE SCHEMA IF NOT EXISTS pgsteward;
GRANT USAGE ON SCHEMA pgsteward TO pg_monitor;

-- Who runs jobs: of all daemons that look after this database the one that holds the lease.
CREATE TABLE pgsteward.lease (
    name TEXT PRIMARY KEY,
    -- One more with every change of the holder. What an earlier holder still wants to write says its
    -- epoch, does not find it and does nothing.
    epoch BIGINT NOT NULL,
    holder TEXT NOT NULL,
    acquired_at TIMESTAMP WITH TIME ZONE NOT NULL,
    renewed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- Of the server that the holder saw: a lease of a later timeline, or of another cluster, is not
    -- taken over by a daemon that looks at a primary from before a failover.
    timeline INTEGER NOT NULL,
    system_identifier BIGINT NOT NULL,

    -- Not for searching. An UPDATE of a column of a unique index locks the row FOR UPDATE, any other
    -- one FOR NO KEY UPDATE. Each batch of a job holds the row FOR KEY SHARE: so taking over, which
    -- changes epoch, waits for the batch that is under way, and renewing does not.
    UNIQUE (name, epoch)
);

GRANT SELECT ON pgsteward.lease TO pg_monitor;
