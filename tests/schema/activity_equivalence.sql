-- The counts that seed_small.sql must give, each beside what the hub says: one SELECT, a row per person of
-- user_stats and of get_user_activity(id, 30). expected is counted by hand; documented is what a hub at 1.1.0
-- answers. They differ for one row only, Cleo's activity: five messages of yesterday in a chat created 60 days ago.
--   at 1.1.0   actual = documented in every row
--   at 1.2.0   actual = expected in every row
-- Counts are chats/messages/artifacts/uses; NULL is no row.
WITH person AS (
    SELECT name, ('00000000-0000-4000-8000-0000000000' || n)::uuid AS id, stats, activity, documented_activity
    FROM (
        VALUES
            ('Ana', '0a', '2/7/2/4', '2/7/1/3', '2/7/1/3'),
            ('Bela', '0b', '0/0/0/0', '0/0/0/0', '0/0/0/0'),
            ('Cleo', '0c', '1/7/1/2', '0/5/1/2', '0/0/1/2'),
            ('Dario', '0d', NULL, '1/2/1/1', '1/2/1/1'),
            ('Edda', '0e', '1/6/2/2', '0/0/0/0', '0/0/0/0'),
            ('Farid', '0f', '0/0/2/3', '0/0/2/3', '0/0/2/3'),
            ('Gus', '10', '2/0/0/0', '2/0/0/0', '2/0/0/0'),
            ('Hana', '11', '3/12/5/7', '3/12/5/7', '3/12/5/7'),
            ('nobody', 'ff', NULL, NULL, NULL)
    ) AS t (name, n, stats, activity, documented_activity)
)
SELECT
    'user_stats' AS source,
    p.name,
    p.stats AS expected,
    p.stats AS documented,
    s.chat_sessions_count || '/' || s.messages_count || '/' || s.artifacts_count || '/' || s.tool_uses_count AS actual
FROM person p
LEFT JOIN user_stats s ON s.id = p.id
UNION ALL
SELECT
    'get_user_activity',
    p.name,
    p.activity,
    p.documented_activity,
    a.chat_sessions_count || '/' || a.messages_count || '/' || a.artifacts_count || '/' || a.tools_used_count
FROM person p
LEFT JOIN LATERAL get_user_activity(p.id, 30) a ON true
ORDER BY source, name;
