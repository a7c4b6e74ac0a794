-- One round of life on a hub with sample data: run it again and again. The triggers work as for real users.

BEGIN;

-- Three to nine questions, each with its answer, in chats of active users.
WITH chosen AS MATERIALIZED (
    SELECT cs.id, cs.user_id, cs.title
    FROM chat_sessions cs
    JOIN users u ON u.id = cs.user_id AND u.active
    ORDER BY random()
    LIMIT 3 + floor(7 * random())::int
)
INSERT INTO messages (session_id, user_id, content, is_from_user, created_at)
SELECT id, user_id, 'One more question. ' || coalesce(title, ''), true, now()
FROM chosen
UNION ALL
SELECT id, NULL, 'An answer that took a moment. ' || coalesce(title, ''), false, now() + INTERVAL '1 millisecond'
FROM chosen;

-- Six to fifteen uses of tools, as skewed as they have been so far.
WITH chosen AS MATERIALIZED (
    SELECT user_id, tool_name, operation, duration_ms, row_number() OVER () AS n
    FROM (SELECT * FROM tools_usage ORDER BY random() LIMIT 6 + floor(10 * random())::int) AS u
),
made AS (
    INSERT INTO artifacts (user_id, tool_name, name, type, file_path, file_size)
    SELECT user_id, tool_name, 'fresh.bin', 'document', '/srv/hub/artifacts/fresh.bin', 1000 + (100000 * random())::int
    FROM chosen
    WHERE n <= 2
    RETURNING id, user_id, tool_name
)
INSERT INTO tools_usage (user_id, artifact_id, tool_name, operation, duration_ms, status)
SELECT user_id, NULL, tool_name, operation, (duration_ms * (0.5 + random()))::int,
    CASE WHEN random() < 0.92 THEN 'success' ELSE 'error' END
FROM chosen
WHERE n > 2
UNION ALL
SELECT user_id, id, tool_name, 'create', 1200, 'success'
FROM made;

-- Somebody logs in, and somebody else's login ends.
WITH who AS MATERIALIZED (
    SELECT id FROM users WHERE active ORDER BY random() LIMIT 1
),
login AS (
    INSERT INTO sessions (user_id, ip_address, user_agent)
    SELECT id, '10.0.0.1', 'AIO-Hub-Mobile/3.2' FROM who
)
UPDATE users SET last_login = now() WHERE id = (SELECT id FROM who);

UPDATE sessions
SET active = false, last_activity = now()
WHERE id = (SELECT id FROM sessions WHERE active ORDER BY random() LIMIT 1);

-- Somebody renames a chat.
UPDATE chat_sessions
SET title = 'Again: ' || left(regexp_replace(coalesce(title, ''), '^(Again: )+', ''), 200)
WHERE id = (SELECT id FROM chat_sessions ORDER BY random() LIMIT 1);

COMMIT;
