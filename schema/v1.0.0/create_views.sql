-- As documented: the four joins multiply each other. 1.2.0 replaces it.

CREATE VIEW user_stats AS
SELECT
    u.id,
    u.email,
    u.first_name,
    u.last_name,
    u.created_at as user_created_at,
    u.last_login,
    COUNT(DISTINCT cs.id) as chat_sessions_count,
    COUNT(DISTINCT m.id) as messages_count,
    COUNT(DISTINCT a.id) as artifacts_count,
    COUNT(DISTINCT tu.id) as tool_uses_count
FROM users u
LEFT JOIN chat_sessions cs ON u.id = cs.user_id
LEFT JOIN messages m ON cs.id = m.session_id
LEFT JOIN artifacts a ON u.id = a.user_id
LEFT JOIN tools_usage tu ON u.id = tu.user_id
WHERE u.active = true
GROUP BY u.id, u.email, u.first_name, u.last_name, u.created_at, u.last_login;
