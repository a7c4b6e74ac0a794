-- Eight people for tests of the counts, inserts only, for a hub at 1.1.0 or later. Counted per person by hand in
-- activity_equivalence.sql. The fixed ids:
--   00000000-0000-4000-8000-00000000000a  Ana    all her chats were created inside the last 30 days
--   00000000-0000-4000-8000-00000000000b  Bela   no chat, artifact or tool use at all
--   00000000-0000-4000-8000-00000000000c  Cleo   writes in a chat created 60 days ago: documented counts are wrong
--   00000000-0000-4000-8000-00000000000d  Dario  inactive, otherwise like Ana
--   00000000-0000-4000-8000-00000000000e  Edda   everything is older than 30 days
--   00000000-0000-4000-8000-00000000000f  Farid  artifacts and tool uses, no chat
--   00000000-0000-4000-8000-000000000010  Gus    empty chats only, new ones
--   00000000-0000-4000-8000-000000000011  Hana   several chats, artifacts and uses: where joins multiply

INSERT INTO users (id, email, first_name, last_name, active, created_at)
SELECT
    ('00000000-0000-4000-8000-0000000000' || n)::uuid,
    lower(name) || '@example.org',
    name,
    'Small',
    name <> 'Dario',
    CURRENT_TIMESTAMP - INTERVAL '400 days'
FROM (
    VALUES ('0a', 'Ana'), ('0b', 'Bela'), ('0c', 'Cleo'), ('0d', 'Dario'),
           ('0e', 'Edda'), ('0f', 'Farid'), ('10', 'Gus'), ('11', 'Hana')
) AS t (n, name);

-- Chat ids: c000, the person, the chat's number.
INSERT INTO chat_sessions (id, user_id, title, created_at)
SELECT
    ('00000000-0000-4000-c000-00000000' || n || lpad(chat::text, 2, '0'))::uuid,
    ('00000000-0000-4000-8000-0000000000' || n)::uuid,
    'Chat ' || chat,
    CURRENT_TIMESTAMP - age * INTERVAL '1 day'
FROM (
    VALUES ('0a', 1, 3), ('0a', 2, 20),
           ('0c', 1, 60),
           ('0d', 1, 5),
           ('0e', 1, 90),
           ('10', 1, 1), ('10', 2, 2),
           ('11', 1, 4), ('11', 2, 8), ('11', 3, 12)
) AS t (n, chat, age);

-- Every second message is an answer and has no user.
INSERT INTO messages (session_id, user_id, content, is_from_user, created_at)
SELECT
    ('00000000-0000-4000-c000-00000000' || n || lpad(chat::text, 2, '0'))::uuid,
    CASE WHEN k % 2 = 1 THEN ('00000000-0000-4000-8000-0000000000' || n)::uuid END,
    'Message ' || k,
    k % 2 = 1,
    CURRENT_TIMESTAMP - age * INTERVAL '1 day' + k * INTERVAL '1 second'
FROM (
    VALUES ('0a', 1, 2, 4), ('0a', 2, 10, 3),
           ('0c', 1, 60, 2), ('0c', 1, 1, 5),
           ('0d', 1, 4, 2),
           ('0e', 1, 80, 6),
           ('11', 1, 3, 4), ('11', 2, 7, 4), ('11', 3, 11, 4)
) AS t (n, chat, age, messages)
CROSS JOIN LATERAL generate_series(1, messages) AS k;

INSERT INTO artifacts (user_id, tool_name, name, type, file_path, created_at)
SELECT
    ('00000000-0000-4000-8000-0000000000' || n)::uuid,
    'image_generator',
    'picture ' || k,
    'image',
    '/artifacts/' || n || '/' || k,
    CURRENT_TIMESTAMP - age * INTERVAL '1 day'
FROM (
    VALUES ('0a', 2, 1), ('0a', 45, 1), ('0c', 1, 1), ('0d', 3, 1), ('0e', 70, 2), ('0f', 6, 2), ('11', 5, 5)
) AS t (n, age, artifacts)
CROSS JOIN LATERAL generate_series(1, artifacts) AS k;

INSERT INTO tools_usage (user_id, tool_name, operation, status, created_at)
SELECT
    ('00000000-0000-4000-8000-0000000000' || n)::uuid,
    'image_generator',
    'create',
    'success',
    CURRENT_TIMESTAMP - age * INTERVAL '1 day'
FROM (
    VALUES ('0a', 2, 3), ('0a', 45, 1), ('0c', 1, 2), ('0d', 3, 1), ('0e', 70, 2), ('0f', 6, 3), ('11', 5, 7)
) AS t (n, age, uses)
CROSS JOIN LATERAL generate_series(1, uses) AS k;
