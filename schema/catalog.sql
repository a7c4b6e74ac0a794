-- The live objects of the hub and of pgsteward, whose names begin with its schema, one row each, to be
-- compared with catalog.tsv. What nobody declared on their tables is listed too, so the comparison sees it.
-- The text is the same on PostgreSQL 13 to 18, and with public in search_path or without: that is why
-- public., pg_catalog. and white space are taken out.
WITH ours AS (
    SELECT
        c.oid,
        CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname AS relname,
        c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f')
        AND ((n.nspname = 'public' AND c.relname = ANY (ARRAY[
                'users', 'sessions', 'chat_sessions', 'messages', 'artifacts', 'tools_usage',
                'google_drive_files', 'messages_archive']))
            OR (n.nspname = 'pgsteward' AND c.relname = ANY (ARRAY[
                'lease', 'job_state', 'job_run', 'retention_hold', 'quarantine', 'remediation_log',
                'proven_backup'])))
),
objects AS (
    SELECT
        'table' AS kind,
        h.relname AS name,
        concat_ws(' ',
            CASE h.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'foreign table' END,
            CASE h.relpersistence WHEN 'p' THEN 'logged' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END,
            CASE WHEN h.relrowsecurity THEN 'row_security=on' ELSE 'row_security=off' END,
            CASE WHEN h.relforcerowsecurity THEN 'force=on' ELSE 'force=off' END) AS definition
    FROM ours h

    UNION ALL
    SELECT
        'column',
        h.relname || '.' || a.attname,
        concat_ws(' ',
            format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || co.collname END,
            CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END,
            CASE
                WHEN a.attgenerated <> '' THEN 'GENERATED ' || pg_get_expr(d.adbin, d.adrelid)
                ELSE 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
            END,
            CASE a.attidentity WHEN 'a' THEN 'IDENTITY ALWAYS' WHEN 'd' THEN 'IDENTITY BY DEFAULT' END)
    FROM ours h
    JOIN pg_catalog.pg_attribute a ON a.attrelid = h.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum

    UNION ALL
    SELECT
        'index',
        h.relname || '.' || c.relname,
        concat_ws(' ',
            pg_get_indexdef(i.indexrelid),
            CASE WHEN i.indisvalid THEN 'valid' ELSE 'invalid' END,
            CASE WHEN i.indisready THEN 'ready' ELSE 'not ready' END)
    FROM ours h
    JOIN pg_catalog.pg_index i ON i.indrelid = h.oid
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid

    UNION ALL
    -- PostgreSQL 18 lists NOT NULL as constraints, older ones only as a property of the column.
    SELECT
        'constraint',
        h.relname || '.' || k.conname,
        pg_get_constraintdef(k.oid)
    FROM ours h
    JOIN pg_catalog.pg_constraint k ON k.conrelid = h.oid AND k.contype <> 'n'

    UNION ALL
    SELECT
        'trigger',
        h.relname || '.' || t.tgname,
        concat_ws(' ',
            pg_get_triggerdef(t.oid),
            CASE t.tgenabled
                WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always'
            END)
    FROM ours h
    JOIN pg_catalog.pg_trigger t ON t.tgrelid = h.oid AND NOT t.tgisinternal

    UNION ALL
    SELECT
        'policy',
        h.relname || '.' || p.polname,
        concat_ws(' ',
            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            'FOR',
            CASE p.polcmd
                WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                ELSE 'ALL'
            END,
            'TO',
            (
                SELECT string_agg(CASE WHEN m.member = 0 THEN 'public' ELSE r.rolname::text END, ', '
                    ORDER BY r.rolname)
                FROM unnest(p.polroles) AS m (member)
                LEFT JOIN pg_catalog.pg_roles r ON r.oid = m.member
            ),
            'USING ' || pg_get_expr(p.polqual, p.polrelid),
            'WITH CHECK ' || pg_get_expr(p.polwithcheck, p.polrelid))
    FROM ours h
    JOIN pg_catalog.pg_policy p ON p.polrelid = h.oid

    UNION ALL
    SELECT
        'function',
        CASE n.nspname WHEN 'auth' THEN 'auth.' ELSE '' END
            || f.proname || '(' || pg_get_function_identity_arguments(f.oid) || ')',
        concat_ws(' ',
            '(' || pg_get_function_arguments(f.oid) || ')',
            'RETURNS', pg_get_function_result(f.oid),
            'LANGUAGE', l.lanname,
            CASE f.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
            CASE WHEN f.prosecdef THEN 'SECURITY DEFINER' ELSE 'SECURITY INVOKER' END,
            'SET ' || array_to_string(f.proconfig, ', '),
            'AS', f.prosrc)
    FROM pg_catalog.pg_proc f
    JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = f.prolang
    WHERE (n.nspname = 'public'
            AND f.proname IN ('update_updated_at_column', 'update_message_count', 'get_user_activity'))
        OR (n.nspname = 'auth' AND f.proname = 'uid')

    UNION ALL
    -- Majors differ in which columns they qualify, so no view text keeps a qualification.
    SELECT
        'view',
        c.relname::text,
        concat_ws(' ',
            CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END,
            'WITH (' || array_to_string(c.reloptions, ', ') || ')',
            '(' || (
                SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                    ORDER BY a.attnum)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            ) || ')',
            'AS', regexp_replace(pg_get_viewdef(c.oid), '\m[a-z_][a-z0-9_]*\.', '', 'g'))
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public'
        AND c.relkind IN ('v', 'm')
        AND c.relname IN ('user_stats', 'messages_all')

    UNION ALL
    -- Neither version nor schema: pgcrypto's version follows the server, its schema the provider.
    SELECT 'extension', e.extname::text, 'installed'
    FROM pg_catalog.pg_extension e
    WHERE e.extname = 'pgcrypto'
)
SELECT
    o.kind,
    o.name,
    btrim(regexp_replace(regexp_replace(o.definition, '\m(public|pg_catalog)\.', '', 'g'), '\s+', ' ', 'g'))
        AS definition
FROM objects o
ORDER BY o.kind COLLATE "C", o.name COLLATE "C";
