-- The role that measures, with the least it needs. To be run by a superuser (or a member of the
-- roles granted) in the hub's database: psql -d aio_creative_hub < schema/roles.sql
-- The password is set apart from this, by \password, so that it stands in no file.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgsteward') THEN
        -- One for each measured database, and one for each command that runs beside the daemon.
        CREATE ROLE pgsteward LOGIN CONNECTION LIMIT 10;
    END IF;
END
$$;

-- Statistics, settings, sizes of all databases, everybody's state in pg_stat_activity.
GRANT pg_monitor TO pgsteward;

-- What the hub's collectors count, column by column: no content, no address, no parameters.
GRANT USAGE ON SCHEMA public TO pgsteward;
GRANT SELECT (user_id, created_at) ON public.messages TO pgsteward;
GRANT SELECT (tool_name) ON public.tools_usage TO pgsteward;
