-- Where each job stands: what the schedule needs to go on after a restart.
CREATE TABLE pgsteward.job_state (
    job TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    -- As configured; when it changes, next_due is computed anew.
    timetable TEXT NOT NULL,
    registered_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    next_due TIMESTAMP WITH TIME ZONE,
    -- NULL: no failed run waits for another attempt.
    retry_at TIMESTAMP WITH TIME ZONE,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- Due times that came while a run was under way and are still to be run.
    queued INTEGER NOT NULL DEFAULT 0,
    last_due TIMESTAMP WITH TIME ZONE,
    last_run UUID,
    last_status TEXT,
    last_started_at TIMESTAMP WITH TIME ZONE,
    last_finished_at TIMESTAMP WITH TIME ZONE,
    last_duration_s DOUBLE PRECISION,
    last_rows BIGINT,
    last_success_at TIMESTAMP WITH TIME ZONE,
    consecutive_failures INTEGER NOT NULL DEFAULT 0,
    -- NULL: not paused. 'infinity': until somebody resumes it.
    paused_until TIMESTAMP WITH TIME ZONE,
    paused_by TEXT,
    pause_reason TEXT,
    -- Totals since registered_at, for metrics that survive a restart.
    counters JSONB NOT NULL DEFAULT '{}',
    -- What a job keeps from run to run.
    memory JSONB NOT NULL DEFAULT '{}'
);

-- One row for each run, also for one that was skipped, with the reason.
CREATE TABLE pgsteward.job_run (
    run_id UUID PRIMARY KEY,
    job TEXT NOT NULL,
    type TEXT NOT NULL,
    trigger TEXT NOT NULL CHECK (trigger IN ('schedule', 'catchup', 'retry', 'manual')),
    due_at TIMESTAMP WITH TIME ZONE,
    attempt INTEGER NOT NULL DEFAULT 1,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    holder TEXT NOT NULL,
    lease_epoch BIGINT NOT NULL,
    timeline INTEGER NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('running', 'ok', 'partial', 'failed', 'skipped', 'cancelled', 'aborted')),
    reason TEXT,
    -- The run treats what is older than this.
    cutoff TIMESTAMP WITH TIME ZONE,
    rows_done BIGINT NOT NULL DEFAULT 0,
    rows_skipped BIGINT NOT NULL DEFAULT 0,
    rows_quarantined BIGINT NOT NULL DEFAULT 0,
    batches INTEGER NOT NULL DEFAULT 0,
    -- Seconds by reason.
    throttled JSONB NOT NULL DEFAULT '{}',
    details JSONB NOT NULL DEFAULT '{}',
    error_sqlstate TEXT,
    error_text TEXT
);

CREATE INDEX job_run_job_started ON pgsteward.job_run (job, started_at DESC);
CREATE INDEX job_run_finished ON pgsteward.job_run (finished_at);

-- A due time fires once, whatever two daemons, a restart or a clock that was set back think of it.
CREATE UNIQUE INDEX job_run_fires_once ON pgsteward.job_run (job, due_at, attempt)
    WHERE trigger <> 'manual' AND due_at IS NOT NULL AND status <> 'skipped';

GRANT SELECT ON pgsteward.job_state, pgsteward.job_run TO pg_monitor;
