-- Which versions this database has. Not part of the hub: a version's files never touch it.
CREATE SCHEMA IF NOT EXISTS pgsteward;

CREATE TABLE pgsteward.schema_version (
    component TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- NULL while index builds are outstanding.
    completed_at TIMESTAMP WITH TIME ZONE,
    applied_by TEXT NOT NULL,
    daemon_version TEXT NOT NULL,
    -- Of the version's SQL as it was when it was applied.
    checksum TEXT NOT NULL,
    PRIMARY KEY (component, version)
);

-- The role that measures is a member.
GRANT USAGE ON SCHEMA pgsteward TO pg_monitor;
GRANT SELECT ON pgsteward.schema_version TO pg_monitor;
