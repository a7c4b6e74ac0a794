-- Backups that a restore has proven and that still exist, one row each: what purging may rely on. Kept by
-- the jobs that take and try out backups; a backup that is deleted takes its row along.
CREATE TABLE pgsteward.proven_backup (
    -- Where it lies: the server's name in the configuration, the folder of all backups, the backup's own.
    server TEXT NOT NULL,
    target TEXT NOT NULL,
    backup_id TEXT NOT NULL,
    -- When a restore of it was last checked.
    proven_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- By the server's clock: what began before this and was committed at all is in it, see purge_until of the
    -- manifest.
    covers_until TIMESTAMP WITH TIME ZONE NOT NULL,
    -- When somebody last saw it lie there.
    confirmed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    PRIMARY KEY (server, target, backup_id)
);

GRANT SELECT ON pgsteward.proven_backup TO pg_monitor;
