-- What must be kept, whatever its age. Archiving, purging and cleaning up pass over it.
CREATE TABLE pgsteward.retention_hold (
    hold_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A chat, or everything of a user. No foreign keys: the hub's tables may be absent, and a hold
    -- outlives what it held.
    session_id UUID,
    user_id UUID,
    until TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT 'infinity',
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL DEFAULT current_user,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),

    CONSTRAINT retention_hold_one_subject CHECK (num_nonnulls(session_id, user_id) = 1)
);

CREATE INDEX retention_hold_session ON pgsteward.retention_hold (session_id);
CREATE INDEX retention_hold_user ON pgsteward.retention_hold (user_id);

-- Rows that a job could not treat; it passes over them until they are taken off the list.
CREATE TABLE pgsteward.quarantine (
    target TEXT NOT NULL,
    row_id TEXT NOT NULL,
    job TEXT NOT NULL,
    run_id UUID NOT NULL,
    reason TEXT NOT NULL,
    noticed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    PRIMARY KEY (target, row_id)
);

GRANT SELECT ON pgsteward.retention_hold, pgsteward.quarantine TO pg_monitor;
