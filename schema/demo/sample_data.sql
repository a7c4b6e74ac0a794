-- Sample data for the demo and the benchmarks: one transaction, on a hub at 1.2.0 that holds no people yet.
-- Times count back from now over 14 months, with more of everything lately. The same server major gives the
-- same rows relative to now: all chance is seeded, and every id is the md5 of what the row is.

BEGIN;

-- The count trigger would update a chat once per message; message_count is set once, at the end.
SET LOCAL pgsteward.archiving = 'on';
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT setseed(0.20);

CREATE TEMPORARY TABLE demo_tool ON COMMIT DROP AS
SELECT name, makes, extension, typical_ms, sum(share) OVER w - share AS low, sum(share) OVER w AS high
FROM (
    VALUES
        ('code_assistant', 'code', 'py', 900, 0.260),
        ('image_generator', 'image', 'png', 8000, 0.190),
        ('web_search', 'document', 'md', 1400, 0.140),
        ('document_writer', 'document', 'docx', 2500, 0.100),
        ('translator', 'document', 'txt', 700, 0.080),
        ('data_analyst', 'dataset', 'csv', 3200, 0.060),
        ('image_editor', 'image', 'png', 4200, 0.050),
        ('text_to_speech', 'audio', 'mp3', 2100, 0.035),
        ('speech_to_text', 'document', 'txt', 5200, 0.025),
        ('presentation_maker', 'slides', 'pptx', 6400, 0.020),
        ('google_drive_sync', 'document', 'pdf', 1800, 0.015),
        ('music_composer', 'audio', 'wav', 14000, 0.012),
        ('model_builder', 'model', 'glb', 21000, 0.008),
        ('video_generator', 'video', 'mp4', 48000, 0.005)
) AS t (name, makes, extension, typical_ms, share)
WINDOW w AS (ORDER BY share DESC);

INSERT INTO users (id, email, password_hash, first_name, last_name, bio, preferences, active, created_at, updated_at)
SELECT
    md5('user ' || i)::uuid,
    lower(first_name || '.' || last_name) || i || '@example.org',
    CASE WHEN random() < 0.7 THEN '$2b$12$' || md5(random()::text) || 'demo' END,
    first_name,
    last_name,
    CASE WHEN random() < 0.3 THEN 'Makes things with the hub since day ' || (430 - age)::int END,
    jsonb_build_object('theme', (ARRAY['light', 'dark'])[1 + (i % 2)], 'language', (ARRAY['en', 'de', 'pt'])[1 + i % 3]),
    random() > 0.04,
    now() - age * INTERVAL '1 day',
    now() - age * random() * INTERVAL '1 day'
FROM (
    SELECT
        i,
        (ARRAY['Ada', 'Ben', 'Chloe', 'Dmitri', 'Elif', 'Femi', 'Grace', 'Hiro', 'Ines', 'Jonas',
               'Kavya', 'Liam', 'Mona', 'Nils', 'Olga', 'Pablo'])[1 + i % 16] AS first_name,
        (ARRAY['Abel', 'Berg', 'Costa', 'Diaz', 'Endo', 'Fischer', 'Garcia', 'Haas', 'Ito', 'Jensen',
               'Khan', 'Lopez', 'Meyer'])[1 + i % 13] AS last_name,
        CASE WHEN i % 3 = 0 THEN 425 ELSE 5 + 420 * random() END AS age
    FROM generate_series(1, 500) AS i
    OFFSET 0
) AS person;

-- Logins. Some are closed and past the documented 30 days, some stay open for months: cleanup never takes those.
INSERT INTO sessions (id, user_id, ip_address, user_agent, created_at, last_activity, active)
SELECT
    md5('session ' || i)::uuid,
    u.id,
    ('10.' || i % 200 || '.' || i % 250 || '.' || 1 + i % 240)::inet,
    (ARRAY['Mozilla/5.0 (X11; Linux x86_64)', 'Mozilla/5.0 (Macintosh)', 'AIO-Hub-Mobile/3.2'])[1 + i % 3],
    s.started,
    least(now(), s.started + random() * INTERVAL '3 days'),
    random() < CASE WHEN s.started > now() - INTERVAL '14 days' THEN 0.7 ELSE 0.12 END
FROM (SELECT i, power(random(), 1.6) AS part, 1 + floor(500 * power(random(), 1.3))::int AS who
      FROM generate_series(1, 2000) AS i OFFSET 0) AS r
JOIN users u ON u.id = md5('user ' || r.who)::uuid
CROSS JOIN LATERAL (SELECT now() - r.part * (now() - u.created_at) AS started) AS s
ORDER BY i;

UPDATE users u
SET last_login = l.at
FROM (SELECT user_id, max(created_at) AS at FROM sessions GROUP BY user_id) AS l
WHERE l.user_id = u.id;

-- A chat lasts minutes; every sixth is kept open and comes back to until today.
CREATE TEMPORARY TABLE demo_chat ON COMMIT DROP AS
SELECT
    i,
    md5('chat ' || i)::uuid AS id,
    u.id AS user_id,
    now() - greatest(r.part * (now() - u.created_at), INTERVAL '10 minutes') AS started,
    i % 6 = 0 AS kept_open,
    (ARRAY['photosynthesis', 'a landing page', 'the quarterly report', 'a trip to Porto', 'unit tests',
           'a birthday song', 'tax questions', 'a logo', 'SQL windows', 'garden plans'])[1 + i % 10] AS topic,
    r.turns
FROM (
    SELECT
        i,
        power(random(), 1.4) AS part,
        1 + floor(500 * power(random(), 1.5))::int AS who,
        1 + floor(38 * power(random(), 3))::int AS turns
    FROM generate_series(1, 3000) AS i
    OFFSET 0
) AS r
JOIN users u ON u.id = md5('user ' || r.who)::uuid
ORDER BY i;

INSERT INTO chat_sessions (id, user_id, title, created_at, updated_at)
SELECT id, user_id, 'About ' || topic, started, started
FROM demo_chat
ORDER BY i;

-- A question and an answer per turn; answers have no user.
INSERT INTO messages (id, session_id, user_id, content, is_from_user, metadata, created_at)
SELECT
    md5('message ' || c.i || '/' || k)::uuid,
    c.id,
    CASE WHEN k % 2 = 1 THEN c.user_id END,
    CASE
        WHEN k % 2 = 1 THEN 'Please help me with ' || c.topic || ', step ' || (k + 1) / 2 || '.'
        ELSE 'Here is a draft for ' || c.topic || '. '
            || repeat('It keeps the idea, shortens the text and names what is still open. ', 1 + (c.i + k) % 6)
    END,
    k % 2 = 1,
    CASE
        WHEN k % 2 = 1 THEN '{}'::jsonb
        ELSE jsonb_build_object('model', (ARRAY['small', 'large'])[1 + c.i % 2], 'tokens', 40 + (c.i * k) % 900)
    END,
    least(
        now() - (2 * c.turns - k) * INTERVAL '1 second',
        c.started + CASE
            WHEN c.kept_open THEN (k - random()) / (2 * c.turns) * (now() - c.started)
            ELSE (k + random()) * INTERVAL '90 seconds'
        END)
FROM demo_chat c
CROSS JOIN LATERAL generate_series(1, 2 * c.turns) AS k
ORDER BY c.i, k;

UPDATE chat_sessions cs
SET message_count = m.count, updated_at = m.last
FROM (SELECT session_id, count(*) AS count, max(created_at) AS last FROM messages GROUP BY session_id) AS m
WHERE m.session_id = cs.id;

-- Every fourth use of a tool leaves an artifact.
CREATE TEMPORARY TABLE demo_use ON COMMIT DROP AS
SELECT
    r.i,
    c.id AS session_id,
    c.user_id,
    t.name AS tool_name,
    t.makes,
    t.extension,
    c.topic,
    r.i % 4 = 0 AS has_artifact,
    (t.typical_ms * exp(0.7 * (r.a + r.b + r.c - 1.5)))::int AS duration_ms,
    CASE WHEN r.i % 4 = 0 OR r.luck < 0.90 THEN 'success' WHEN r.luck < 0.98 THEN 'error' ELSE 'timeout' END AS status,
    least(now(), c.started + r.a * CASE WHEN c.kept_open THEN now() - c.started ELSE INTERVAL '1 hour' END) AS at
FROM (
    SELECT i, random() AS pick, random() AS a, random() AS b, random() AS c, random() AS luck,
        1 + floor(3000 * random())::int AS chat
    FROM generate_series(1, 20000) AS i
    OFFSET 0
) AS r
JOIN demo_chat c ON c.i = r.chat
JOIN demo_tool t ON r.pick >= t.low AND r.pick < t.high
ORDER BY r.i;

INSERT INTO artifacts (id, user_id, session_id, tool_name, name, type, file_path, file_size, metadata, created_at)
SELECT
    md5('artifact ' || i)::uuid,
    user_id,
    session_id,
    tool_name,
    topic || '.' || extension,
    makes,
    '/srv/hub/artifacts/' || to_char(at AT TIME ZONE 'UTC', 'YYYY/MM') || '/' || i || '.' || extension,
    (exp(8 + 7 * random()))::bigint,
    jsonb_build_object('version', 1 + i % 3),
    at
FROM demo_use
WHERE has_artifact
ORDER BY i;

INSERT INTO tools_usage (id, user_id, artifact_id, tool_name, operation, duration_ms, status, parameters, created_at)
SELECT
    md5('use ' || i)::uuid,
    user_id,
    CASE WHEN has_artifact THEN md5('artifact ' || i)::uuid END,
    tool_name,
    CASE WHEN has_artifact THEN 'create' ELSE (ARRAY['preview', 'run', 'explain'])[1 + i % 3] END,
    duration_ms,
    status,
    jsonb_build_object('quality', (ARRAY['draft', 'good', 'best'])[1 + i % 3]),
    at
FROM demo_use
ORDER BY i;

INSERT INTO google_drive_files (id, user_id, artifact_id, drive_file_id, name, mime_type, file_size, synced_at)
SELECT
    md5('drive ' || u.i)::uuid,
    a.user_id,
    a.id,
    md5('drive file ' || u.i),
    a.name,
    'application/octet-stream',
    a.file_size,
    least(now(), a.created_at + INTERVAL '5 minutes')
FROM demo_use u
JOIN artifacts a ON a.id = md5('artifact ' || u.i)::uuid
WHERE u.i % 24 = 0
ORDER BY u.i;

ANALYZE users, sessions, chat_sessions, messages, artifacts, tools_usage, google_drive_files;

COMMIT;
