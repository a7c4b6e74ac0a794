-- The archive of 1.2.0 as a table partitioned by month, for hubs whose archive is purged by age: a month that
-- is over goes by DROP in milliseconds instead of by DELETE and VACUUM. Not part of a version and never
-- applied by pgsteward; the owner of messages_archive runs it once, psql stops at the first error and then
-- nothing has changed:
--     psql -v ON_ERROR_STOP=1 -d aio_creative_hub -f schema/partitioned_archive.sql
--
-- It copies the archive: the archive cannot be read or written until the end, and the disk needs room for
-- both. A busy table stops it after 10 s, run it again then. What it does not know it does not lose: a view,
-- a foreign key or a function's dependency on messages_archive other than messages_all makes the DROP at the
-- end fail; a trigger, a policy, a column, an index, a CHECK, storage parameters, statistics, a comment or a
-- publication of yours makes it refuse at the beginning.
--
-- Afterwards the jobs archive_partitions and message_archive make the months that are needed, where their role
-- may; else message_archive fails for rows of a month that has no partition. There is no DEFAULT partition: it would have to be searched whenever a
-- month is attached, and DETACH CONCURRENTLY refuses where one exists. The primary key is (id, created_at),
-- as a partitioned table wants it: that an id is unique in the whole archive is no longer the server's promise.

BEGIN;
SET LOCAL lock_timeout = '10s';
SET LOCAL search_path = pg_catalog;
SET LOCAL row_security = off;
SET LOCAL TimeZone = 'UTC';

LOCK TABLE public.messages_archive IN ACCESS EXCLUSIVE MODE;

DO $do$
DECLARE
    archive CONSTANT oid := 'public.messages_archive'::regclass;
    found text;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = archive) <> 'r' THEN
        RAISE EXCEPTION 'messages_archive is not a plain table' USING HINT = 'Perhaps this ran already.';
    END IF;
    SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname) INTO found
    FROM pg_attribute
    WHERE attrelid = archive AND attnum > 0 AND NOT attisdropped;
    IF found <> 'archive_run uuid, archived_at timestamp with time zone, content text, '
        'created_at timestamp with time zone, id uuid, is_from_user boolean, metadata jsonb, '
        'session_id uuid, user_id uuid' THEN
        RAISE EXCEPTION 'messages_archive has other columns than in 1.2.0: %', found
            USING HINT = 'Adapt this file to them.';
    END IF;
    SELECT string_agg(tgname, ', ') INTO found FROM pg_trigger WHERE tgrelid = archive AND NOT tgisinternal;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'messages_archive has triggers: %', found USING HINT = 'Adapt this file to them.';
    END IF;
    IF EXISTS (SELECT FROM pg_policy WHERE polrelid = archive)
        OR (SELECT relrowsecurity FROM pg_class WHERE oid = archive) THEN
        RAISE EXCEPTION 'messages_archive has row level security' USING HINT = 'Adapt this file to it.';
    END IF;
    -- What the new table would not have: whatever is there beyond what 1.2.0 made.
    SELECT string_agg(own.what, ', ' ORDER BY own.what) INTO found
    FROM (
        SELECT 'index ' || indexrelid::regclass FROM pg_index
        WHERE indrelid = archive AND (NOT indisvalid OR pg_get_indexdef(indexrelid) NOT IN (
            'CREATE UNIQUE INDEX messages_archive_pkey ON public.messages_archive USING btree (id)',
            'CREATE INDEX idx_messages_archive_session_created ON public.messages_archive USING btree (session_id, created_at)',
            'CREATE INDEX idx_messages_archive_user_id ON public.messages_archive USING btree (user_id)',
            'CREATE INDEX idx_messages_archive_created_id ON public.messages_archive USING btree (created_at, id)'))
        UNION ALL
        SELECT 'constraint ' || conname FROM pg_constraint
        WHERE conrelid = archive AND contype NOT IN ('n', 't') AND pg_get_constraintdef(oid) NOT IN (
            'PRIMARY KEY (id)',
            'FOREIGN KEY (session_id) REFERENCES public.chat_sessions(id) ON DELETE CASCADE',
            'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE')
        UNION ALL
        SELECT 'storage parameters' FROM pg_class AS c LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid
        WHERE c.oid = archive AND (c.reloptions IS NOT NULL OR t.reloptions IS NOT NULL)
        UNION ALL
        SELECT 'tablespace ' || spcname FROM pg_class JOIN pg_tablespace AS s ON s.oid = reltablespace
        WHERE pg_class.oid = archive
        UNION ALL
        SELECT 'replica identity' FROM pg_class WHERE oid = archive AND relreplident <> 'd'
        UNION ALL
        SELECT 'comment' FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = archive
        UNION ALL
        SELECT 'security label' FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = archive
        UNION ALL
        SELECT 'options of column ' || attname FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE attrelid = archive AND attnum > 0 AND NOT attisdropped
            AND (attoptions IS NOT NULL OR coalesce((to_jsonb(a) ->> 'attstattarget')::int, -1) >= 0
                OR attstorage <> t.typstorage OR coalesce(to_jsonb(a) ->> 'attcompression', '') <> '')
        UNION ALL
        SELECT 'default of column ' || attname FROM pg_attribute
        WHERE attrelid = archive AND attnum > 0 AND atthasdef AND attname <> 'archived_at'
        UNION ALL
        SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid = archive
        UNION ALL
        SELECT 'publication ' || pubname FROM pg_publication_rel JOIN pg_publication AS p ON p.oid = prpubid
        WHERE prrelid = archive
        UNION ALL
        SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = archive
        UNION ALL
        SELECT 'table ' || inhrelid::regclass || ' that inherits' FROM pg_inherits WHERE inhparent = archive
    ) AS own (what);
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'messages_archive has what would be lost: %', found
            USING HINT = 'Take it away and make it again afterwards, or adapt this file to it.';
    END IF;
    IF NOT isfinite(coalesce((SELECT min(created_at) FROM public.messages_archive), now()))
        OR NOT isfinite(coalesce((SELECT max(created_at) FROM public.messages_archive), now())) THEN
        RAISE EXCEPTION 'messages_archive has rows whose created_at is infinite';
    END IF;
END
$do$;

ALTER TABLE public.messages_archive RENAME TO messages_archive_plain;
ALTER TABLE public.messages_archive_plain RENAME CONSTRAINT messages_archive_pkey TO messages_archive_plain_pkey;
ALTER INDEX public.idx_messages_archive_session_created RENAME TO idx_messages_archive_plain_session_created;
ALTER INDEX public.idx_messages_archive_user_id RENAME TO idx_messages_archive_plain_user_id;
ALTER INDEX public.idx_messages_archive_created_id RENAME TO idx_messages_archive_plain_created_id;

CREATE TABLE public.messages_archive (
    id UUID NOT NULL,
    session_id UUID NOT NULL,
    user_id UUID,
    content TEXT NOT NULL,
    is_from_user BOOLEAN NOT NULL,
    metadata JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    archive_run UUID,
    CONSTRAINT messages_archive_pkey PRIMARY KEY (id, created_at),
    -- While the table is empty: a foreign key of a partitioned table cannot be added NOT VALID before 18.
    CONSTRAINT messages_archive_session_id_fkey
        FOREIGN KEY (session_id) REFERENCES public.chat_sessions(id) ON DELETE CASCADE,
    CONSTRAINT messages_archive_user_id_fkey
        FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_messages_archive_session_created ON public.messages_archive(session_id, created_at);
CREATE INDEX idx_messages_archive_user_id ON public.messages_archive(user_id);
CREATE INDEX idx_messages_archive_created_id ON public.messages_archive(created_at, id);

-- Whoever owned the table or had a right on it or on a column of it has it again.
DO $do$
DECLARE
    plain CONSTANT oid := 'public.messages_archive_plain'::regclass;
    owner CONSTANT oid := (SELECT relowner FROM pg_class WHERE oid = plain);
    r record;
BEGIN
    EXECUTE format('ALTER TABLE public.messages_archive OWNER TO %I', pg_get_userbyid(owner));
    FOR r IN
        SELECT a.grantee, a.privilege_type, a.is_grantable, NULL::name AS attname
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = plain
        UNION ALL
        SELECT a.grantee, a.privilege_type, a.is_grantable, t.attname
        FROM pg_attribute t, aclexplode(t.attacl) a
        WHERE t.attrelid = plain AND t.attnum > 0 AND NOT t.attisdropped
    LOOP
        CONTINUE WHEN r.grantee = owner;
        EXECUTE format('GRANT %s%s ON public.messages_archive TO %s%s',
            r.privilege_type,
            CASE WHEN r.attname IS NOT NULL THEN format(' (%I)', r.attname) END,
            CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END,
            CASE WHEN r.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
END
$do$;

-- The months that have rows, in the archive or still to be archived, and three from now on. Named and
-- bounded as archive_partitions does it.
DO $do$
DECLARE
    month timestamptz;
    owner CONSTANT name := (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'public.messages_archive'::regclass);
    partition text;
BEGIN
    FOR month IN
        SELECT date_trunc('month', created_at) FROM public.messages_archive_plain
        UNION
        SELECT date_trunc('month', created_at) FROM public.messages WHERE isfinite(created_at)
        UNION
        SELECT date_trunc('month', now()) + n * interval '1 month' FROM generate_series(0, 3) n
    LOOP
        IF month < '0001-01-01 00:00:00+00' THEN
            RAISE EXCEPTION 'rows before the year 1' USING HINT = 'Correct their created_at first.';
        END IF;
        partition := 'messages_archive_y' || lpad(extract(year FROM month)::int::text, 4, '0')
            || 'm' || to_char(month, 'MM');
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.messages_archive FOR VALUES FROM (%L) TO (%L)',
            partition, month, month + interval '1 month');
        EXECUTE format('ALTER TABLE public.%I OWNER TO %I', partition, owner);
    END LOOP;
END
$do$;

INSERT INTO public.messages_archive
    (id, session_id, user_id, content, is_from_user, metadata, created_at, archived_at, archive_run)
SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, archived_at, archive_run
FROM public.messages_archive_plain;

DO $do$
DECLARE
    before text;
    after text;
BEGIN
    SELECT concat_ws(' ', count(*), sum(hashtextextended(
        (id, session_id, user_id, content, is_from_user, metadata, created_at, archived_at, archive_run)::text, 0)))
    INTO before FROM public.messages_archive_plain;
    SELECT concat_ws(' ', count(*), sum(hashtextextended(
        (id, session_id, user_id, content, is_from_user, metadata, created_at, archived_at, archive_run)::text, 0)))
    INTO after FROM public.messages_archive;
    IF before <> after THEN
        RAISE EXCEPTION 'the copy is not what was copied: % and %', after, before;
    END IF;
END
$do$;

-- Replaced, not dropped: it keeps its owner and grants.
CREATE OR REPLACE VIEW public.messages_all AS
SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, false AS archived
FROM public.messages
UNION ALL
SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, true AS archived
FROM public.messages_archive;

DROP TABLE public.messages_archive_plain;

COMMIT;

ANALYZE public.messages_archive;
