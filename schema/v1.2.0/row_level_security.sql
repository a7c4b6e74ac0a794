-- The documented policies call auth.uid(), which plain PostgreSQL does not have; one that exists is kept.
-- Ours reads the settings that PostgREST and Supabase set for a request, then hub.user_id. A setting that
-- was reset reads '', so '' is nobody; with nobody the policies show no row.
DO $do$
BEGIN
    IF to_regnamespace('auth') IS NULL THEN
        CREATE SCHEMA auth;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        CREATE FUNCTION auth.uid() RETURNS UUID AS $$
            SELECT coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', ''),
                nullif(current_setting('hub.user_id', true), '')
            )::uuid
        $$ LANGUAGE sql STABLE;
    END IF;
END
$do$;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE artifacts ENABLE ROW LEVEL SECURITY;

DROP POLICY IF EXISTS user_is_owner ON users;
CREATE POLICY user_is_owner ON users
    FOR ALL USING (auth.uid() = id);

DROP POLICY IF EXISTS user_session ON sessions;
CREATE POLICY user_session ON sessions
    FOR ALL USING (auth.uid() = user_id);

DROP POLICY IF EXISTS user_artifacts ON artifacts;
CREATE POLICY user_artifacts ON artifacts
    FOR ALL USING (auth.uid() = user_id);
