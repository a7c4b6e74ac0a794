-- The role that runs jobs, with the least it needs: archiving, purging and bringing back messages, cleaning
-- up logins, encrypting addresses. Apart from the role that measures, which reads no content and writes
-- nothing. To be run by a superuser in the hub's database, after pgsteward schema apply; again when that
-- brought tables: psql -d aio_creative_hub < schema/job_roles.sql
-- A database without the hub needs the role, pg_monitor and the statements on schema pgsteward.
-- The password is set apart from this, by \password, so that it stands in no file.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgsteward_jobs') THEN
        -- BYPASSRLS: the policies of users and sessions show a role only what is auth.uid()'s own. A job
        -- that sees no rows would report success and do nothing.
        -- The limit: a daemon holds up to three connections and two more for each job that runs (its work,
        -- and a look at the throttle gates), a backup's pg_dump one more; a second daemon that waits holds
        -- one; a command beside them up to three.
        CREATE ROLE pgsteward_jobs LOGIN BYPASSRLS CONNECTION LIMIT 30;
    END IF;
END
$$;

-- Before and between batches a job looks at replication lag, at locks and at who waits for it.
GRANT pg_monitor TO pgsteward_jobs;

-- Only where the job that ends long-running queries is configured; nothing else signals sessions.
-- GRANT pg_signal_backend TO pgsteward_jobs;

GRANT USAGE ON SCHEMA public TO pgsteward_jobs;

-- UPDATE of id, which no job ever changes: SELECT ... FOR UPDATE SKIP LOCKED asks for the right to update
-- some column, and this is the one that says nothing.
GRANT SELECT, DELETE, UPDATE (id) ON public.messages, public.sessions, public.messages_archive
TO pgsteward_jobs;

-- Into the archive, and back out of it.
GRANT INSERT ON public.messages_archive, public.messages TO pgsteward_jobs;

-- Logins that expire are first no longer active, later gone.
GRANT UPDATE (active) ON public.sessions TO pgsteward_jobs;

-- The trigger on messages keeps the count with the rights of whoever deletes; a job that passes over the
-- trigger keeps it itself.
GRANT SELECT, UPDATE (message_count, updated_at) ON public.chat_sessions TO pgsteward_jobs;

-- Encrypting an address: neither password_hash nor anything else of a user is read.
GRANT SELECT (id, email, email_encrypted), UPDATE (email_encrypted) ON public.users TO pgsteward_jobs;

-- Its own tables, name by name: schema_version says what the owner applied, and is only read.
GRANT USAGE ON SCHEMA pgsteward TO pgsteward_jobs;
GRANT SELECT ON pgsteward.schema_version TO pgsteward_jobs;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    pgsteward.lease, pgsteward.job_state, pgsteward.job_run, pgsteward.retention_hold, pgsteward.quarantine,
    pgsteward.remediation_log, pgsteward.proven_backup
TO pgsteward_jobs;
